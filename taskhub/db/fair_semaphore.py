"""A semaphore of a process that shares its slots fairly between users.

A user gets one more slot only while more of them are free than the user holds, as owners get slots of workers: of
twelve slots the first user gets six, a second one three, and there is still one for a third. The places in the queue of
those who wait are shared by the same rule.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from taskhub.db.connections import give_back_connection
from taskhub.errors import Unavailable
from taskhub.fair_share import FairShare
from taskhub.interruption import waiting


class FairSemaphore:
    """`slots` in all, at most `per_user` of them for one user.

    Up to `waiting` callers wait for one, each in a thread; they are served in the order of their arrival, but for those
    whose users have enough. To acquire a slot that is free costs a lock and nothing more.
    """

    def __init__(self, slots: int, refusal: str, *, per_user: int | None = None, waiting: int = 1_000_000) -> None:
        self._slots = FairShare(slots, per_user)
        self._queue = FairShare(waiting)
        self._refusal = refusal
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
            return self._slots.try_take(user)

    def _wait(self, user: UUID, patience: float) -> bool:
        if patience <= 0 or connection.in_atomic_block:
            return False
        give_back_connection()
        waiter = (user, threading.Event())
        with self._lock:
            if self._slots.try_take(user):  # one was released since the first try
                return True
            if not self._queue.try_take(user):
                return False
            self._waiters.append(waiter)
        with waiting(waiter[1].set):
            waiter[1].wait(patience)
        with self._lock:
            self._queue.give_back(user)
            if waiter in self._waiters:  # the patience is over, or the wait was ended
                self._waiters.remove(waiter)
                return False
        return True

    def _release(self, user: UUID) -> None:
        """Gives the slot back, and wakes the waiters that fit now: the next one, and one of this user."""
        with self._lock:
            self._slots.give_back(user)
            for waiter in list(self._waiters):
                if self._slots.try_take(waiter[0]):
                    self._waiters.remove(waiter)
                    waiter[1].set()
