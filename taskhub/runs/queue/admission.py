"""Admission: of an owner's runs with the same concurrency key only so many are ready or go on at a time.

A run with a key is accepted as `blocked`. It is admitted, which makes it ready, when fewer runs of its key are admitted
than its own limit says: after the commit that accepted it, after the end of another, or by the leader, which looks
every second for what was missed. So a claim need not know of keys. Admissions of one key are made one after the other,
under an advisory lock, which is never taken while a run is locked.
"""

import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.dispatch import receiver

from taskhub.errors import Conflict
from taskhub.runs.domain import ConcurrencyPolicy
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from taskhub.runs.queue.ends import end_revoked, revoke
from taskhub.runs.queue.signals import admission_due

log = logging.getLogger(__name__)

CANDIDATES = 100  # runs that one admission looks at
KEYS = 1000  # that the leader looks after in one sweep

ADMITTED = Q(ready=True) | Q(lease_until__isnull=False)
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('runs_run admission'), hashtext(%s))"
# From one key to the next by the index of blocked runs, however many each has.
_FREE_KEYS = """
WITH RECURSIVE keys AS (
    (SELECT owner_id, concurrency_key FROM runs_run WHERE blocked AND finished_at IS NULL
    ORDER BY owner_id, concurrency_key LIMIT 1)
    UNION ALL
    SELECT next.owner_id, next.concurrency_key FROM keys, LATERAL (
        SELECT owner_id, concurrency_key FROM runs_run
        WHERE blocked AND finished_at IS NULL
            AND (owner_id, concurrency_key) > (keys.owner_id, keys.concurrency_key)
        ORDER BY owner_id, concurrency_key LIMIT 1
    ) AS next
)
SELECT keys.owner_id, keys.concurrency_key FROM keys, LATERAL (
    SELECT concurrency_limit, concurrency_policy FROM runs_run AS run
    WHERE blocked AND finished_at IS NULL
        AND run.owner_id = keys.owner_id AND run.concurrency_key = keys.concurrency_key
    ORDER BY priority DESC, id LIMIT 1
) AS first
WHERE concurrency_policy <> 'wait' OR concurrency_limit > (
    SELECT count(*) FROM runs_run AS run
    WHERE run.owner_id = keys.owner_id AND run.concurrency_key = keys.concurrency_key
        AND run.concurrency_key <> '' AND (ready OR lease_until IS NOT NULL)
)
LIMIT %s
"""


@receiver(admission_due)
def admit(owner_id: Any, key: str, run_ids: Collection[UUID] = (), **_: Any) -> None:
    """Admits runs of a key as far as there is room: the highest priority first, then the oldest.

    Where there is none, those that do not wait are left out, or have older ones cancelled; `run_ids` are those that are
    looked at however many others wait.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, [f"{owner_id} {key}"])
        of_key = Run.objects.filter(owner_id=owner_id, concurrency_key=key).brief()
        admitted = list(of_key.filter(ADMITTED).exclude(concurrency_key="").order_by("id"))
        blocked = of_key.filter(blocked=True, finished_at__isnull=True)
        candidates = list(blocked.order_by("-priority", "id")[:CANDIDATES])
        if missing := set(run_ids).difference(run.pk for run in candidates):
            candidates += blocked.filter(pk__in=missing).order_by("-priority", "id")
        for run in candidates:
            if _has_room(run, admitted) and _make_ready(run):
                admitted.append(run)


def _has_room(run: Run, admitted: list[Run]) -> bool:
    """Whether a run may be admitted beside these; if not, what its policy says is done."""
    if len(admitted) < run.concurrency_limit:
        return True
    if run.concurrency_policy == ConcurrencyPolicy.CANCEL:
        while len(admitted) >= run.concurrency_limit:
            with suppress(Conflict, Run.DoesNotExist):  # it has ended meanwhile
                revoke(run=admitted[0])
            del admitted[0]
        return True
    if run.concurrency_policy == ConcurrencyPolicy.SKIP:
        row = Run.objects.select_for_update(of=("self",), no_key=True).filter(pk=run.pk, blocked=True).first()
        if row is not None and not row.ended:
            message = f"{len(admitted)} runs with its concurrency key wait or go on."
            end_revoked(run=row, error={"type": "Skipped", "message": message})
    return False


def _make_ready(run: Run) -> bool:
    blocked = Run.objects.filter(pk=run.pk, blocked=True, finished_at__isnull=True)
    if not blocked.update(blocked=False, ready=True, revision=F("revision") + 1):
        return False
    transaction.on_commit(lambda: broker.notify_worker(run))
    return True


def admit_all() -> None:
    """Admits what may be admitted and was not, since somebody died before: the leader asks for it."""
    with connection.cursor() as cursor:
        cursor.execute(_FREE_KEYS, [KEYS])
        keys = cursor.fetchall()
    for owner_id, key in keys:
        admit(owner_id=owner_id, key=key)
