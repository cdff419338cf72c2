"""Ends a web process that no longer serves; the server starts another one, and the other processes serve meanwhile.

A request may keep all of a process to itself, by computing in C without letting other threads run. Then no code of
Python can do anything about it. So the event loop sets timers at each of its turns that end the process, should it not
get another turn:

- SIGPROF, when the process has computed for some seconds: the kernel counts and sends it, and the C code of
  `faulthandler` writes to the log what each thread was at, before the signal ends the process. It counts computing, so
  that a machine that slept, or is busy with other things, ends nothing.
- a thread of `faulthandler`'s, which is none of Python's, after a minute by the clock, whatever the loop waits for.

A process whose event loop turns, but all of whose threads work without an end, serves nobody either. The loop itself
sees that: requests wait for a thread, and in a minute none became free.

Who starts next says which requests the process had (see `request_register`).
"""

import asyncio
import faulthandler
import logging
import os
import signal

from django.conf import settings

from taskhub.web.front.front_state import FrontState

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0
STUCK_SECONDS = 60.0


class ProcessGuard:
    """Guards one web process, from `start` to `stop`."""

    def __init__(self, front: FrontState) -> None:
        self._front = front
        self._seen = 0  # calls that had ended when the loop last looked
        self._moved_at = 0.0
        self._turning: asyncio.Task[None] | None = None

    def start(self) -> None:
        faulthandler.register(signal.SIGPROF, chain=True)
        self._turning = asyncio.create_task(self._turn())

    def stop(self) -> None:
        if self._turning is not None:
            self._turning.cancel()
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()

    async def _turn(self) -> None:
        # Threads that compute in C side by side take as many seconds of each second as there are processors.
        seconds = settings.WEB_COMPUTING_SECONDS * (os.cpu_count() or 1)
        loop = asyncio.get_running_loop()
        self._moved_at = loop.time()
        while True:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
            if self._is_stuck(loop.time()):
                log.critical("No request got a thread for %d s; the process ends", STUCK_SECONDS)
                faulthandler.dump_traceback()
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(TURN_SECONDS)

    def _is_stuck(self, now: float) -> bool:
        if self._front.ended_calls != self._seen or not self._front.waiting_calls:
            self._seen, self._moved_at = self._front.ended_calls, now
        return now - self._moved_at > STUCK_SECONDS
