"""Celery beat's scheduler: of several beats one leads; the leader fires schedules and does maintenance."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from celery.beat import Scheduler
from celery.signals import beat_init
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from taskhub.accounts import services as accounts
from taskhub.runs.queue import prune, sweep
from taskhub.runs.run_tallies import prune_tallies, tally_hour
from taskhub.runs.scheduler.beat_schedules import UnusedTimetables
from taskhub.runs.scheduler.due_times import read_changes
from taskhub.runs.scheduler.fires import fire_due
from taskhub.runs.scheduler.leadership import lead, resign

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
PRUNE_SECONDS = 60.0
READ_SECONDS = 2.0
TALLY_SECONDS = 60.0
FIRE_SECONDS = 5.0  # then the lease is renewed


@beat_init.connect
def _end_reliably(sender: Any, **_: Any) -> None:
    """Celery's beat ends by an exception that its signal handler raises. Where that comes in the middle of something
    that lets none out, such as a finalizer, it is lost: so the end is noted, too, and seen after the tick."""

    def end(*_: Any) -> None:
        sender._is_shutdown.set()
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


class BeatScheduler(Scheduler):
    """While it holds the lease `beat`: fires what is due and sweeps every second, reads what was changed in schedules
    every other second, prunes every minute, and tallies the runs of each hour."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{time.time():.3f}"
        self.prune_at = time.monotonic() + PRUNE_SECONDS
        self.read_at = time.monotonic()
        self.tally_at = time.monotonic() + TALLY_SECONDS
        self.unused_timetables = UnusedTimetables()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        began = time.monotonic()
        if self._try(lambda: lead("beat", self.holder)):
            for duty in (self.fire, self.read_changes, sweep, self.prune, self.tally):
                self._try(duty)
        return max(0.0, TICK_SECONDS - (time.monotonic() - began))

    def _try(self, duty: Callable[[], Any]) -> Any:
        """Calls a duty; one that fails leaves the others alone, and is tried again at the next tick."""
        try:
            return duty()
        except (DatabaseError, InterfaceError) as error:
            log.warning("A duty of the leader failed: %s", error)
            connection.close()
        except Exception:
            log.exception("A duty of the leader failed")

    @staticmethod
    def fire() -> None:
        began = time.monotonic()
        while fire_due() and time.monotonic() - began < FIRE_SECONDS:
            pass  # also those of one schedule that are due one after the other

    def read_changes(self) -> None:
        if time.monotonic() >= self.read_at and not read_changes():
            self.read_at = time.monotonic() + READ_SECONDS

    def prune(self) -> None:
        if time.monotonic() >= self.prune_at:
            removed = prune() + prune_tallies() + accounts.prune(timezone.now()) + self.unused_timetables.prune()
            # A full batch means that more is waiting: go on at the next tick rather than in a minute.
            self.prune_at = time.monotonic() + (TICK_SECONDS if removed >= 1000 else PRUNE_SECONDS)

    def tally(self) -> None:
        if time.monotonic() >= self.tally_at:
            tallied = tally_hour()  # there may be more: after an upgrade those of all days
            self.tally_at = time.monotonic() + (TICK_SECONDS if tallied else TALLY_SECONDS)

    def close(self) -> None:
        try:
            resign("beat", self.holder)
        except (DatabaseError, InterfaceError):
            log.warning("The lead was not given back; it lapses by itself")
        super().close()
