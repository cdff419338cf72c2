"""The queues and the workers as they are now: what waits, what goes on, and where."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from taskhub.db.plans import PLAN_ONCE
from taskhub.db.prepared_statements import PreparedStatement, fetch_last
from taskhub.runs.models import Run, Worker, live_workers, worker_timeout
from taskhub.runs.queue.leases import SHARES
from taskhub.runs.run_kinds import all_kinds, kinds_of_queue

COUNTED_MAX = 10_000  # of the runs of a kind that wait
HEADS_MAX = 1_000  # of the runs that are next of an owner and a priority it is looked at for how long they wait

# By kind: the members of `KindCounts`. Next is of each owner and priority the run that is claimed next, which is the
# oldest of them; found by jumping from one to the other along the index. Of runs that came back from a lost worker it
# is not known since when they wait.
_KINDS = PreparedStatement(
    """
WITH running AS (
    SELECT kind, count(*) AS runs, count(*) FILTER (WHERE worker <> '') AS held
    FROM runs_run WHERE lease_until > '-infinity' GROUP BY kind
)
SELECT kinds.name, coalesce(running.runs, 0), coalesce(running.held, 0),
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
FROM unnest(%(kinds)s) AS kinds (name) LEFT JOIN running ON running.kind = kinds.name
""",
    kinds="text[]",
    counted="int",
    heads="int",
)
# Of runs that came back from a lost worker, or were admitted, it is not known since when they wait.
_UNTAKEN = PreparedStatement(
    f"""
SELECT queues.name, (
    {SHARES.replace("%(queue)s", "queues.name").replace("%(kinds)s", "string_to_array(queues.kinds, ' ')")}
    , waiting AS (
        SELECT owner_id, coalesce(not_before, created_at) AS since FROM runs_run
        WHERE ready AND kind = ANY(string_to_array(queues.kinds, ' '))
            AND (state = 'PENDING' OR not_before IS NOT NULL)
            AND alone_as NOT IN (SELECT alone_as FROM alone) AND concurrency_key = ''
        LIMIT 10000
    )
    SELECT extract(epoch FROM clock_timestamp() - min(since))::float FROM waiting
    WHERE (SELECT slots FROM free) > 0 AND owner_id NOT IN (
        SELECT owner_id FROM held WHERE runs >= %(cap)s OR slots >= (SELECT slots FROM free)
    )
) FROM unnest(%(queues)s, %(kinds)s) AS queues (name, kinds)
""",  # noqa: S608 (a statement of our own)
    queues="text[]",
    kinds="text[]",
    silent="interval",
    cap="int",
)


class KindCounts(NamedTuple):
    """Runs of a kind: those that go on, those of them that workers hold, those that a worker may take now, counted up
    to a number; and for how many seconds the oldest of these waits that are next."""

    running: int
    held: int
    waiting: int
    oldest_seconds: float | None


def counts_of_kinds(counted_max: int) -> dict[str, KindCounts]:
    """The runs of all kinds that have not ended."""
    values = {"kinds": [kind.name for kind in all_kinds()], "counted": counted_max, "heads": HEADS_MAX}
    with connection.cursor() as cursor:
        _KINDS.execute(cursor, values, first=PLAN_ONCE)
        return {kind: KindCounts(*numbers) for kind, *numbers in fetch_last(cursor)}


def seconds_untaken(queues: Collection[str]) -> dict[str, float]:
    """By queue: for how long the oldest run has waited that a worker has a free slot for; 0 where there is none.

    Work of detached runs counts as well.
    """
    values = {"queues": list(queues), "kinds": [" ".join(kinds_of_queue(queue)) for queue in queues]}
    with connection.cursor() as cursor:
        _UNTAKEN.execute(
            cursor, {**values, "silent": worker_timeout(), "cap": settings.RUN_CAP_PER_OWNER}, first=PLAN_ONCE
        )
        waits = {queue: seconds or 0.0 for queue, seconds in fetch_last(cursor)}
    for kind in all_kinds():
        if kind.queue in waits:
            waits[kind.queue] = max(waits[kind.queue], kind.seconds_untaken())
    return waits


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
    counts, workers = counts_of_kinds(COUNTED_MAX), list(live_workers())
    return [
        _queue_state(
            queue, [counts[kind] for kind in kinds_of_queue(queue)], [one for one in workers if queue in one.queues]
        )
        for queue in settings.QUEUES
    ]


def _queue_state(queue: str, counts: Collection[KindCounts], workers: Collection[Worker]) -> QueueState:
    return QueueState(
        name=queue,
        waiting=sum(kind.waiting for kind in counts),
        oldest_seconds=max((kind.oldest_seconds for kind in counts if kind.oldest_seconds is not None), default=None),
        running=sum(kind.running for kind in counts),
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
