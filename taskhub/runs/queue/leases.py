"""Runs from their claim to their end: claimed, renewed, detached, suspended, put off. Each change is one conditional
statement; how they end is in `ends`.

Fencing. A claim raises the run's attempt and sets its lease, in one statement. Whatever a worker writes later is
conditional on that attempt and on a lease that is still set: so a worker that was thought dead and comes back, or whose
run was cancelled, changes no row. It learns so by `LeaseLost`, and the transaction of its effect rolls back with it.

Claiming. `FOR UPDATE SKIP LOCKED` lets workers that claim at the same moment take different runs without waiting for
one another. The next run of the next owner is chosen (owners in a circle, each worker from the one that it served
last), so a thousand runs of one user delay another user's by one run. Of an owner's runs those of the highest priority
come first, and of these the oldest. Concurrency keys concern no claim: see `admission`.

Sharing. An owner gets one more slot only while more slots of the queue are free than the owner holds (the dynamic
thresholds by which switches share a buffer: Choudhury and Hahne, 1998). So whoever comes first, with however many long
runs, leaves slots for the next: of four slots one owner gets two, a second one, and one stays free for a third. Claims
of one queue are made one after the other, under an advisory lock: else workers that claim at the same moment would all
count the same slots as free. For the same reason no two runs that are to be alone (`Run.alone_as`) go on at once.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from taskhub.db.plans import PLAN_ONCE
from taskhub.db.prepared_statements import PreparedStatement
from taskhub.runs.domain import RUNNING, LeaseLost, State
from taskhub.runs.models import Run, worker_timeout
from taskhub.runs.queue import broker, pubsub
from taskhub.runs.queue.signals import ask_for_admission, leave_room
from taskhub.runs.run_kinds import kind_of, kinds_of_queue

_FIELDS = Run._meta.concrete_fields
_READ_FIELDS: list[tuple[int, Any]] = [
    (index, field) for index, field in enumerate(_FIELDS) if hasattr(field, "from_db_value")
]
RUN_COLUMNS = ", ".join(field.attname for field in _FIELDS)

# A claim, which is a transaction of its own, does not wait for the disk: one that a crash of PostgreSQL takes back is
# made again, and an ending that is on disk has its claim before it.
_CLAIM = f"""
UPDATE runs_run SET
    state = 'STARTED', ready = false, attempt = attempt + 1, worker = %(worker)s, progress = NULL, error = NULL,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    started_at = coalesce(started_at, clock_timestamp()), revision = revision + 1
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS this_transaction
WHERE id = ({{chosen}} LIMIT 1)
RETURNING {RUN_COLUMNS}
"""  # noqa: S608 (columns of our own model)
_CLAIM_TYPES = {"worker": "text", "lease": "float8"}
_NEXT_OWNER = """
    SELECT id FROM (
        SELECT id FROM runs_run
        WHERE ready AND kind = %(kind)s AND owner_id {side} %(after)s AND owner_id NOT IN (
            SELECT owner_id FROM held WHERE runs >= %(cap)s OR slots >= (SELECT greatest(slots, 1) FROM free)
        ) AND alone_as NOT IN (SELECT alone_as FROM alone) AND {may_begin}
        ORDER BY owner_id, priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS {name}
"""
# What has not begun when it expires never begins; the leader ends it.
_MAY_BEGIN = "(expires_at IS NULL OR state <> 'PENDING' OR expires_at > clock_timestamp())"
_LOCK_CLAIMS = "SELECT pg_advisory_xact_lock(hashtext('runs_run claims'), hashtext(%(queue)s));"
# The lease of a process that died holds no slot, though it has not run out yet. Where no worker says which processes it
# has (one of an older version), the cap alone limits an owner. Of running runs only the index of leases may be read,
# whatever the table holds.
SHARES = """
WITH processes AS (
    SELECT name || ':' || unnest(processes) AS name FROM runs_worker
    WHERE %(queue)s = ANY(queues) AND seen_at > clock_timestamp() - %(silent)s
), held AS (
    SELECT owner_id, count(*) AS runs, count(processes.name) AS slots
    FROM runs_run LEFT JOIN processes ON processes.name = worker
    WHERE lease_until > '-infinity' AND kind || '' = ANY(%(kinds)s) AND worker <> '' GROUP BY owner_id
), alone AS (
    SELECT alone_as FROM runs_run WHERE lease_until > '-infinity' AND kind || '' = ANY(%(kinds)s) AND alone_as <> ''
), free AS (
    SELECT count(*) - (SELECT coalesce(sum(slots), 0) FROM held) AS slots FROM processes HAVING count(*) > 0
)
"""
_CLAIM_FAIREST = PreparedStatement(
    SHARES
    + _CLAIM.format(
        chosen=_NEXT_OWNER.format(side=">", name="after", may_begin=_MAY_BEGIN)
        + "UNION ALL"
        + _NEXT_OWNER.format(side="<=", name="round", may_begin=_MAY_BEGIN)
    ),
    **_CLAIM_TYPES,
    queue="text",
    kinds="text[]",
    silent="interval",
    kind="text",
    after="uuid",
    cap="int",
)
_CLAIM_THIS = PreparedStatement(
    _CLAIM.format(
        chosen=f"SELECT id FROM runs_run WHERE ready AND id = %(id)s AND {_MAY_BEGIN} FOR UPDATE SKIP LOCKED"  # noqa: S608
    ),
    **_CLAIM_TYPES,
    id="uuid",
)

_CONFIRM = """
SELECT 1 FROM runs_run WHERE id = %(id)s AND attempt = %(attempt)s AND lease_until IS NOT NULL FOR NO KEY UPDATE
"""
_RENEW = """
WITH given AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(progress)s::jsonb[]) AS given (id, attempt, progress)
), claimed AS (
    SELECT id FROM runs_run JOIN given USING (id, attempt) WHERE lease_until IS NOT NULL
), unlocked AS (
    SELECT runs_run.id, given.progress FROM runs_run JOIN given USING (id, attempt) WHERE lease_until IS NOT NULL
    FOR NO KEY UPDATE OF runs_run SKIP LOCKED
), renewed AS (
    UPDATE runs_run SET
        lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
        state = CASE WHEN unlocked.progress IS NULL THEN state ELSE 'PROGRESS' END,
        progress = coalesce(unlocked.progress, runs_run.progress),
        revision = revision + (unlocked.progress IS NOT NULL)::int
    FROM unlocked WHERE runs_run.id = unlocked.id
)
SELECT id FROM claimed
"""


def claim(*, kind: str, worker: str, after: UUID) -> Run | None:
    """Claims the oldest waiting run of the next owner after `after` for `worker`; None when nothing waits.

    A worker that gives the owner whom it served last goes round all owners: a queue full of one user's runs delays
    another user's by one run. Owners are left out that hold as many slots of the queue as are free, or as the cap
    allows.
    """
    queue = kind_of(kind).queue
    values = {"queue": queue, "kinds": kinds_of_queue(queue), "silent": worker_timeout()}
    values |= {"kind": kind, "after": after, "cap": settings.RUN_CAP_PER_OWNER}
    return _claim(_CLAIM_FAIREST, worker, values, first=_LOCK_CLAIMS + PLAN_ONCE)


def claim_this(*, run_id: UUID, worker: str) -> Run | None:
    """Claims this very run, if it still waits."""
    return _claim(_CLAIM_THIS, worker, {"id": run_id})


def _claim(statement: PreparedStatement, worker: str, values: Mapping[str, Any], first: str = "") -> Run | None:
    values = {"worker": worker, "lease": settings.RUN_LEASE_SECONDS, **values}
    with connection.cursor() as cursor:
        statement.execute(cursor, values, first)
        return fetch_run(cursor)


def fetch_run(cursor: Any) -> Run | None:
    """The first run of what a cursor has executed, the last of which gives `RUN_COLUMNS`.

    For what is asked thousands of times a second: composing such a statement takes the ORM three times as long as
    all the rest.
    """
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    if row is None:
        return None
    columns = list(row)
    for index, field in _READ_FIELDS:
        columns[index] = field.from_db_value(columns[index], None, connection)
    return Run.from_db(connection.alias, [field.attname for field in _FIELDS], columns)


def worker_topic(worker: str) -> str:
    """Where a worker hears that one of its runs was cancelled; its slots (after the colon) listen together."""
    return f"worker:{worker.partition(':')[0]}"


def detach(*, run: Run, until: datetime) -> None:
    """Lets a claimed run go on outside of any worker, under a lease that ends at `until`.

    When the lease runs out, the run is offered again, and the kind's work sees what became of it.

    What failed or was lost before is forgotten, and a detached run does not count for its owner's cap. Raises
    `LeaseLost`.
    """
    if not _change(run, state=State.PROGRESS, worker="", lease_until=until, failures=0, losses=0):
        raise LeaseLost(str(run.pk))


def suspend(*, run_id: UUID, error: Mapping[str, Any]) -> bool:
    """Lets a detached run wait until `resume`; False when it does not run."""
    running = Run.objects.filter(pk=run_id, state__in=RUNNING)
    return _change_unclaimed(
        run_id, running, error=dict(error), lease_until=None, ready=False, not_before=None, worker=""
    )


def resume(*, run: Run) -> bool:
    """Offers a suspended run again, and notifies a worker after the commit; False when it was not suspended."""
    suspended = Run.objects.filter(pk=run.pk, state=State.RETRY, ready=False, blocked=False, not_before__isnull=True)
    has_key = bool(run.concurrency_key)
    if not _change_unclaimed(run.pk, suspended, ready=not has_key, blocked=has_key):
        return False
    transaction.on_commit(lambda: ask_for_admission(run) if has_key else broker.notify_worker(run))
    return True


def _change_unclaimed(run_id: UUID, rows: QuerySet[Run], **fields: Any) -> bool:
    """Changes a run that no worker has to RETRY, if `rows` still holds it."""
    changed = rows.update(state=State.RETRY, revision=F("revision") + 1, **fields)
    if changed:
        transaction.on_commit(lambda: pubsub.publish(run_id, State.RETRY))
    return bool(changed)


def schedule_retry(*, run: Run, error: Mapping[str, Any], seconds: float) -> bool:
    """Lets a claimed run wait `seconds` for its next attempt; maintenance offers it when the time has come."""
    error = run.without_secrets(error)
    changed = _change(
        run,
        state=State.RETRY,
        error=error,
        lease_until=None,
        not_before=Now() + timedelta(seconds=seconds),
        failures=F("failures") + 1,
    )
    if changed:
        leave_room(run)
    return changed


def save_progress(*, run: Run, progress: Mapping[str, Any], until: datetime | None = None) -> bool:
    """Saves the progress of a claimed run; False when the claim has ended. `until` prolongs a detached run's lease."""
    lease = {"lease_until": until} if until and not run.worker else {}
    return _change(run, state=State.PROGRESS, progress=run.without_secrets(progress), **lease)


def renew(*, run: Run) -> bool:
    """Renews the lease of a claimed run; False when the claim has ended."""
    return run.pk in renew_all([(run, None)])


def renew_all(claims: Sequence[tuple[Run, Mapping[str, Any] | None]]) -> set[UUID]:
    """Renews the leases of claimed runs, and saves the progress of each that has some; the ids of those still claimed.

    What another transaction has locked is left out, but counts as claimed: it may be ending, and the others' leases
    must not wait for that.
    """
    values: dict[str, Any] = {
        "ids": [run.pk for run, _ in claims],
        "attempts": [run.attempt for run, _ in claims],
        "progress": [progress and json.dumps(run.without_secrets(progress)) for run, progress in claims],
        "lease": settings.RUN_LEASE_SECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, values)
        held = {run_id for (run_id,) in cursor.fetchall()}
    for run, progress in claims:
        if progress is not None and run.pk in held:
            pubsub.publish(run.pk, State.PROGRESS)
    return held


def confirm(*, run: Run) -> None:
    """Locks a claimed run, so that its claim holds until the transaction ends. Raises `LeaseLost` when it has ended."""
    with connection.cursor() as cursor:
        cursor.execute(_CONFIRM, {"id": run.pk, "attempt": run.attempt})
        if cursor.fetchone() is None:
            raise LeaseLost(str(run.pk))


def _change(run: Run, *, state: State, **fields: Any) -> bool:
    changed = _claimed(run).update(state=state, revision=F("revision") + 1, **fields)
    if changed:
        pubsub.publish(run.pk, state)
    return bool(changed)


def _claimed(run: Run) -> QuerySet[Run]:
    return Run.objects.filter(pk=run.pk, attempt=run.attempt, lease_until__isnull=False)
