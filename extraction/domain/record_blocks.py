"""Which elements of a page are its repeating blocks, and what was found in which of them. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode

Matches = Sequence[Sequence[LexborNode]]  # of each field, what its selector finds in the whole page


def ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """The node itself and what is around it, from the inside out."""
    current: LexborNode | None = node
    while current is not None:
        yield current
        current = current.parent


def blocks_of(page: LexborHTMLParser, parent: str, found: Matches) -> list[LexborNode]:
    """The elements of which each gives one record, in the order of the page.

    Those of the selector `parent`; else the nearest common ancestors of all fields that found something, of the sort
    that repeats. Where none repeats it is one block.
    """
    if parent:
        return page.css(parent)
    matches = [nodes for nodes in found if nodes]
    if len(matches) == 1:
        return list(matches[0])
    return _repeating(matches) if matches else []


def _repeating(matches: Matches) -> list[LexborNode]:
    """Among the smallest elements that hold something of every field, those of the path that occurs most often; with
    them the elements of the same path in which some fields are missing."""
    common = _common_ancestors(matches)
    smallest = {node.mem_id: node for nodes in matches for match in nodes if (node := _nearest(match, common))}
    if len(smallest) == 1:
        return list(smallest.values())  # everything that was found is in it
    paths = {path_of(node) for node in smallest.values()}
    repeated = {path: _elements_with_path(matches, path) for path in paths}
    best = max(repeated, key=lambda path: (len(repeated[path]), len(path)))
    if len(repeated[best]) == 1:
        best = min(repeated, key=len)
    return in_order(repeated[best])


def _common_ancestors(matches: Matches) -> set[int]:
    around: list[set[int]] = []
    for nodes in matches:
        seen: set[int] = set()
        for node in nodes:
            current: LexborNode | None = node
            while current is not None and current.mem_id not in seen:
                seen.add(current.mem_id)
                current = current.parent
        around.append(seen)
    return set.intersection(*around)


def _nearest(node: LexborNode, wanted: set[int]) -> LexborNode | None:
    current: LexborNode | None = node
    while current is not None and current.mem_id not in wanted:
        current = current.parent
    return current


def path_of(node: LexborNode) -> tuple[str, ...]:
    """The tag names of a node and of the elements around it, from the inside out."""
    return tuple(element.tag or "" for element in ancestors(node))


def _elements_with_path(matches: Matches, path: tuple[str, ...]) -> list[LexborNode]:
    elements: dict[int, LexborNode] = {}
    others: set[int] = set()
    for nodes in matches:
        for match in nodes:
            chain = list(ancestors(match))
            if len(chain) < len(path):
                continue
            node = chain[-len(path)]
            if node.mem_id not in elements and node.mem_id not in others:
                if path_of(node) == path:
                    elements[node.mem_id] = node
                else:
                    others.add(node.mem_id)
    return list(elements.values())


def in_order(nodes: Iterable[LexborNode]) -> list[LexborNode]:
    """The nodes in the order of the page."""
    listed = list(nodes)
    if len(listed) < 2:
        return listed
    wanted = {node.mem_id: node for node in listed}
    root = list(ancestors(listed[0]))[-1]
    return [wanted[node.mem_id] for node in root.traverse() if node.mem_id in wanted]


def by_block(nodes: Iterable[LexborNode], places: Mapping[int, int]) -> list[list[LexborNode]]:
    """The nodes in each block, by the block's place; of nested blocks the innermost has a node."""
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
