"""What people ask of a run: to see it, to wait for it, to stop it."""

import time
from collections.abc import Generator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from taskhub.db.connections import give_back_connection
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Conflict, NotFound
from taskhub.runs.domain import State
from taskhub.runs.models import Run, run_with_id
from taskhub.runs.queue import pubsub
from taskhub.runs.queue.leases import end_elsewhere, end_revoked

_open_waits = FairSemaphore(settings.OPEN_WAITS_MAX, settings.OPEN_WAITS_PER_USER, "Too many waits are open.")


def visible_run(*, run_id: UUID, user: Any) -> Run:
    """Raises `NotFound` for a run that never was or is another's."""
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


def changes(*, run_id: UUID, user: Any, seconds: float, pulse: float = 300) -> Generator[Run, None, None]:
    """The run now, after each wake-up and after each `pulse` of silence, until `seconds` are over.

    Between them no database connection is held.
    Raises `Unavailable` when this process already has as many waits open, or of this user, as the settings allow.
    """
    with _open_waits.acquire(user.pk):
        deadline = time.monotonic() + seconds
        with pubsub.watch(run_id) as bell:
            yield visible_run(run_id=run_id, user=user)
            while (left := deadline - time.monotonic()) > 0:
                give_back_connection()
                bell.sleep(min(left, pulse))
                yield visible_run(run_id=run_id, user=user)


def cancel(*, run: Run) -> Run:
    """Ends a waiting or running run as REVOKED at once: its work can no longer commit an ending, nor an effect.

    The worker is told, and stops within seconds. Raises `Conflict` when the run has ended before.
    """
    with transaction.atomic():
        row = Run.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if row.ended:
            raise Conflict(f"The run has ended; it is {row.state}.", state=row.state)
        end_revoked(run=row)
        if row.lease_until:
            transaction.on_commit(lambda: pubsub.publish(f"worker:{row.worker}", str(row.pk)))
    row.refresh_from_db()
    return row


def settle(*, run_id: UUID, state: State, result: Any = None, error: Any = None) -> bool:
    """Ends a run whose work went on elsewhere, in the caller's transaction; False when it has ended before.

    A worker that still has it learns of it when it next renews its lease, and its own ending comes too late.
    """
    row = Run.objects.select_for_update(of=("self",)).filter(pk=run_id).first()
    if row is None or row.ended:
        return False
    end_elsewhere(run=row, state=state, result=result, error=error)
    return True
