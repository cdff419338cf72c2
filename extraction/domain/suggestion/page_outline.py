"""A page as an outline: its elements with what tells them apart, measured once for all that looks for blocks. Pure."""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.suggestion.class_names import is_made_up, is_of_looks, is_telling, stem_of, words_of
from extraction.domain.visible_text import HIDDEN, TEXT_NODE

ELEMENTS_MAX = 40_000  # that are looked at
DEPTH_MAX = 200
PICTURE_SIZE = 40  # characters that a picture counts as
_LEFT_OUT = HIDDEN | {"svg", "math", "select", "input", "textarea", "br", "hr", "link", "object", "embed", "source"}
# Parts of pages that are the same on each page of a site, or beside its matter: how much their blocks count.
_PARTS = {"nav": 0.1, "footer": 0.15, "aside": 0.4, "header": 0.5, "form": 0.6, "dialog": 0.2}
_PART_WORDS = {
    **dict.fromkeys(("nav", "navbar", "navigation", "menu", "submenu", "megamenu", "breadcrumb", "breadcrumbs"), 0.1),
    **dict.fromkeys(("footer", "pagination", "pager", "paging", "cookie", "cookies", "consent", "toolbar"), 0.15),
    **dict.fromkeys(("social", "share", "sharing", "language", "languages", "tabs", "facets", "filters"), 0.2),
    **dict.fromkeys(("sidebar", "related", "recommended", "recommendations", "widget", "popular", "trending"), 0.4),
    **dict.fromkeys(("promo", "sponsor", "sponsored", "ad", "ads", "advert", "advertisement", "banner"), 0.4),
}
_ROLES = {"navigation": 0.1, "contentinfo": 0.15, "complementary": 0.4, "banner": 0.5, "search": 0.3, "menu": 0.1}
_RECORDS = frozenset({"article", "li", "tr", "td", "section", "main"})  # whose own header and footer are theirs


class OutlineElement:
    """An element. `size` is that of its text and pictures, in characters; `weight` says how much its part of the page
    counts, from 0 to 1; `index` is its place in the page, and `end` that of the first element behind it. From 1 counts
    its `child`, the place among all elements beside it, `place`, that among those of its tag, and for cells of tables
    their `column`.

    One without a `node` stands for elements beside each other, its `children`.
    """

    __slots__ = (
        *("attributes", "classes", "child", "children", "column", "end", "index", "node", "own_text", "parent"),
        *("place", "size", "tag", "weight"),
    )

    def __init__(self, node: LexborNode | None, tag: str, parent: "OutlineElement | None", index: int) -> None:
        self.node, self.tag, self.parent, self.index = node, tag, parent, index
        self.attributes: dict[str, str | None] = node.attributes if node is not None else {}
        self.classes = tuple(dict.fromkeys((self.attributes.get("class") or "").split()))[:20]
        self.children: list[OutlineElement] = []
        self.own_text = False
        self.child = self.place = 1
        self.column = 0
        self.size = 0
        self.end = index + 1
        self.weight = 1.0

    @property
    def telling(self) -> tuple[str, ...]:
        """Its classes that say what it is; those that mark some of its sort come last."""
        telling = [name for name in self.classes if is_telling(name)]
        return tuple(sorted(telling, key=lambda name: "--" in name))

    @property
    def looks(self) -> tuple[str, ...]:
        """Its classes that can be written in a selector, and say how it looks."""
        return tuple(name for name in self.classes if is_of_looks(name) and not is_made_up(name))

    @property
    def stems(self) -> tuple[str, ...]:
        """What stays of its classes that a tool made up."""
        return tuple(stem for name in self.classes if (stem := stem_of(name)))

    @property
    def name(self) -> str:
        """The name of the property that it is (`itemprop`)."""
        return (self.attributes.get("itemprop") or "").split(" ")[0]

    @property
    def last(self) -> int:
        """Its place among all elements beside it, from the last one."""
        return len(self.parent.children) - self.child + 1 if self.parent else 1

    def walk(self) -> Iterator["OutlineElement"]:
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)


class PageOutline:
    """The elements of a page in its order, up to `ELEMENTS_MAX`; `is_whole` says whether these are all."""

    def __init__(self, page: LexborHTMLParser) -> None:
        self.page = page
        self.elements: list[OutlineElement] = []
        self.is_whole = True
        if page.body is not None:
            self._add(page.body)
        for element in self.elements:
            _number_children(element)
            if element.tag in {"tbody", "thead", "tfoot"}:
                _number_columns(element)
        for element in reversed(self.elements):
            if element.parent:
                element.parent.size += element.size
                element.parent.end = max(element.parent.end, element.end)

    @cached_property
    def size(self) -> float:
        """The size of all that counts."""
        return sum(
            (element.size - sum(child.size for child in element.children)) * element.weight for element in self.elements
        )

    def _add(self, body: LexborNode) -> None:
        """Adds the elements of the body, one after the other."""
        root = self._element(body, None, 0)
        outer, depth = root, 0
        node: LexborNode | None = body.child
        while node is not None:
            tag = node.tag or ""
            following = node.next
            if tag == TEXT_NODE:
                text = (node.text_content or "").strip()
                if text:
                    outer.size += len(text)
                    outer.own_text = outer.own_text or any(map(str.isalnum, text))
            elif tag not in _LEFT_OUT and tag[:1] not in {"-", "!", ""}:
                if len(self.elements) >= ELEMENTS_MAX:
                    self.is_whole = False
                    return
                element = self._element(node, outer, depth)
                if node.child is not None and depth < DEPTH_MAX:
                    outer, depth, node = element, depth + 1, node.child
                    continue
            while following is None and outer.parent is not None:
                following = outer.node.next if outer.node is not None else None
                outer, depth = outer.parent, depth - 1
            node = following

    def _element(self, node: LexborNode, outer: OutlineElement | None, depth: int) -> OutlineElement:
        element = OutlineElement(node, node.tag or "", outer, len(self.elements))
        if outer is not None:
            outer.children.append(element)
            element.weight = outer.weight * _own_weight(element, depth)
        if element.tag == "img":
            element.size = PICTURE_SIZE
        self.elements.append(element)
        return element


def _own_weight(element: OutlineElement, depth: int) -> float:
    """How much an element's being a part of a page's frame takes away from what is in it."""
    weights = [_ROLES.get(element.attributes.get("role") or "", 1.0)]
    if element.tag in _PARTS and not (element.tag in {"header", "footer"} and _is_in_record(element)):
        weights.append(_PARTS[element.tag])
    if depth < 12:
        names = (*element.classes[:6], element.attributes.get("id") or "")
        weights += [_PART_WORDS[word] for name in names for word in words_of(name) if word in _PART_WORDS]
    return min(weights)


def _is_in_record(element: OutlineElement) -> bool:
    outer = element.parent
    while outer is not None and outer.tag not in _RECORDS:
        outer = outer.parent
    return outer is not None


def _number_children(element: OutlineElement) -> None:
    """Tells the elements in another one their places."""
    tags = Counter[str]()
    for number, child in enumerate(element.children, 1):
        tags[child.tag] += 1
        child.child, child.place = number, tags[child.tag]


def _number_columns(section: OutlineElement) -> None:
    """Tells the cells of a part of a table their columns, past those that reach down from rows above."""
    reaching: dict[int, int] = {}  # columns, and how many rows they still reach
    for row in section.children:
        column, begun = 1, dict[int, int]()
        for cell in row.children:
            while reaching.get(column, 0) > 0:
                column += 1
            cell.column = column
            for _ in range(_span(cell, "colspan")):
                begun[column] = _span(cell, "rowspan")
                column += 1
        reaching = {place: rows - 1 for place, rows in {**reaching, **begun}.items() if rows > 1}


def _span(cell: OutlineElement, name: str) -> int:
    text = cell.attributes.get(name) or ""
    return max(1, min(100, int(text))) if text.isascii() and text.isdecimal() else 1
