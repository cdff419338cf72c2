"""Objects of which each process has its own: threads, sockets and event loops do not survive a fork."""

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ProcessLocal(Generic[T]):
    """One object a process, made by `make` when it is first asked for; a forked process makes another one.

    What the fork left of its parent's object is dropped, not closed: its sockets and threads are the parent's.
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._value: T  # of the process `_pid`
        self._pid = 0
        self._lock = threading.Lock()

    def get(self, *arguments: Any) -> T:
        """The object of this process; `arguments` go to `make`, so those of the first call in a process count."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._value = self._make(*arguments)
                    self._pid = os.getpid()  # the last step: other threads read it without the lock
        return self._value

    def peek(self) -> T | None:
        """The object of this process if there is one."""
        return self._value if self._pid == os.getpid() else None

    def clear(self) -> None:
        """The next call of `get` makes a new object, as in a forked process."""
        self._pid = 0
