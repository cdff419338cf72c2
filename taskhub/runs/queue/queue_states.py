"""The queues and the workers as they are now: what waits, what goes on, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from taskhub.db.plans import reads_along_indexes
from taskhub.runs.models import Run, Worker, live_workers
from taskhub.runs.run_kinds import all_kinds

COUNTED_MAX = 10_000  # of the runs of a kind that wait
OWNERS_MAX = 1_000  # of whom it is asked for how long their next run waits

# Of each owner the run that is claimed next, found by jumping from owner to owner along the index.
_KINDS = """
SELECT kinds.name,
    (SELECT count(*) FROM (SELECT FROM runs_run WHERE ready AND kind = kinds.name LIMIT %(counted)s) AS counted),
    (
        WITH RECURSIVE next AS (
            (
                SELECT owner_id, state, not_before, created_at FROM runs_run
                WHERE ready AND kind = kinds.name ORDER BY owner_id, priority DESC, id LIMIT 1
            )
            UNION ALL
            SELECT following.* FROM next CROSS JOIN LATERAL (
                SELECT owner_id, state, not_before, created_at FROM runs_run
                WHERE ready AND kind = kinds.name AND owner_id > next.owner_id
                ORDER BY owner_id, priority DESC, id LIMIT 1
            ) AS following
        )
        SELECT extract(epoch FROM clock_timestamp() - min(coalesce(not_before, created_at)))::float
        FROM (SELECT * FROM next LIMIT %(owners)s) AS owners
    ),
    (SELECT count(*) FROM runs_run WHERE lease_until > '-infinity' AND kind || '' = kinds.name)
FROM unnest(%(kinds)s::text[]) AS kinds (name)
"""


@dataclass(frozen=True)
class QueueState:
    """A queue: runs that a worker may take now, counted up to `COUNTED_MAX` of each kind, and for how many seconds the
    oldest waits; runs that go on; slots of its workers, and how many workers these are.
    """

    name: str
    waiting: int
    oldest_seconds: float | None
    running: int
    slots: int
    workers: int


@dataclass(frozen=True)
class WorkerState:
    """A worker that is alive, with the ids of the runs that it carries out."""

    name: str
    host: str
    queues: list[str]
    slots: int
    runs: list[UUID]
    since: datetime
    seen_at: datetime


def queue_states() -> list[QueueState]:
    """All queues, in the order in which the settings have them."""
    values: dict[str, Any] = {
        "kinds": [kind.name for kind in all_kinds()],
        "counted": COUNTED_MAX,
        "owners": OWNERS_MAX,
    }
    with reads_along_indexes(), connection.cursor() as cursor:
        cursor.execute(_KINDS, values)
        kinds = {name: numbers for name, *numbers in cursor.fetchall()}
    workers = list(live_workers())
    return [_queue_state(queue, kinds, [one for one in workers if queue in one.queues]) for queue in settings.QUEUES]


def _queue_state(queue: str, kinds: Mapping[str, list[Any]], workers: list[Worker]) -> QueueState:
    numbers = [kinds[kind.name] for kind in all_kinds() if kind.queue == queue]
    return QueueState(
        name=queue,
        waiting=sum(waiting for waiting, _, _ in numbers),
        oldest_seconds=max((age for _, age, _ in numbers if age is not None), default=None),
        running=sum(running for _, _, running in numbers),
        slots=sum(len(worker.processes) for worker in workers),
        workers=len(workers),
    )


def worker_states() -> list[WorkerState]:
    """The workers that are alive, by their names."""
    runs: dict[str, list[UUID]] = {}
    held = Run.objects.filter(lease_until__isnull=False).exclude(worker="").order_by()  # along the index of leases
    for run_id, worker in sorted(held.values_list("pk", "worker")):
        runs.setdefault(worker.rpartition(":")[0], []).append(run_id)
    return [
        WorkerState(
            name=worker.name,
            host=worker.name.rpartition("@")[2].partition(":")[0],
            queues=worker.queues,
            slots=len(worker.processes),
            runs=runs.get(worker.name, []),
            since=worker.since,
            seen_at=worker.seen_at,
        )
        for worker in live_workers().order_by("name")
    ]
