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
HEADS_MAX = 1_000  # of the runs that are next of an owner and a priority it is looked at for how long they wait

# Of each owner and priority the run that is claimed next, which is the oldest of them; found by jumping from one to the
# other along the index. Of runs that came back from a lost worker it is not known since when they wait.
WAITING = """
SELECT kinds.name,
    (SELECT count(*) FROM (SELECT FROM runs_run WHERE ready AND kind = kinds.name LIMIT %(counted)s) AS counted),
    (
        WITH RECURSIVE heads AS (
            (
                SELECT owner_id, priority, state, not_before, created_at FROM runs_run
                WHERE ready AND kind = kinds.name ORDER BY owner_id, priority DESC, id LIMIT 1
            )
            UNION ALL
            SELECT following.* FROM heads CROSS JOIN LATERAL (
                (
                    SELECT owner_id, priority, state, not_before, created_at FROM runs_run
                    WHERE ready AND kind = kinds.name AND owner_id = heads.owner_id AND priority < heads.priority
                    ORDER BY owner_id, priority DESC, id LIMIT 1
                )
                UNION ALL
                (
                    SELECT owner_id, priority, state, not_before, created_at FROM runs_run
                    WHERE ready AND kind = kinds.name AND owner_id > heads.owner_id
                    ORDER BY owner_id, priority DESC, id LIMIT 1
                )
                LIMIT 1
            ) AS following
        )
        SELECT extract(epoch FROM clock_timestamp() - min(coalesce(not_before, created_at)))::float
        FROM (SELECT * FROM heads LIMIT %(heads)s) AS looked_at
        WHERE state = 'PENDING' OR not_before IS NOT NULL
    )
FROM unnest(%(kinds)s::text[]) AS kinds (name)
"""
# How many runs of each kind go on, and how many of these workers hold.
RUNNING = """
SELECT kind, count(*), count(*) FILTER (WHERE worker <> '') FROM runs_run WHERE lease_until > '-infinity' GROUP BY kind
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
        "heads": HEADS_MAX,
    }
    with reads_along_indexes(), connection.cursor() as cursor:
        cursor.execute(WAITING, values)
        waiting = {kind: numbers for kind, *numbers in cursor.fetchall()}
        cursor.execute(RUNNING)
        running = {kind: number for kind, number, _ in cursor.fetchall()}
    workers = list(live_workers())
    return [
        _queue_state(queue, waiting, running, [one for one in workers if queue in one.queues])
        for queue in settings.QUEUES
    ]


def _queue_state(
    queue: str, waiting: Mapping[str, list[Any]], running: Mapping[str, int], workers: list[Worker]
) -> QueueState:
    kinds = [kind.name for kind in all_kinds() if kind.queue == queue]
    ages = [age for _, age in map(waiting.__getitem__, kinds) if age is not None]
    return QueueState(
        name=queue,
        waiting=sum(waiting[kind][0] for kind in kinds),
        oldest_seconds=max(ages, default=None),
        running=sum(running.get(kind, 0) for kind in kinds),
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
