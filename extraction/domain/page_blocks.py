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
    paths = {path_of(node) for node in smallest.values()}
    repeated = {path: _elements_with_path(matches, path) for path in paths}
    best = max(repeated, key=lambda path: (len(repeated[path]), len(path)))
    if len(repeated[best]) == 1:
        best = min(repeated, key=len)
    return in_order(repeated[best])


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


def path_of(node: LexborNode) -> tuple[str, ...]:
    """The tag names of a node and of the elements around it, from the inside out."""
    return tuple(element.tag or "" for element in ancestors(node))


def _elements_with_path(matches: Matches, path: tuple[str, ...]) -> list[LexborNode]:
    """The elements of a path that have a match in them."""
    elements: dict[int, LexborNode] = {}
    rejected: set[int] = set()
    for nodes in matches:
        for match in nodes:
            chain = list(ancestors(match))
            if len(chain) < len(path):
                continue
            node = chain[-len(path)]
            if node.mem_id not in elements and node.mem_id not in rejected:
                if path_of(node) == path:
                    elements[node.mem_id] = node
                else:
                    rejected.add(node.mem_id)
    return list(elements.values())


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
