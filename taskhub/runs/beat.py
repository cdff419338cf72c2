"""Celery beat's scheduler: of several beats one leads, and the leader keeps the ledger."""

import logging
import os
import socket
import time
from typing import Any

from celery.beat import Scheduler
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from taskhub.accounts import services as accounts
from taskhub.runs.leadership import lead, resign
from taskhub.runs.services import prune, sweep

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
PRUNE_SECONDS = 60.0


class Leader(Scheduler):
    """Sweeps every second and prunes every minute while it holds the lease `beat`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{time.time():.3f}"
        self.prune_at = time.monotonic() + PRUNE_SECONDS
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        try:
            if lead("beat", self.holder):
                self.keep()
        except (DatabaseError, InterfaceError) as error:
            log.warning("The ledger was not kept: %s", error)
            connection.close()
        except Exception:
            log.exception("The ledger was not kept")  # the next tick may do better; without ticks nothing is kept
        return TICK_SECONDS

    def keep(self) -> None:
        sweep()
        if time.monotonic() >= self.prune_at:
            removed = prune() + accounts.prune(timezone.now())
            # A full batch means that more is waiting: go on at the next tick rather than in a minute.
            self.prune_at = time.monotonic() + (TICK_SECONDS if removed >= 1000 else PRUNE_SECONDS)

    def close(self) -> None:
        try:
            resign("beat", self.holder)
        except (DatabaseError, InterfaceError):
            log.warning("The lead was not given back; it lapses by itself")
        super().close()
