"""Threads that work for an event loop."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Value = TypeVar("Value")
Call = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class LoopThreads:
    """Up to `size` threads, started when they are needed; they end with the process.

    For one event loop, whose `run_in_executor` does the same with a future of each kind, their locks, and callbacks
    from one to the other: that took a tenth of a short request.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._started = 0
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._unended = 0  # calls that wait or are at work

    @property
    def count_waiting(self) -> int:
        """How many calls wait for a thread."""
        return max(0, self._unended - self._size)

    def call(self, function: Callable[..., Value], *arguments: Any) -> "asyncio.Future[Value]":
        """Calls a function in a thread; the future has what it returns or raises."""
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        if self._started < min(self._unended + 1, self._size):  # first: of a call that raises nothing is made
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
            self._started += 1
        self._calls.put((future, function, arguments))
        self._unended += 1
        return future

    def _work(self) -> None:
        while True:
            future, function, arguments = self._calls.get()
            value, error = None, None
            try:
                value = function(*arguments)
            except BaseException as raised:
                error = raised
            future.get_loop().call_soon_threadsafe(self._end, future, value, error)
            del future, function, arguments, value, error  # nothing of a call is kept while the thread waits

    def _end(self, future: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
        self._unended -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
