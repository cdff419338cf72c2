"""What all requests of one web process have in common: its threads, and what is open in it."""

import asyncio
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase

from taskhub.web.front.loop_threads import LoopThreads
from taskhub.web.front.request_body import OpenBodies
from taskhub.web.front.thread_turns import ThreadTurns


class FrontState:
    """What the exchanges of one web process share. `respond` is Django's handler."""

    def __init__(self, respond: Callable[[dict[str, Any]], HttpResponseBase]) -> None:
        self.respond = respond
        self.threads = LoopThreads(settings.WEB_THREADS, "django")
        self.turns = ThreadTurns(settings.WEB_THREADS, settings.WEB_THREADS_PER_CALLER)
        # A long body is read while it arrives, so its sender decides how long a thread is held: they are apart.
        # Beside those that are taken fairly by users, there are some for callers who will be refused.
        long_bodies = settings.UPLOADS_AT_ONCE + settings.LONG_FORMS_AT_ONCE
        self.body_threads = LoopThreads(long_bodies + 8, "long-body")
        self.stopping = False
        self.open_waits: set[asyncio.Event] = set()
        self.open_bodies = OpenBodies()
        self.ended_calls = 0  # of Django, in one of `threads`

    @property
    def waiting_calls(self) -> int:
        """How many calls wait because all `threads` are taken."""
        waiting_turns = self.turns.count_waiting if self.turns.all_are_taken else 0
        return waiting_turns + self.threads.count_waiting
