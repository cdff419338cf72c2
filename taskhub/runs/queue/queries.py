"""Queries: a run that a user may see, its end, and each of its changes."""

import time
from collections.abc import Generator
from typing import Any
from uuid import UUID

from django.conf import settings

from taskhub.db.connections import give_back_connection
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import NotFound
from taskhub.runs.models import Run, run_with_id
from taskhub.runs.queue import pubsub

_open_waits = FairSemaphore(settings.OPEN_WAITS_MAX, settings.OPEN_WAITS_PER_USER, "Too many waits are open.")


def visible_run(*, run_id: UUID, user: Any) -> Run:
    """The run with this id. Raises `NotFound` for one that never was or is another's."""
    run = run_with_id(run_id)
    if run is None or not run.is_visible_to(user):
        raise NotFound(f"There is no run {run_id}, or it is not yours.")
    return run


def wait(*, run_id: UUID, user: Any, seconds: float) -> Run:
    """The run as it is when it ends, or when `seconds` are over. Raises as `visible_run` and `changes` do."""
    run = visible_run(run_id=run_id, user=user)
    if not run.ended and seconds > 0:
        for run in changes(run_id=run_id, user=user, seconds=seconds):
            if run.ended:
                break
    return run


def changes(*, run_id: UUID, user: Any, seconds: float, keep_alive: float = 300) -> Generator[Run, None, None]:
    """Yields the run now, after each wake-up, and after `keep_alive` seconds without one, until `seconds` are over.

    Between them no database connection is held.
    Raises `Unavailable` when this process already has as many waits open, or of this user, as the settings allow.
    """
    with _open_waits.acquire(user.pk):
        deadline = time.monotonic() + seconds
        with pubsub.subscribe(run_id) as subscription:
            yield visible_run(run_id=run_id, user=user)
            while (remaining := deadline - time.monotonic()) > 0:
                give_back_connection()
                subscription.wait(min(remaining, keep_alive))
                yield visible_run(run_id=run_id, user=user)
