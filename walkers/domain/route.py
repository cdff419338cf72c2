"""The way of a walk: which node comes next, and when it is over. Pure; nodes are whatever the caller gives."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from taskhub.errors import Failed

Place = TypeVar("Place")


class Skip(BaseException):
    """The walker is done with this node. No `Exception`, so that no `except` of its author's keeps it."""


class Disengage(BaseException):
    """The walker is done with the walk."""


class WalkerFailed(Failed):
    """A walker raised. `members` hold the report so far and `error`, the `{type, message}` of what was raised."""

    title, type = "The walker failed", "walker-failed"


class TooManySteps(Exception):
    pass


class Route(Generic[Place]):
    """Nodes in the order in which they are visited: those taken first come first."""

    def __init__(self, start: Place, *, limit: int) -> None:
        self._waiting: deque[Place] = deque([start])
        self._met: set[Any] = {start}
        self._limit = limit
        self._done = 0

    def __iter__(self) -> Iterator[Place]:
        while self._waiting:
            self._done += 1
            yield self._waiting.popleft()

    def take(self, places: Iterable[Place], *, once: bool = False) -> None:
        """Puts nodes at the end; with `once` only those that were never put there.

        Raises `TooManySteps` before more nodes wait than may be visited.
        """
        for place in places:
            if once and place in self._met:
                continue
            if self._done + len(self._waiting) >= self._limit:
                raise TooManySteps(f"A walk has at most {self._limit} steps.")
            self._met.add(place)
            self._waiting.append(place)
