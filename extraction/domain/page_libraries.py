"""The libraries that some rules need to read their pages, loaded before a reader begins: it has little time. Pure."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from importlib import import_module

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.main_content import TRAFILATURA, load_main_content
from extraction.domain.page_sources import XML
from extraction.domain.record_field import DATE, INTEGER, MARKDOWN, NUMBER
from extraction.domain.typed_values import load_date_words

DATES = "dateparser"
PRICES = "price_parser.parser"
_OF_TYPES = {DATE: DATES, NUMBER: PRICES, INTEGER: PRICES, MARKDOWN: "html_to_markdown"}
OF_JSON = ("jsonpath_ng.ext", "chompjs", "extraction.domain.json_source")
_NOT_EVERYWHERE = {"chompjs"}  # see pyproject.toml
OF_XML = ("lxml.etree", "cssselect", "extraction.domain.xml_source")


def libraries_of(rule: ExtractionRule) -> Iterator[str]:
    """The modules that reading pages of a rule needs, beside those that all pages need."""
    yield from (_OF_TYPES[field.type] for field in rule.fields if field.type in _OF_TYPES)
    if rule.reads_json:
        yield from OF_JSON
    if rule.kind == XML or rule.needs_lxml:
        yield from OF_XML


def load_libraries(names: Iterable[str]) -> None:
    for name in sorted(names):
        with suppress(ImportError) if name in _NOT_EVERYWHERE else nullcontext():
            import_module(name)
        if name == DATES:
            load_date_words()
        elif name == TRAFILATURA:
            load_main_content()
