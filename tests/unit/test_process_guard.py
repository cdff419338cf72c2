"""A web process none of whose threads becomes free serves nobody."""

import asyncio
from threading import Event
from typing import Any

from django.http import HttpResponse

from taskhub.web.front.front_state import FrontState
from taskhub.web.front.process_guard import STUCK_SECONDS, ProcessGuard


def test_a_process_is_stuck_when_requests_wait_and_no_thread_becomes_free(settings: Any) -> None:
    settings.WEB_THREADS = 2
    asyncio.run(watch_a_process())


async def watch_a_process() -> None:
    front, released = FrontState(lambda environ: HttpResponse()), Event()
    guard = ProcessGuard(front)
    calls = [front.threads.call(released.wait, 60) for _ in range(2)]
    assert not guard._is_stuck(0)
    assert not guard._is_stuck(2 * STUCK_SECONDS)  # all are busy, and nobody waits
    waiting = front.threads.call(released.wait, 60)
    assert not guard._is_stuck(2 * STUCK_SECONDS + 1)
    assert guard._is_stuck(4 * STUCK_SECONDS)
    front.ended_calls += 1
    assert not guard._is_stuck(4 * STUCK_SECONDS)
    released.set()
    await asyncio.gather(*calls, waiting)
    assert not guard._is_stuck(9 * STUCK_SECONDS)
