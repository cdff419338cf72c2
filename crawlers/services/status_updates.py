"""Changes of a task's status, and who learns of them: its history, its run, the crawler."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from crawlers.domain import task_status
from crawlers.domain.kind_names import NOTICE
from crawlers.models import CrawlerTask, StatusChange
from crawlers.services.document_removal import queue_removal
from crawlers.services.task_logs import store_lines
from taskhub.audit.services import record_by_hand
from taskhub.errors import Conflict
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.security.masking import hide, secrets_of

TIMED_OUT = "TimedOut"  # the error of a run whose task timed out

By = StatusChange.By


def lock_task(task: CrawlerTask) -> CrawlerTask:
    """The task as it is now, locked. Its run's row is locked before, as whoever ends a run takes them in this order."""
    if task.run_id:
        Run.objects.select_for_update(of=("self",), no_key=True).filter(pk=task.run_id).values_list("pk").first()
    return CrawlerTask.objects.select_for_update(of=("self",), no_key=True).get(pk=task.pk)


def change_status(
    *,
    task: CrawlerTask,
    code: int,
    message: str,
    detail: str,
    by: str,
    progress: Mapping[str, Any] | None = None,
    stats: Mapping[str, float] | None = None,
    log: Sequence[str] = (),
) -> CrawlerTask:
    """Records a change; one that ends the task ends its run. The final status again changes nothing.

    Without a message it gets the code's own; `progress` and `stats` stay without new ones. The lines of `log` go to the
    run's. Raises `Conflict` for a task that has ended otherwise.
    """
    message = message or task_status.default_message(code)
    with transaction.atomic():
        row = lock_task(task)
        secrets = secrets_of({"secret": row.secrets})  # a crawler may quote what it was given
        message, detail = hide(message, secrets), hide(detail, secrets)
        if row.ended or row.removed_at:
            if row.ended and row.code == code and not row.removed_at:
                return row
            raise Conflict(f"The task has ended; its status is {row.code}.", status_code=row.code)
        if log:
            store_lines(row, log, logging.INFO)
        if progress is not None or stats is not None:
            row.progress = row.progress if progress is None else dict(progress)
            row.stats = row.stats if stats is None else dict(stats)
            row.save(update_fields=["progress", "stats"])
        if (row.code, row.message, row.detail) == (code, message, detail):
            row.seen_at = timezone.now()  # the same again is a sign of life
            row.save(update_fields=["seen_at"])
            save_progress(row)
            return row
        record_change(row, code, message, detail, by)
        if code >= task_status.DONE:
            end_run(row)
        elif row.run_id:
            save_progress(row)
    return row


def log_lines(*, task: CrawlerTask, lines: Sequence[str], level: int) -> tuple[CrawlerTask, int]:
    """Adds lines to the log of a task's run; a sign of life. Says for how many there was room. Raises `Conflict`."""
    with transaction.atomic():
        row = lock_task(task)
        if row.ended or row.removed_at:
            raise Conflict(f"The task has ended; its status is {row.code}.", status_code=row.code)
        kept = store_lines(row, lines, level)
        row.seen_at = timezone.now()
        row.save(update_fields=["seen_at"])
        save_progress(row)
    return row, kept


def record_change(row: CrawlerTask, code: int, message: str, detail: str, by: str) -> None:
    """Writes a status down, in the caller's transaction, which has the task locked."""
    now = timezone.now()
    row.code, row.message, row.detail = code, message, detail
    row.version += 1
    row.ended_at = now if code >= task_status.DONE else None
    if by == By.CRAWLER:
        row.seen_at = now
    row.save(update_fields=["code", "message", "detail", "version", "ended_at", "seen_at"])
    StatusChange.objects.create(task=row, attempt=row.attempt, code=code, message=message, detail=detail, by=by, at=now)
    if by != By.CRAWLER and row.ended:
        queue_notice(row, code, message, detail)


def end_run(task: CrawlerTask) -> None:
    """Ends a task's run with the task's status: SUCCESS for 2xx, FAILURE for all else."""
    if task.run_id is None:
        return
    if task_status.succeeded(task.code):
        runs.finish_detached(run_id=task.run_id, state=State.SUCCESS, result=result_of(task))
    else:
        runs.finish_detached(run_id=task.run_id, state=State.FAILURE, result=result_of(task), error=error_of(task))


def result_of(task: CrawlerTask) -> dict[str, Any]:
    return {"task": str(task.fid), "status": status_of(task), **task.counts}


def error_of(task: CrawlerTask) -> dict[str, str]:
    kind = TIMED_OUT if task.code == task_status.TIMED_OUT else "CrawlerFailed"
    return {"type": kind, "message": f"{task.code}: {task.message}"[:2000]}


def status_of(task: CrawlerTask) -> dict[str, Any]:
    return {"code": task.code, "message": task.message, "detail": task.detail}


def save_progress(task: CrawlerTask) -> None:
    """Saves the run's progress after the commit, for whoever follows the run, and puts off the run's time-out."""
    told = task.progress or {"done": task.received}
    progress = {"done": told["done"], "total": told.get("total"), "message": task.message}
    overdue_at = task.seen_at + timedelta(seconds=task.timeout)

    if task.run_id:
        transaction.on_commit(partial(_save_run_progress, task.run_id, progress, overdue_at))


def _save_run_progress(run_id: UUID, progress: dict[str, Any], overdue_at: datetime) -> None:
    claimed = Run.objects.filter(pk=run_id, lease_until__isnull=False).only("attempt", "worker")
    if run := claimed.first():
        runs.save_progress(run=run, progress=progress, until=overdue_at)


def queue_notice(task: CrawlerTask, code: int, message: str, detail: str = "") -> None:
    """Submits a run that tells the crawler of a change. Nothing is sent where the crawler named no callback."""
    if not task.callback:
        return
    runs.submit(
        kind=NOTICE,
        owner=task.owner,
        name=f"tell {task.name or 'crawler'}",
        arguments={"task": str(task.fid), "code": code, "message": message, "detail": detail},
        parent=Run.objects.brief().filter(pk=task.run_id).first() if task.run_id else None,
    )


def stop_task(*, task: CrawlerTask, message: str, code: int = task_status.CANCELLED) -> CrawlerTask:
    """Ends a task for its owner, and tells the crawler. A task that has ended stays as it is."""
    try:
        with transaction.atomic():
            stopped = change_status(task=task, code=code, message=message, detail="", by=By.OWNER)
            record_by_hand("cancel", "crawler task", task.fid, owner_id=task.owner_id)
        return stopped
    except Conflict:
        task.refresh_from_db()
        return task


def delete_task(*, task: CrawlerTask) -> None:
    """Stops a task and removes its documents: for readers at once, from the tables in the background."""
    with transaction.atomic():
        row = lock_task(task)
        if row.removed_at:
            return
        if not row.ended:
            record_change(row, task_status.DELETED, "The task was deleted.", "", By.OWNER)
            end_run(row)
        else:
            queue_notice(row, task_status.DELETED, "The task was deleted.")
        CrawlerTask.objects.filter(pk=row.pk).update(removed_at=timezone.now(), version=F("version") + 1)
        queue_removal(owner=row.owner, stream=row.stream, task=row)
        record_by_hand("delete", "crawler task", row.fid, owner_id=row.owner_id)


def end_task_of_run(run: Run) -> None:
    """Ends the task of a run that ends otherwise than by the task's status: cancelled, failed, given up."""
    tasks = CrawlerTask.objects.select_for_update(of=("self",), no_key=True)
    task = tasks.filter(run=run, ended_at__isnull=True).first()
    if task is None or run.state == State.SUCCESS:
        return
    if run.state == State.REVOKED:
        record_change(task, task_status.CANCELLED, "The run was cancelled.", "", By.OWNER)
    else:
        error = run.error or {}
        message = str(error.get("message") or task_status.DEFAULT_MESSAGES[task_status.FAILED])
        record_change(task, task_status.FAILED, message, str(error.get("type", "")), By.HUB)
