"""A semaphore of a process that shares its slots fairly between users."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from taskhub.db.connections import give_back_connection
from taskhub.errors import Unavailable


class FairSemaphore:
    """`slots` in all, at most `per_user` of them for one user; who waits is served in the order of arrival.

    To acquire a slot that is free costs a lock and nothing more.
    """

    def __init__(self, slots: int, per_user: int, refusal: str) -> None:
        self._free = slots
        self._per_user = per_user
        self._refusal = refusal
        self._held: Counter[UUID] = Counter()
        self._waiters: list[tuple[UUID, threading.Event]] = []
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, user: UUID, patience: float = 0.0) -> Iterator[None]:
        """Holds a slot until the block ends; waits up to `patience` seconds for one. Raises `Unavailable`.

        No database connection is held while it waits. In a transaction it does not wait at all: the transaction keeps
        its connection, and as many waiters as the pool has connections would starve those who hold the slots, which
        need a connection to get done.
        """
        if not (self._try_acquire(user) or self._wait(user, patience)):
            raise Unavailable(self._refusal, retry_after=1)
        try:
            yield
        finally:
            self._release(user)

    def _try_acquire(self, user: UUID) -> bool:
        with self._lock:
            return self._grant(user)

    def _grant(self, user: UUID) -> bool:
        """Takes a slot for the user, if one is free for him. The caller holds the lock."""
        if self._free <= 0 or self._held.get(user, 0) >= self._per_user:
            return False
        self._free -= 1
        self._held[user] += 1
        return True

    def _wait(self, user: UUID, patience: float) -> bool:
        if patience <= 0 or connection.in_atomic_block:
            return False
        give_back_connection()
        waiter = (user, threading.Event())
        with self._lock:
            if self._grant(user):  # one was released since the first try
                return True
            self._waiters.append(waiter)
        if waiter[1].wait(patience):
            return True
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                return False
        # Between the end of the patience and the lock a slot was granted: unused it would be lost.
        return True

    def _release(self, user: UUID) -> None:
        """Gives the slot back and wakes the first waiter that fits: at most one does.

        Before, either no slot was free or the waiters' users had all of theirs: now one more slot is free, and one user
        has one less.
        """
        with self._lock:
            self._free += 1
            self._held[user] -= 1
            if not self._held[user]:
                del self._held[user]
            for waiter in self._waiters:
                if self._grant(waiter[0]):
                    self._waiters.remove(waiter)
                    waiter[1].set()
                    return
