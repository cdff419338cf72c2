"""Maintenance by the leader: every second for runs that nobody has, every minute for what is past its retention."""

import logging
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_results.models import TaskResult

from taskhub.errors import Conflict
from taskhub.runs.domain import State, oldest_id
from taskhub.runs.models import IdempotencyRecord, Run
from taskhub.runs.queue import broker
from taskhub.runs.queue.admission import admit_all
from taskhub.runs.queue.ends import end_abandoned, end_revoked, revoke
from taskhub.runs.queue.notification_events import notify_of_lost_processes
from taskhub.runs.run_kinds import RunKind, all_kinds
from taskhub.usage.services import roll_up

log = logging.getLogger(__name__)

BATCH = 1000
MESSAGES_MAX = 16

_OFFER_DUE = """
UPDATE runs_run SET
    ready = (concurrency_key = ''), blocked = (concurrency_key <> ''),
    not_before = CASE WHEN concurrency_key = '' THEN not_before END, revision = revision + 1
WHERE id = ANY(ARRAY(
    SELECT id FROM runs_run
    WHERE NOT ready AND state IN ('PENDING', 'RETRY') AND not_before <= clock_timestamp()
    ORDER BY not_before LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING kind, '' AS worker
"""
_OFFER_ABANDONED = """
UPDATE runs_run SET
    state = 'RETRY', ready = true, lease_until = NULL, losses = losses + (worker <> '')::int, revision = revision + 1
WHERE id = ANY(ARRAY(
    SELECT id FROM runs_run WHERE lease_until < clock_timestamp() AND (worker = '' OR losses + 1 < %s)
    LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING kind, worker
"""
# Asked every second, nearly always in vain: whether a run is due, whether a lease ran out, whether a run has expired,
# whether one is blocked, and which kinds wait.
_LOOK = """
SELECT
    EXISTS (SELECT FROM runs_run WHERE NOT ready AND state IN ('PENDING', 'RETRY') AND not_before <= clock_timestamp()),
    EXISTS (SELECT FROM runs_run WHERE lease_until < clock_timestamp()),
    EXISTS (SELECT FROM runs_run WHERE state = 'PENDING' AND expires_at <= clock_timestamp()),
    EXISTS (SELECT FROM runs_run WHERE blocked AND finished_at IS NULL),
    ARRAY(
        SELECT kinds.name FROM unnest(%s::text[]) AS kinds (name)
        WHERE EXISTS (SELECT FROM runs_run WHERE runs_run.kind = kinds.name AND ready)
    )
"""


def sweep() -> int:
    """Offers delayed runs whose time has come and runs whose lease ran out; returns how many runs it changed.

    Where runs wait and no message does, workers are notified again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, [[kind.name for kind in all_kinds()]])
        is_due, is_lapsed, is_expired, is_blocked, ready = cursor.fetchone()
    expired = _end_expired() if is_expired else 0
    offered = _offer(_OFFER_DUE, BATCH) if is_due else []
    offered += _offer(_OFFER_ABANDONED, settings.RUN_LOSSES_MAX, BATCH) if is_lapsed else []
    given_up = _give_up() if is_lapsed else 0
    if offered or given_up or expired:
        log.info("%d runs offered, %d given up, %d expired", len(offered), given_up, expired)
    if is_blocked or offered:
        admit_all()
    for kind in all_kinds():
        kind.sweep()
    _notify_again({*ready, *offered})
    return len(offered) + given_up + expired


def _end_expired() -> int:
    """Ends runs that had to begin by a time, and have not; those that somebody else has locked are left for later."""
    due = Run.objects.filter(state=State.PENDING, expires_at__lte=Now())
    ended = 0
    for run_id in list(due.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            run = due.select_for_update(of=("self",), skip_locked=True, no_key=True).filter(pk=run_id).first()
            if run is not None:
                message = f"It had not begun by {run.expires_at:%Y-%m-%dT%H:%M:%SZ}."
                ended += end_revoked(run=run, error={"type": "Expired", "message": message})
    return ended


def _offer(sql: str, *values: int) -> list[str]:
    """The kinds of the runs that were offered. Of workers that lost them it is told in the same transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        offered = cursor.fetchall()
        notify_of_lost_processes({worker for _, worker in offered})
    return [kind for kind, _ in offered]


def _give_up() -> int:
    """Ends runs whose worker died again and again: they would take down workers for ever."""
    lapsed = Run.objects.brief().filter(lease_until__lt=Now(), losses__gte=settings.RUN_LOSSES_MAX - 1)
    return sum(_give_up_one(run) for run in lapsed.exclude(worker="")[:BATCH])


def _give_up_one(run: Run) -> bool:
    """Ends a run, or logs why it cannot be ended: that must not keep the leader from the others."""
    message = f"Its worker was lost {run.losses + 1} times."
    try:
        with transaction.atomic():
            is_ended = end_abandoned(run=run, error={"type": "WorkerLost", "message": message})
            if is_ended:
                notify_of_lost_processes({run.worker})
        return is_ended
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("Run %s could not be given up", run.pk)
        return False


def _notify_again(ready: set[str]) -> None:
    """Notifies workers where runs wait and no message does: messages are lost with the broker, runs are not.

    `ready` are the kinds of which runs wait.
    """
    for kind in all_kinds():
        waiting = [*(_ready_runs(kind) if kind.name in ready else ()), *kind.detached_runs_with_work()]
        if waiting and broker.live_queues.has_worker(kind.queue) and broker.backlog(kind.queue) == 0:
            for run_id in waiting[:MESSAGES_MAX]:
                broker.send(kind, run_id)


def _ready_runs(kind: RunKind) -> list[UUID]:
    ready = Run.objects.filter(kind=kind.name, ready=True).order_by("owner_id", "-priority", "id")
    return list(ready.values_list("id", flat=True)[:MESSAGES_MAX])


def prune() -> int:
    """Removes one batch of what is past its retention, and rolls one of usage up; returns how many rows."""
    now = timezone.now()
    since = now - timedelta(days=settings.RUN_RETENTION_DAYS)
    old = list(
        Run.objects.filter(pk__lt=oldest_id(since), finished_at__lt=since)
        .order_by("pk")
        .values_list("kind", "pk")[:BATCH]
    )
    removed = _remove(old)
    expired = IdempotencyRecord.objects.filter(created_at__lt=now - timedelta(hours=settings.IDEMPOTENCY_HOURS))
    records, _ = IdempotencyRecord.objects.filter(pk__in=list(expired.values_list("pk", flat=True)[:BATCH])).delete()
    return removed + records + roll_up() + sum(kind.prune() for kind in all_kinds())


def remove_runs_of(owner_id: UUID) -> int:
    """Removes one batch of the runs of a deleted account, whatever their state; returns how many."""
    runs = list(Run.objects.filter(owner_id=owner_id).brief()[:BATCH])
    for run in runs:
        with suppress(Conflict):  # it has ended
            revoke(run=run)
    _remove([(run.kind, run.pk) for run in runs])
    return len(runs)


def remove(*, run: Run) -> None:
    """Removes a run that has ended and of which nothing is to be kept."""
    _remove([(run.kind, run.pk)])


def _remove(runs: list[tuple[str, UUID]]) -> int:
    """Deletes runs, after what their kinds and other tables keep for them."""
    for kind in all_kinds():
        if ids := [pk for name, pk in runs if name == kind.name]:
            kind.on_delete(ids)
    removed, _ = Run.objects.filter(pk__in=[pk for _, pk in runs]).only("pk").delete()
    TaskResult.objects.filter(task_id__in=[str(pk) for _, pk in runs]).delete()
    return removed
