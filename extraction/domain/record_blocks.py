"""Which elements of a page are its repeating blocks, and what was found in which of them. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from selectolax.lexbor import LexborHTMLParser, LexborNode

Found = Sequence[Sequence[LexborNode]]  # of each field, what its selector finds in the whole page


def ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """The node itself and what is around it, from the inside out."""
    current: LexborNode | None = node
    while current is not None:
        yield current
        current = current.parent


def blocks_of(page: LexborHTMLParser, parent: str, found: Found) -> list[LexborNode]:
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


def _repeating(matches: Found) -> list[LexborNode]:
    """Among the smallest elements that hold something of every field, those of the path that occurs most often; with
    them the elements of the same path in which some fields are missing."""
    common = _in_all(matches)
    smallest = {node.mem_id: node for nodes in matches for one in nodes if (node := _first_in(one, common))}
    if len(smallest) == 1:
        return list(smallest.values())  # everything that was found is in it
    paths = {path_of(node) for node in smallest.values()}
    repeated = {path: _with_path(matches, path) for path in paths}
    best = max(repeated, key=lambda path: (len(repeated[path]), len(path)))
    if len(repeated[best]) == 1:
        best = min(repeated, key=len)
    return in_order(repeated[best])


def _in_all(matches: Found) -> set[int]:
    around: list[set[int]] = []
    for nodes in matches:
        seen: set[int] = set()
        for one in nodes:
            current: LexborNode | None = one
            while current is not None and current.mem_id not in seen:
                seen.add(current.mem_id)
                current = current.parent
        around.append(seen)
    return set.intersection(*around)


def _first_in(node: LexborNode, wanted: set[int]) -> LexborNode | None:
    current: LexborNode | None = node
    while current is not None and current.mem_id not in wanted:
        current = current.parent
    return current


def path_of(node: LexborNode) -> tuple[str, ...]:
    """The names of the elements around it, from the inside out."""
    return tuple(one.tag or "" for one in ancestors(node))


def _with_path(matches: Found, path: tuple[str, ...]) -> list[LexborNode]:
    there: dict[int, LexborNode] = {}
    others: set[int] = set()
    for nodes in matches:
        for one in nodes:
            chain = list(ancestors(one))
            if len(chain) < len(path):
                continue
            node = chain[-len(path)]
            if node.mem_id not in there and node.mem_id not in others:
                if path_of(node) == path:
                    there[node.mem_id] = node
                else:
                    others.add(node.mem_id)
    return list(there.values())


def in_order(nodes: Iterable[LexborNode]) -> list[LexborNode]:
    """In the order of the page."""
    listed = list(nodes)
    if len(listed) < 2:
        return listed
    wanted = {node.mem_id: node for node in listed}
    root = list(ancestors(listed[0]))[-1]
    return [wanted[one.mem_id] for one in root.traverse() if one.mem_id in wanted]


def by_block(nodes: Iterable[LexborNode], places: Mapping[int, int]) -> list[list[LexborNode]]:
    """What lies in which block, by the block's place; the innermost of nested ones has it."""
    parts: list[list[LexborNode]] = [[] for _ in places]
    for one in nodes:
        current: LexborNode | None = one
        while current is not None:
            place = places.get(current.mem_id)
            if place is not None:
                parts[place].append(one)
                break
            current = current.parent
    return parts
