"""Finds the elements of a page that repeat: blocks, each of which gives one record. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from extraction.domain.page_sources import SourceNode as Node

# What varies in ids and classes: UUIDs, words with letters behind digits, digests of at least eight digits, numbers.
_VARIABLE = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<![a-z0-9])(?=[a-z0-9]{5})[a-z]*[0-9]+[a-z][a-z0-9]*|[0-9a-f]{8,}|[0-9]+",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:^|[-_])(?:first|last|odd|even|alt|active|current|selected)$")

Matches = Sequence[Sequence[Node]]  # of each field, what its selector finds in the whole page


def ancestors(node: Node) -> Iterator[Node]:
    """A node and the elements around it, from the inside out."""
    current: Node | None = node
    while current is not None:
        yield current
        current = current.parent


def blocks_of(matches: Matches) -> list[Node]:
    """The blocks of a page for which no selector is given, in the page's order.

    They are the nearest common ancestors of what the fields found, of the sort that repeats. Where none repeats, there
    is one block, the smallest with all fields.
    """
    present = [nodes for nodes in matches if nodes]
    if len(present) == 1:
        return list(present[0])
    return _repeating(present) if present else []


def _repeating(matches: Matches) -> list[Node]:
    """The smallest elements with a match of every field, of the path that occurs most often; and the other elements of
    that path that are of their sort, in which some fields are missing."""
    common = _common_ancestors(matches)
    smallest = {node.mem_id: node for nodes in matches for match in nodes if (node := _nearest(match, common))}
    if len(smallest) == 1:
        return list(smallest.values())  # it holds all matches
    paths = _ElementsByPath(matches)
    complete: dict[int, list[Node]] = {}  # by their path, in the page's order
    for node in smallest.values():
        complete.setdefault(paths.number(node), []).append(node)
    blocks = {path: _of_one_sort(nodes, paths.elements[path]) for path, nodes in complete.items()}
    best = max(blocks, key=lambda path: (len(blocks[path]), paths.depths[path]))
    return in_order(blocks[best])


def _of_one_sort(complete: Sequence[Node], elements: Sequence[Node]) -> list[Node]:
    """The complete ones of some elements with one path, and those others that are of their sort.

    What is beside a product, such as related products, may be at the same place and lack a field, as a product of a
    list may. Their classes and ids tell them apart. An element need only be like one that is in already, for some are
    marked: as the last one, or as on sale.
    """
    if len(complete) == len(elements):
        return list(complete)
    known = _KnownSorts()
    elements_by_sort: dict[int, list[Node]] = {}
    for node in elements:
        elements_by_sort.setdefault(known.number(node), []).append(node)
    inside = list(dict.fromkeys(known.number(node) for node in complete))
    others = [sort for sort in elements_by_sort if sort not in inside]
    for sort in inside:  # it grows
        alike = [other for other in others if known.are_alike(sort, other)]
        inside += alike
        others = [other for other in others if other not in alike]
    return [node for sort in inside for node in elements_by_sort[sort]]


class _KnownSorts:
    """The sorts of elements, as numbers: an element's id and classes, and the sort of the element around it.

    An id is one of a pattern: what varies in it does not count. Nor do classes that say where an element stands among
    others.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # by element
        self._sorts: list[tuple[str, frozenset[str], int]] = []
        self._known: dict[tuple[str, frozenset[str], int], int] = {}

    def number(self, node: Node) -> int:
        """The number of an element's sort."""
        fresh: list[Node] = []
        current: Node | None = node
        while current is not None and current.mem_id not in self._numbers:
            fresh.append(current)
            current = current.parent
        number = -1 if current is None else self._numbers[current.mem_id]
        for element in reversed(fresh):
            attributes = element.attributes
            classes = (_VARIABLE.sub("#", name) for name in (attributes.get("class") or "").lower().split())
            names = frozenset(name for name in classes if not _PLACE.search(name))
            sort = (_VARIABLE.sub("#", attributes.get("id") or ""), names, number)
            number = self._known.setdefault(sort, len(self._sorts))
            if number == len(self._sorts):
                self._sorts.append(sort)
            self._numbers[element.mem_id] = number
        return number

    def are_alike(self, one: int, other: int) -> bool:
        """Whether two sorts of elements with one path are the same to somebody who looks: they have the same id, and
        one has all classes of the other, or half of them in common; and the same holds around them."""
        while one != other:
            (first_id, first, one), (second_id, second, other) = self._sorts[one], self._sorts[other]
            common = first & second
            if first_id != second_id or (common not in (first, second) and 2 * len(common) < len(first | second)):
                return False
        return True


def _common_ancestors(matches: Matches) -> set[int]:
    """The ids of elements that have a match of every field in them."""
    ancestors_by_field: list[set[int]] = []
    for nodes in matches:
        seen: set[int] = set()
        for node in nodes:
            current: Node | None = node
            while current is not None and current.mem_id not in seen:
                seen.add(current.mem_id)
                current = current.parent
        ancestors_by_field.append(seen)
    return set.intersection(*ancestors_by_field)


def _nearest(node: Node, wanted: set[int]) -> Node | None:
    """The first of the wanted elements from a node outwards."""
    current: Node | None = node
    while current is not None and current.mem_id not in wanted:
        current = current.parent
    return current


class _ElementsByPath:
    """The elements that have a match in them, by their path: the tag names of an element and of those around it.

    Paths have numbers. `elements` and `depths` are indexed by them.
    """

    def __init__(self, matches: Matches) -> None:
        self.elements: list[list[Node]] = [[]]  # the path with number 0 is that around the page
        self.depths = [0]
        self._paths: dict[tuple[int, str | None], int] = {}  # by the path around an element, and its tag
        self._numbers: dict[int, int] = {}
        for nodes in matches:
            for match in nodes:
                self._add(match)

    def number(self, element: Node) -> int:
        return self._numbers[element.mem_id]

    def _add(self, match: Node) -> None:
        """Adds a match and the elements around it, as far as they are not known."""
        fresh: list[Node] = []
        current: Node | None = match
        while current is not None and current.mem_id not in self._numbers:
            fresh.append(current)
            current = current.parent
        path = 0 if current is None else self._numbers[current.mem_id]
        for element in reversed(fresh):
            outer, path = path, self._paths.setdefault((path, element.tag), len(self.elements))
            if path == len(self.elements):
                self.elements.append([])
                self.depths.append(self.depths[outer] + 1)
            self.elements[path].append(element)
            self._numbers[element.mem_id] = path


def in_order(nodes: Iterable[Node]) -> list[Node]:
    """Nodes, sorted as they stand in the page."""
    listed = list(nodes)
    if len(listed) < 2:
        return listed
    wanted = {node.mem_id: node for node in listed}
    root = list(ancestors(listed[0]))[-1]
    return [wanted[node.mem_id] for node in root.traverse() if node.mem_id in wanted]


def places_of(blocks: Sequence[Node], *, following: bool = False) -> dict[int, int]:
    """The places of blocks by their elements; with `following`, also by those behind each, up to the next block."""
    places = {node.mem_id: place for place, node in enumerate(blocks)}
    if following:
        for place, block in enumerate(blocks):
            node = block.next
            while node is not None and node.mem_id not in places:
                places[node.mem_id] = place
                node = node.next
    return places


def nodes_of_blocks(nodes: Iterable[Node], places: Mapping[int, int], count: int) -> list[list[Node]]:
    """The nodes in each of `count` blocks, by its place; where blocks nest, a node belongs to the innermost."""
    parts: list[list[Node]] = [[] for _ in range(count)]
    for node in nodes:
        current: Node | None = node
        while current is not None:
            place = places.get(current.mem_id)
            if place is not None:
                parts[place].append(node)
                break
            current = current.parent
    return parts
