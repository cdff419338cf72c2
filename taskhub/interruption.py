"""Interrupts the work of a thread from another thread, wherever the work is.

Signals reach the main thread of a process only. In other threads work is interrupted in two steps:

1. Its waits are ended. A thread that waits in C looks at nothing else, so whoever waits says how the wait can be ended:
   a socket is shut down, an event is set, a connection to the database is cut off. The work then fails in an orderly
   way, at a place where it may fail anyway.
2. Work that computes is given an exception, which Python raises between two of its instructions (CPython calls it
   asynchronous). That can come in the middle of anything, as between the taking of a lock and the `try` that gives it
   back. So it is the second step, and code that must not be torn apart runs while `Interruption.lock` is held, under
   which alone the exception is sent.

After `Interruption.close` no exception comes up any more: neither in the end of the work, nor in the thread's next.
"""

import ctypes
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Self
from weakref import WeakSet

_thread = threading.local()


def _nothing() -> None: ...


class Interruption:
    """The means to interrupt what the thread that made it works on. `before_waiting` is called before it waits."""

    def __init__(self, before_waiting: Callable[[], None] = _nothing) -> None:
        self.before_waiting = before_waiting
        self.struck = False
        self.lock = threading.RLock()
        self._thread = threading.get_ident()
        self._closed = False
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._enders: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        _thread.interruption = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.interruption = None

    def end_waits(self) -> bool:
        """Ends what the thread waits for, now; what it begins to wait for later ends at once. False when it is closed,
        or in the middle of what must not be torn apart."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self._closed:
                return False
            self.struck = True
            for watched in list(self._sockets):
                shut_down(watched)
            for end in self._enders:
                end()
            return True
        finally:
            self.lock.release()

    def strike(self, kind: type[BaseException]) -> None:
        """Ends its waits, and has an exception of this class raised in the thread."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self.end_waits():
                _raise_in(self._thread, kind)
        finally:
            self.lock.release()

    def close(self) -> bool:
        """Is called by the thread itself: from now on it is not interrupted. Whether it has been, before this call.

        An exception that was sent and did not come up yet comes up in this call, after which another one is in vain.
        """
        with self.lock:
            was_closed, self._closed = self._closed, True
        # It is not taken back: Python 3.11 would look for it for ever then, and under a profiler do nothing else.
        checkpoint()
        return self.struck and not was_closed

    def watch(self, watched: socket.socket) -> None:
        with self.lock:
            self._sockets.add(watched)
            if self.struck:
                shut_down(watched)

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        with self.lock:
            self._enders.append(end)
            if self.struck:
                end()
        try:
            yield
        finally:
            with self.lock:
                self._enders.remove(end)


def current() -> Interruption | None:
    """What interrupts the calling thread, if anything does."""
    interruption: Interruption | None = getattr(_thread, "interruption", None)
    return interruption


def watch(watched: socket.socket) -> None:
    """Lets the calling thread's waits on this socket be ended, as long as the socket lives."""
    if interruption := current():
        interruption.watch(watched)


@contextmanager
def waiting(end: Callable[[], object]) -> Iterator[None]:
    """The calling thread waits within the block, and `end`, which must not block, ends its wait."""
    interruption = current()
    if interruption is None:
        yield
        return
    interruption.before_waiting()
    with interruption.ending(end):
        yield


def before_waiting() -> None:
    """The calling thread is about to wait for somebody else: it lets go of what others may need."""
    if interruption := current():
        interruption.before_waiting()


def whole() -> Any:
    """A lock for a block that is not torn apart by an exception; see `checkpoint`."""
    interruption = current()
    return nullcontext() if interruption is None else interruption.lock


def checkpoint() -> None:
    """An exception that was sent before comes up here at the latest, for Python looks for one whenever a function is
    entered. It is the first statement of a block under `whole`."""


def shut_down(watched: socket.socket) -> None:
    # `SSLSocket.shutdown` takes its TLS away from whoever reads; here the connection below ends, and TLS sees that.
    with suppress(OSError):
        socket.socket.shutdown(watched, socket.SHUT_RDWR)


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
