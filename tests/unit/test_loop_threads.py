"""Threads that work for an event loop."""

import asyncio
import threading

import pytest

from taskhub.web.front.loop_threads import LoopThreads


def test_a_call_gives_what_it_returns_or_raises() -> None:
    async def act() -> None:
        threads = LoopThreads(1, "test")
        assert await threads.call(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await threads.call(divmod, 7, 0)
        with pytest.raises(SystemExit):
            await threads.call(exit)
        assert await threads.call(threading.get_ident) != threading.get_ident()

    asyncio.run(act())


def test_calls_wait_when_all_threads_are_at_work() -> None:
    async def act() -> None:
        threads, released = LoopThreads(2, "test"), threading.Event()
        calls = [threads.call(released.wait, 60) for _ in range(5)]
        assert threads.count_waiting == 3
        released.set()
        assert await asyncio.gather(*calls) == [True] * 5
        assert threads.count_waiting == 0
        assert threads._started == 2

    asyncio.run(act())


def test_a_call_for_which_no_thread_can_be_started_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    async def act() -> None:
        threads = LoopThreads(1, "test")
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                threads.call(made.append, 1)
        assert threads.count_waiting == 0
        await threads.call(made.append, 2)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    asyncio.run(act())
    assert made == [2]


def test_a_call_that_nobody_waits_for_any_more_leaves_its_thread_to_the_next() -> None:
    async def act() -> None:
        threads, released = LoopThreads(1, "test"), threading.Event()
        left = threads.call(released.wait, 60)
        left.cancel()
        released.set()
        assert await threads.call(divmod, 7, 2) == (3, 1)
        assert threads.count_waiting == 0

    asyncio.run(act())
