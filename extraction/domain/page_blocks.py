"""Finds the elements of a page that repeat: blocks, each of which gives one record. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode

Matches = Sequence[Sequence[LexborNode]]  # of each field, what its selector finds in the whole page


def ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """A node and the elements around it, from the inside out."""
    current: LexborNode | None = node
    while current is not None:
        yield current
        current = current.parent


def blocks_of(page: LexborHTMLParser, parent: str, matches: Matches) -> list[LexborNode]:
    """The blocks of a page, in its order.

    They are what the selector `parent` finds; without it, the nearest common ancestors of what the fields found, of the
    sort that repeats. Where none repeats, there is one block.
    """
    if parent:
        return page.css(parent)
    present = [nodes for nodes in matches if nodes]
    if len(present) == 1:
        return list(present[0])
    return _repeating(present) if present else []


def _repeating(matches: Matches) -> list[LexborNode]:
    """The smallest elements with a match of every field, of the path that occurs most often; and the other elements of
    that path, in which some fields are missing."""
    common = _common_ancestors(matches)
    smallest = {node.mem_id: node for nodes in matches for match in nodes if (node := _nearest(match, common))}
    if len(smallest) == 1:
        return list(smallest.values())  # it holds all matches
    paths = _ElementsByPath(matches)
    chosen = {paths.number(node): None for node in smallest.values()}  # a set, in the page's order
    best = max(chosen, key=lambda path: (len(paths.elements[path]), paths.depths[path]))
    if len(paths.elements[best]) == 1:
        best = min(chosen, key=lambda path: paths.depths[path])
    return in_order(paths.elements[best])


def _common_ancestors(matches: Matches) -> set[int]:
    """The ids of elements that have a match of every field in them."""
    ancestors_by_field: list[set[int]] = []
    for nodes in matches:
        seen: set[int] = set()
        for node in nodes:
            current: LexborNode | None = node
            while current is not None and current.mem_id not in seen:
                seen.add(current.mem_id)
                current = current.parent
        ancestors_by_field.append(seen)
    return set.intersection(*ancestors_by_field)


def _nearest(node: LexborNode, wanted: set[int]) -> LexborNode | None:
    """The first of the wanted elements from a node outwards."""
    current: LexborNode | None = node
    while current is not None and current.mem_id not in wanted:
        current = current.parent
    return current


class _ElementsByPath:
    """The elements that have a match in them, by their path: the tag names of an element and of those around it.

    Paths have numbers. `elements` and `depths` are indexed by them.
    """

    def __init__(self, matches: Matches) -> None:
        self.elements: list[list[LexborNode]] = [[]]  # the path with number 0 is that around the page
        self.depths = [0]
        self._paths: dict[tuple[int, str | None], int] = {}  # by the path around an element, and its tag
        self._numbers: dict[int, int] = {}
        for nodes in matches:
            for match in nodes:
                self._add(match)

    def number(self, element: LexborNode) -> int:
        return self._numbers[element.mem_id]

    def _add(self, match: LexborNode) -> None:
        """Adds a match and the elements around it, as far as they are not known."""
        fresh: list[LexborNode] = []
        current: LexborNode | None = match
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


def in_order(nodes: Iterable[LexborNode]) -> list[LexborNode]:
    """Nodes, sorted as they stand in the page."""
    listed = list(nodes)
    if len(listed) < 2:
        return listed
    wanted = {node.mem_id: node for node in listed}
    root = list(ancestors(listed[0]))[-1]
    return [wanted[node.mem_id] for node in root.traverse() if node.mem_id in wanted]


def nodes_by_block(nodes: Iterable[LexborNode], places: Mapping[int, int]) -> list[list[LexborNode]]:
    """The nodes in each block, by the block's place; where blocks nest, a node belongs to the innermost."""
    parts: list[list[LexborNode]] = [[] for _ in places]
    for node in nodes:
        current: LexborNode | None = node
        while current is not None:
            place = places.get(current.mem_id)
            if place is not None:
                parts[place].append(node)
                break
            current = current.parent
    return parts
