"""Reads the results in a page of a search engine. Pure."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.page_addresses import BaseAddress
from extraction.domain.page_reader import Record
from extraction.domain.process_status import PageFailure
from extraction.domain.record_field import ADDRESSES, TEXT
from extraction.domain.search_engines import PageMatcher, ResultField, ResultSection, SearchEngine
from extraction.domain.selectors import BLOCK

_SPACE = re.compile(r"\s+")


def read_results(engine: SearchEngine, html: str, url: str) -> list[tuple[str, int, Record]]:
    """Reads results: each one's kind, its position among those of its kind from 1, and its values.

    Raises `PageFailure` for a captcha, and for a page that does not fit what is known of the engine.
    """
    page = LexborHTMLParser(html)
    if _matches(page, html, url, engine.blocked):
        raise PageFailure(
            f"{engine.name} answers with a captcha: it takes the hub for a robot. Ask for less at a time "
            "(`delay`), through a proxy, or another engine."
        )
    results = [result for kind, section in engine.sections.items() for result in _results(page, url, kind, section)]
    if not results and not _matches(page, html, url, engine.empty):
        raise PageFailure(
            f"The page of {engine.name} no longer fits what is known of it: there are no results in it, and "
            "nothing says that there are none. An operator can mend the engine's file."
        )
    return results


def _matches(page: LexborHTMLParser, html: str, url: str, matcher: PageMatcher) -> bool:
    return (
        any(part in url for part in matcher.addresses)
        or any(page.css_first(selector) is not None for selector in matcher.selectors)
        or any(text in html for text in matcher.texts)
    )


def _results(page: LexborHTMLParser, url: str, kind: str, section: ResultSection) -> list[tuple[str, int, Record]]:
    base, records = BaseAddress(url), []
    for block in {
        node.mem_id: node for node in page.css(section.block)
    }.values():  # each once, if two selectors find it
        record = {name: value for name, field in section.fields.items() if (value := _value(block, field, base))}
        if record:
            records.append(record)
    return [(kind, position, record) for position, record in enumerate(records, 1)]


def _value(block: LexborNode, field: ResultField, base: BaseAddress) -> str | None:
    node = block if field.selector == BLOCK else block.css_first(field.selector)
    if node is None:
        return None
    if field.attr == TEXT:
        return _SPACE.sub(" ", node.text(separator=" ")).strip()
    value = node.attributes.get(field.attr)
    if not value:
        return None
    if field.attr in ADDRESSES:
        address = base.absolute(value)
        return field.true_address(address) if field.unwrap else address
    return value.strip()
