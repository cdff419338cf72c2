"""Finds how a list goes on: the selector of the link to its next page, or of the button for more. Pure."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from extraction.domain.next_pages import next_addresses
from extraction.domain.page_addresses import BaseAddress, page_key
from extraction.domain.page_sources import PageSource
from extraction.domain.suggestion.class_names import is_made_up, words_of
from extraction.domain.suggestion.page_outline import OutlineElement, PageOutline
from extraction.domain.visible_text import text_of

TEXT_MAX = 40  # characters
SELECTORS_MAX = 30  # that are tried
# What the link to the next page says, in the languages of most of the web, and the signs that say it.
_NEXT_TEXT = """
next older weiter nächste ältere suivant suivante siguiente próximo próxima próximos successivo
successiva avanti volgende nästa næste neste seuraava następna następny dalej další ďalšia következő
următoarea следующая вперед далее наступна sonraki ileri επόμενη التالي הבא अगला 次へ 次 下一页 下一頁 下页 다음
tiếp selanjutnya berikutnya › » > >> → ⟩ ❯ ▶ ⇒
"""  # noqa: RUF001
_NEXT = frozenset(_NEXT_TEXT.split())
_MORE = re.compile(
    r"(?:load|show|view|see) more|mehr (?:laden|anzeigen)|weitere laden|(?:charger|afficher|voir) plus"
    r"|(?:cargar|ver|mostrar) más|carregar mais|mostra altri|carica altri|meer laden|toon meer|visa fler|vis flere"
    r"|pokaż więcej|załaduj więcej|показать ещё|показать еще|もっと見る|加载更多|查看更多|더 보기",
    re.IGNORECASE,
)
_PAGER_NAMES = """
pager pagination paginator paging pagenav pages seitennummerierung paginierung paginación paginação paginazione
paginering paginacja пагинация ページネーション
"""
_PAGERS = frozenset(_PAGER_NAMES.split())
_SPACE_AND_SIGNS = re.compile(r"[\s\u00a0]+")


def find_paginator(outline: PageOutline, source: PageSource, url: str, *, rendered: bool) -> Any:
    """The `paginator` of a payload; None where the page shows none. Only rendered pages have buttons for more."""
    base = BaseAddress(source.base_address(url))
    here = page_key(0, url)
    for selector in islice(dict.fromkeys(_selectors(outline)), SELECTORS_MAX):
        addresses = next_addresses(source.select(selector), "href", source, base, url, rendered=rendered)
        if addresses and page_key(0, addresses[0]) != here:
            return selector
    return _more_button(outline) if rendered else None


def _selectors(outline: PageOutline) -> Iterator[str]:
    """Selectors of what may lead to the next page, those that are surest first."""
    links = [element for element in outline.elements if element.tag == "a" and "href" in element.attributes]
    if any("next" in (link.attributes.get("rel") or "").lower().split() for link in links):
        yield 'a[rel~="next"]'
    yield 'link[rel~="next"]'
    for link in links:
        label = link.attributes.get("aria-label") or ""
        if label and _says_next(label):
            yield f'a[aria-label="{label}"]' if '"' not in label and "\\" not in label else "a"
    for link in links:
        for element in (link, link.parent, link.parent.parent if link.parent else None):
            if element is not None and (name := _next_class(element)):
                yield f"{element.tag}.{name}" if element is link else f"{element.tag}.{name} a"
    for link in links:
        text = _text(link)
        if text and _says_next(text) and (pager := _pager_around(link)):
            yield f'{pager} a:contains("{text}")'
    for text in dict.fromkeys(map(_text, links)):
        words = text.lower().split()
        if 0 < len(words) <= 2 and {words[0], words[-1]} & _NEXT and _leads_to_one(text, links):
            yield f'a:contains("{text}")'
    for link in links:
        if _text(link).isdecimal() and _text(link) != "1" and (pager := _pager_around(link)):
            yield f"{pager} a"


def _leads_to_one(text: str, links: list[OutlineElement]) -> bool:
    """Whether the links with a text lead to one place: the blocks of a list may have one each, such as `Details »`."""
    return len({link.attributes["href"] for link in links if text in _text(link)}) == 1


def _next_class(element: OutlineElement) -> str:
    """The class of an element that says that it leads to the next page."""
    names = (name for name in element.classes if not is_made_up(name))
    return next((name for name in names if "next" in words_of(name) and not {"prev", "slide"} & {*words_of(name)}), "")


def _pager_around(link: OutlineElement) -> str:
    """The selector of the element around a link that is a pager by its class, its id or its label."""
    outer = link.parent
    for _ in range(5):
        if outer is None:
            return ""
        id = outer.attributes.get("id") or ""
        if _PAGERS & {*words_of(id)} and not is_made_up(id):
            return f"#{id}"
        for name in outer.classes:
            if _PAGERS & {*words_of(name)} and not is_made_up(name):
                return f".{name}"
        label = outer.attributes.get("aria-label") or ""
        if _PAGERS & {*label.lower().split()} and '"' not in label and "\\" not in label:
            return f'{outer.tag}[aria-label="{label}"]'
        outer = outer.parent
    return ""


def _says_next(text: str) -> bool:
    words = _SPACE_AND_SIGNS.split(text.strip().lower())
    if len(text) > TEXT_MAX or len(words) > 4:
        return False
    return any(word.strip(".,:;()[]") in _NEXT for word in words)


def _more_button(outline: PageOutline) -> Any:
    """The button that shows more of the list."""
    for element in outline.elements:
        if element.tag in {"button", "a"} and element.size <= TEXT_MAX and _MORE.search(_text(element)):
            name = next((name for name in element.telling), "")
            if name:
                return {"type": "more", "selector": f"{element.tag}.{name}"}
            if (id := element.attributes.get("id") or "") and not is_made_up(id):
                return {"type": "more", "selector": f"#{id}"}
    return None


def _text(element: OutlineElement) -> str:
    if element.node is None or element.size > TEXT_MAX:
        return ""
    text = " ".join(text_of(element.node).split())
    return "" if '"' in text or "\\" in text else text
