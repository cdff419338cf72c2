"""The ends of runs, whoever ends them: a worker that has the run, its owner, or maintenance. Each is one statement.

An end is conditional, as every change of a claimed run (see `leases`): who no longer has the run ends nothing.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from psycopg.types.json import Jsonb

from taskhub.audit.services import record_by_hand
from taskhub.db.prepared_statements import PreparedStatement
from taskhub.errors import Conflict
from taskhub.jsontools.key_order import keep_order
from taskhub.runs.domain import LeaseLost, ResultTooLarge, State
from taskhub.runs.models import Run
from taskhub.runs.queue import pubsub
from taskhub.runs.queue.leases import worker_topic
from taskhub.runs.queue.notification_events import (
    RULES_OF_END,
    RULES_OF_END_TYPES,
    notify_of_end,
    values_of_end,
)
from taskhub.runs.queue.run_log import append_lines
from taskhub.runs.queue.run_totals import count_end
from taskhub.runs.queue.signals import leave_room
from taskhub.runs.queue.webhook_events import queue_end_webhook
from taskhub.runs.run_kinds import kind_or_default
from taskhub.security.sealed_values import seal
from taskhub.telemetry.log_context import about

log = logging.getLogger(__name__)

_WEBHOOK: Any = Run._meta.get_field("webhook")

# django-celery-results' table shows what ran to its admin and to other tools:
# it is written with the ending, and carries no values, for those are the owner's.
_END = """
WITH ended AS (
    UPDATE runs_run SET
        state = %(state)s, result = %(result)s, error = %(error)s, progress = coalesce(%(progress)s, progress),
        finished_at = clock_timestamp(), lease_until = NULL, ready = false, blocked = false, revision = revision + 1
    WHERE {which}
    RETURNING
        id, kind, name, state, worker, error, created_at, started_at, finished_at, webhook, owner_id, tags, schedule
), projected AS (
    INSERT INTO django_celery_results_taskresult (
        task_id, task_name, status, worker, content_type, content_encoding, result,
        date_created, date_started, date_done
    )
    SELECT id, kind || ':' || name, state, worker, 'application/json', 'utf-8', to_jsonb(error ->> 'type')::text,
        created_at, started_at, finished_at
    FROM ended
)
SELECT webhook, finished_at, {rules} FROM ended
"""


def _end_where(condition: str, **types: str) -> PreparedStatement:
    documents = dict.fromkeys(("result", "error", "progress"), "jsonb")
    return PreparedStatement(
        _END.format(which=condition, rules=RULES_OF_END), state="text", **documents, **RULES_OF_END_TYPES, **types
    )


_END_CLAIMED = _end_where("id = %(id)s AND attempt = %(attempt)s AND lease_until IS NOT NULL", id="uuid", attempt="int")
_END_LAPSED = _end_where(
    "id = %(id)s AND attempt = %(attempt)s AND lease_until < clock_timestamp()", id="uuid", attempt="int"
)
_END_LOCKED = _end_where("id = %(id)s", id="uuid")


def end(
    *, run: Run, state: State, result: Any = None, error: Mapping[str, Any] | None = None, progress: Any = None
) -> None:
    """Ends the claimed run in the caller's transaction: the effect and the ending are one commit.

    Raises `LeaseLost` when this attempt no longer has the run, and `ResultTooLarge` for a SUCCESS that cannot be kept:
    either way the transaction must roll back. What a FAILURE had so far is left out where it is too large.
    """
    size, limit = _size(result), settings.RUN_RESULT_MAX_BYTES
    if size > limit and state == State.SUCCESS:
        raise ResultTooLarge(f"The result has {size} bytes; {limit} are allowed.")
    result = result if size <= limit else None
    values = {"id": run.pk, "attempt": run.attempt}
    if not _end(_END_CLAIMED, run, values, state, result=result, error=error, progress=progress):
        raise LeaseLost(str(run.pk))


def end_revoked(*, run: Run, error: Mapping[str, Any] | None = None) -> bool:
    """Ends a run as REVOKED whose row the caller's transaction has locked, or inserted."""
    return _end(_END_LOCKED, run, {"id": run.pk}, State.REVOKED, error=error)


def finish_detached(*, run_id: UUID, state: State, result: Any = None, error: Any = None) -> bool:
    """Ends a detached run, in the caller's transaction; False when it has ended before.

    A worker that still has it learns of it when it next renews its lease, and its own ending comes too late. Lines of
    its log are stored meanwhile, by another connection: so its row is never locked against references (`no_key`).
    """
    row = Run.objects.select_for_update(of=("self",), no_key=True).filter(pk=run_id).first()
    if row is None or row.ended:
        return False
    if error:
        append_lines(row, row.kind, logging.ERROR, [f"{error['type']}: {error['message']}"], last=True)
    return _end(_END_LOCKED, row, {"id": row.pk}, state, result=result, error=error)


def cancel(*, run: Run) -> Run:
    """As `revoke`, because somebody asked for it: who did so is in the audit log."""
    with transaction.atomic():
        ended = revoke(run=run)
        record_by_hand("cancel", "run", run.pk, f"{run.kind} {run.name}", owner_id=run.owner_id)
    return ended


def revoke(*, run: Run) -> Run:
    """Ends a waiting or running run as REVOKED at once: its work can no longer commit an ending, nor an effect.

    Its worker is woken, and stops the work within seconds. Raises `Conflict` when the run has ended before.
    """
    with transaction.atomic():
        row = Run.objects.select_for_update(of=("self",), no_key=True).get(pk=run.pk)
        if row.ended:
            raise Conflict(f"The run has ended; it is {row.state}.", state=row.state)
        end_revoked(run=row)
        if row.lease_until:
            transaction.on_commit(lambda: pubsub.publish(worker_topic(row.worker), str(row.pk)))
    row.refresh_from_db()
    return row


def end_abandoned(*, run: Run, error: Mapping[str, Any]) -> bool:
    """Ends a run as FAILURE if its lease ran out and its attempt is still the one that was read."""
    return _end(_END_LAPSED, run, {"id": run.pk, "attempt": run.attempt}, State.FAILURE, error=error)


def _end(statement: PreparedStatement, run: Run, values: dict[str, Any], state: State, **documents: Any) -> bool:
    documents = {name: value for name, value in documents.items() if value is not None}
    for name in documents.keys() & {"error", "progress"}:
        documents[name] = run.without_secrets(documents[name])
    values |= {"state": state, "result": None, "error": None, "progress": None}
    values |= values_of_end(run, state, documents.get("error"))
    values |= {name: Jsonb(value) for name, value in documents.items()}
    if "result" in documents:
        values["result"] = Jsonb(keep_order(seal(documents["result"], run.secrets)))
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        statement.execute(cursor, values)
        row = cursor.fetchone()
        if row is None:
            return False
        webhook, run.finished_at, rule_ids = row
        run.webhook = _WEBHOOK.from_db_value(webhook, None, connection)  # it may have been set while the run went on
        run.state, run.result, run.error = state, documents.get("result"), documents.get("error")
        kind = kind_or_default(run.kind)
        kind.on_end(run)
        if run.webhook:
            queue_end_webhook(run=run)
        if rule_ids and kind.notifies_of(run):
            notify_of_end(run=run, rule_ids=rule_ids)
    transaction.on_commit(lambda: _announce_end(run, state, documents.get("error")))
    leave_room(run)
    return True


def _announce_end(run: Run, state: State, error: Mapping[str, Any] | None) -> None:
    count_end(run, state)
    reason = f": {error['type']}: {error['message']}" if error else ""
    level = logging.WARNING if state == State.FAILURE else logging.INFO if state == State.REVOKED else logging.DEBUG
    if log.isEnabledFor(level):
        with about(run_id=run.pk, request_id=run.request_id):
            log.log(level, "The %s %s ended as %s%s", run.kind, run.name, state, reason)
    pubsub.publish(run.pk, state)  # last: who is woken by it finds the line


def _size(result: Any) -> int:
    return 0 if result is None else len(json.dumps(result, ensure_ascii=False).encode())
