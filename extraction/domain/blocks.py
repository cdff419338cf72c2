"""Which elements of a page are its repeating blocks, and what was found in which of them. Pure."""

from collections import Counter
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
    paths = Counter(path_of(node) for node in smallest.values())
    best = max(paths, key=lambda path: (_count(matches, path), len(path)))
    if _count(matches, best) == 1:
        best = min(paths, key=len)
    return _with_path(matches, best)


def _in_all(matches: Found) -> set[int]:
    around: list[set[int]] = []
    for nodes in matches:
        seen: set[int] = set()
        for one in nodes:
            for node in ancestors(one):
                if node.mem_id in seen:
                    break
                seen.add(node.mem_id)
        around.append(seen)
    return set.intersection(*around)


def _first_in(node: LexborNode, wanted: set[int]) -> LexborNode | None:
    return next((one for one in ancestors(node) if one.mem_id in wanted), None)


def path_of(node: LexborNode) -> tuple[str, ...]:
    """The names of the elements around it, from the inside out."""
    return tuple(one.tag or "" for one in ancestors(node))


def _with_path(matches: Found, path: tuple[str, ...]) -> list[LexborNode]:
    there: dict[int, LexborNode] = {}
    for nodes in matches:
        for one in nodes:
            chain = list(ancestors(one))
            if len(chain) >= len(path) and (node := chain[-len(path)]).mem_id not in there and path_of(node) == path:
                there[node.mem_id] = node
    return in_order(there.values())


def _count(matches: Found, path: tuple[str, ...]) -> int:
    return len(_with_path(matches, path))


def in_order(nodes: Iterable[LexborNode]) -> list[LexborNode]:
    """In the order of the page."""
    listed = list(nodes)
    if len(listed) < 2:
        return listed
    wanted = {node.mem_id: node for node in listed}
    root = list(ancestors(listed[0]))[-1]
    return [wanted[one.mem_id] for one in root.traverse() if one.mem_id in wanted]


def by_block(nodes: Iterable[LexborNode], places: Mapping[int, int]) -> dict[int, list[LexborNode]]:
    """What lies in which block, by the block's place; the innermost of nested ones has it."""
    sorted_out: dict[int, list[LexborNode]] = {}
    for one in nodes:
        block = next((node for node in ancestors(one) if node.mem_id in places), None)
        if block is not None:
            sorted_out.setdefault(places[block.mem_id], []).append(one)
    return sorted_out
