"""The order in which a walk visits nodes."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Node = TypeVar("Node")


class TooManySteps(Exception):
    pass


class Route(Generic[Node]):
    """Nodes in the order in which they are visited: those taken first come first."""

    def __init__(self, start: Node, *, limit: int) -> None:
        self._waiting: deque[Node] = deque([start])
        self._taken: set[Node] = {start}
        self._limit = limit
        self._visited = 0

    def __iter__(self) -> Iterator[Node]:
        while self._waiting:
            self._visited += 1
            yield self._waiting.popleft()

    def take(self, nodes: Iterable[Node], *, once: bool = False) -> None:
        """Puts nodes at the end; with `once` only those that were never put there.

        Raises `TooManySteps` before more nodes wait than may be visited.
        """
        for node in nodes:
            if once and node in self._taken:
                continue
            if self._visited + len(self._waiting) >= self._limit:
                raise TooManySteps(f"A walk has at most {self._limit} steps.")
            self._taken.add(node)
            self._waiting.append(node)
