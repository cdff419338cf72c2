"""The event loop of a walk, where the `async` code of walkers runs: in the walk's own thread.

In its own thread, so that nodes and Django's models are read and written in the walk's transaction, and so that a
worker interrupts it as it interrupts other walks. Whoever blocks there holds up the tasks of this walk only.

Django refuses its models to code that runs in an event loop, and keeps connections apart by loop and thread. So what a
node does with the database is done `outside_event_loop`, and so is what the asynchronous methods of models do (`aget`,
`asave`), which Django hands to asgiref: an `InlineExecutor` runs it at once.
"""

import asyncio
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import AsyncToSync

from taskhub import interruption

CHECK_SECONDS = 0.5
GRACE_SECONDS = 1.0  # for what is cancelled to end by itself

Result = TypeVar("Result")
Params = ParamSpec("Params")


class WalkEventLoop:
    """Made when the walk first needs it. `check` raises when the walk is to end; then its tasks are cancelled."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, awaitable: Awaitable[Result]) -> Result:
        """Awaits it. Raises what it raises, and what `check` raises, whatever becomes of it then.

        All that one walk awaits shares one context: what one step sets in a context variable the next one sees.
        """
        loop = self._opened()
        task = loop.create_task(_await(awaitable), context=self._context)
        try:
            with interruption.waiting(lambda: loop.call_soon_threadsafe(task.cancel)):
                loop.run_until_complete(self._supervise(task))
            return task.result()
        finally:
            if task.done() and not task.cancelled():
                task.exception()  # it is looked at: what broke off the loop is not logged a second time

    def close(self) -> None:
        """Cancels what is left of the walk's tasks, and gives them a second."""
        if self._loop is None:
            return
        loop, self._loop = self._loop, None
        ending = _end_tasks()
        try:
            loop.run_until_complete(ending)
        finally:
            ending.close()  # an interruption may have come before its first step
            AsyncToSync.loop_thread_executors.pop(loop, None)
            loop.close()

    def _opened(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(_report_failure)
            self._context = copy_context()
            AsyncToSync.loop_thread_executors[self._loop] = InlineExecutor()  # type: ignore[assignment] # submit() is all
        return self._loop

    async def _supervise(self, task: asyncio.Task[Any]) -> None:
        while not task.done():
            await asyncio.wait({task}, timeout=CHECK_SECONDS)
            if not task.done():
                self._check()


def _report_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs what failed and was awaited by nobody; an interruption, which comes up wherever it may, did its work."""
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


async def _await(awaitable: Awaitable[Result]) -> Result:
    return await awaitable


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    await asyncio.wait({asyncio.create_task(asyncio.get_running_loop().shutdown_asyncgens())}, timeout=GRACE_SECONDS)


class InlineExecutor(Executor):
    """Runs what it is given at once, in the calling thread, outside of the event loop."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        future: Future[Result] = Future()
        try:
            future.set_result(outside_event_loop(fn)(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def outside_event_loop(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Makes a function that can be called in an event loop's code, and does not seem to be: it may use the database."""

    @wraps(function)
    def call(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        with _no_running_loop():
            return function(*args, **kwargs)

    return call


@contextmanager
def _no_running_loop() -> Iterator[None]:
    loop = _get_running_loop()
    if loop is None:
        yield
        return
    _set_running_loop(None)
    try:
        yield
    finally:
        _set_running_loop(loop)
