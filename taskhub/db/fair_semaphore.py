"""Places of which a process has so many, and one user may hold so many."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from taskhub.errors import Unavailable


class Shares:
    """`places` in all, `each` for one user; who waits for one is served in the order of coming.

    What is free costs its taker a lock and nothing more.
    """

    def __init__(self, places: int, each: int, refusal: str) -> None:
        self._free = places
        self._each = each
        self._refusal = refusal
        self._held: Counter[UUID] = Counter()
        self._queue: list[tuple[UUID, threading.Event]] = []
        self._lock = threading.Lock()

    @contextmanager
    def place(self, user: UUID, patience: float = 0.0) -> Iterator[None]:
        """A place until the block ends; one is waited for up to `patience` seconds. Raises `Unavailable`.

        No database connection is held meanwhile; where a transaction holds one, nothing is waited for.
        """
        if not (self._take(user) or self._wait(user, patience)):
            raise Unavailable(self._refusal, retry_after=1)
        try:
            yield
        finally:
            self._give(user)

    def _take(self, user: UUID) -> bool:
        with self._lock:
            return self._seat(user)

    def _seat(self, user: UUID) -> bool:
        fits = self._free > 0 and self._held.get(user, 0) < self._each
        if fits:
            self._free -= 1
            self._held[user] += 1
        return fits

    def _wait(self, user: UUID, patience: float) -> bool:
        if patience <= 0 or connection.in_atomic_block:
            return False
        connection.close()
        waiter = (user, threading.Event())
        with self._lock:
            if self._seat(user):
                return True
            self._queue.append(waiter)
        if waiter[1].wait(patience):
            return True
        with self._lock:
            if waiter in self._queue:
                self._queue.remove(waiter)
                return False
        return True  # it came at the last moment

    def _give(self, user: UUID) -> None:
        """At most one of those who wait fits now: either the last place was missing, or this user's."""
        with self._lock:
            self._free += 1
            self._held[user] -= 1
            if not self._held[user]:
                del self._held[user]
            for waiter in self._queue:
                if self._seat(waiter[0]):
                    self._queue.remove(waiter)
                    waiter[1].set()
                    return
