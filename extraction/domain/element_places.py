"""Selectors that ask where an element stands among its siblings, such as `:nth-child(2n+1)`, in linear time. Pure.

The parser counts the siblings of each element anew, which takes half a minute in an honest table. So in large pages
elements get an attribute for where they stand; it is in the selector instead, and is taken away afterwards.
"""

import re
from collections import Counter

from selectolax.lexbor import LexborHTMLParser, LexborNode

TAGS_LEAST = 2_000  # in a page, from which on this is faster
_POSITION = re.compile(
    r"\\.|\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\]++|\\.)*+'"  # are passed over
    r"|:nth-(last-)?(child|of-type)\(\s*(?:(odd|even)|([+-]?[0-9]*)n\s*([+-]\s*[0-9]+)?|([+-]?[0-9]+))\s*\)",
    re.IGNORECASE | re.DOTALL,
)
_Position = tuple[bool, bool, int, int]  # from the last one, among those of a tag, and every `a`th from `b` on


class ElementPlaces:
    """Finds elements of one page, which is written with so many `tags`."""

    def __init__(self, page: LexborHTMLParser, tags: int) -> None:
        self._page, self._is_large = page, tags >= TAGS_LEAST
        self._known: dict[tuple[bool, bool], list[tuple[LexborNode, int]]] = {}

    def find(self, selector: str) -> list[LexborNode]:
        """What `page.css(selector)` finds."""
        asked: list[_Position] = []
        if self._is_large:
            selector = _POSITION.sub(lambda match: _attribute_for(match, asked), selector)
        marked = [(_name(number), self._nodes_at(position)) for number, position in enumerate(asked)]
        for name, nodes in marked:
            for node in nodes:
                node.attrs[name] = ""
        found = self._page.css(selector)
        for name, nodes in marked:
            for node in nodes:
                del node.attrs[name]
        return found

    def _nodes_at(self, position: _Position) -> list[LexborNode]:
        from_last, of_type, a, b = position
        places = self._places(from_last, of_type)
        if a == 0:
            return [node for node, place in places if place == b]
        return [node for node, place in places if (place - b) % a == 0 and (place - b) * a >= 0]

    def _places(self, from_last: bool, of_type: bool) -> list[tuple[LexborNode, int]]:
        """All elements of the page with their places among their siblings, from 1."""
        known = self._known.get((from_last, of_type))
        if known is None:
            counts: Counter[object] = Counter()
            known = self._known[from_last, of_type] = []
            nodes = self._page.css("*")
            for node in reversed(nodes) if from_last else nodes:
                parent = node.parent.mem_id if node.parent else 0
                key = (parent, node.tag) if of_type else parent
                counts[key] += 1
                known.append((node, counts[key]))
        return known


def _attribute_for(match: re.Match[str], asked: list[_Position]) -> str:
    """The attribute that stands for a position, which is added to those asked for."""
    last, of, word, step, offset, place = match.groups()
    if of is None:
        return match[0]
    if word:
        a, b = 2, int(word.lower() == "odd")
    elif place:
        a, b = 0, int(place)
    else:
        a, b = int(step) if step.strip("+-") else int(f"{step}1"), int("".join((offset or "0").split()))
    asked.append((bool(last), of.lower() == "of-type", a, b))
    return f"[{_name(len(asked) - 1)}]"


def _name(number: int) -> str:
    return f"data-taskhub-position-{number}"
