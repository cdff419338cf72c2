"""Queries: a run that a user may see, its end, and each of its changes."""

import time
from typing import Any
from uuid import UUID

from django.db import connection

from taskhub.db.connections import give_back_connection
from taskhub.errors import NotFound
from taskhub.runs.models import Run
from taskhub.runs.queue import pubsub
from taskhub.runs.queue.leases import RUN_COLUMNS, fetch_run

_BY_ID = f"SELECT {RUN_COLUMNS} FROM runs_run WHERE id = %s"  # noqa: S608 (columns of our own model)


def visible_run(*, run_id: UUID, user: Any) -> Run:
    """The run with this id. Raises `NotFound` for one that never was or is another's."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_ID, [run_id])
        run = fetch_run(cursor)
    if run is None or not run.is_visible_to(user):
        raise NotFound(f"There is no run {run_id}, or it is not yours.")
    return run


def wait(*, run_id: UUID, user: Any, seconds: float) -> Run:
    """The run as it is when it ends, or when `seconds` are over; the calling thread waits. Raises `NotFound`.

    No database connection is held meanwhile. Calls by HTTP wait without a thread: see `taskhub.runs.waits`.
    """
    run = visible_run(run_id=run_id, user=user)
    if run.ended or seconds <= 0:
        return run
    until = time.monotonic() + seconds
    with pubsub.subscribe(run_id) as subscription:
        while True:
            run = visible_run(run_id=run_id, user=user)
            remaining = until - time.monotonic()
            if run.ended or remaining <= 0:
                return run
            give_back_connection()
            subscription.wait(remaining)
