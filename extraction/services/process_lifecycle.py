"""Begins processes, ends them, and retries them. Between beginning and end, workers fetch their pages in slices."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Coalesce, Extract, Now
from django.utils import timezone

from extraction.domain.findings import NOT_USED, ExtractionWarning
from extraction.domain.logins import LOGIN_RULE
from extraction.domain.page_addresses import page_key
from extraction.domain.payload import Payload
from extraction.domain.process_status import OPEN, PageState, ProcessStatus
from extraction.domain.tables import OF_TABLES
from extraction.models import ExtractionPage, ExtractionTask, Process, Slice
from extraction.services import slices
from extraction.services.deliveries import queue_deliveries
from extraction.services.downloaded_files import count_failed_files, count_files
from extraction.services.payloads import allowed_payload, load_payload
from extraction.services.process_endings import (
    count_lost_turn,
    fail_process,
    tell_changes,
    tell_written,
    warn_of_findings,
)
from extraction.services.process_notes import add_note
from extraction.services.process_warnings import OF_FINDINGS, add_warnings, replace_warnings
from extraction.services.processes import create_process, plan_run, process_of_run, submit_run
from extraction.services.suspension import resume_process, resume_waiting
from taskhub.audit.services import record_by_hand
from taskhub.errors import Conflict
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution

RUN_LEASE = timedelta(minutes=10)  # renewed with each progress; a server may want to be left alone for some minutes
OVERDUE_AT_ONCE = 100
COUNTS = ("pages", "failed", "records", "requests", "responses", "cost")  # in a run's result


def perform_extraction(execution: Execution) -> None:
    """Adds the first pages of a process, and detaches its run: workers fetch its pages in slices, beside each other."""
    process = process_of_run(execution.run) or _create_scheduled(execution.run)
    if process is None:
        execution.fail("ProcessGone", "Its process is deleted.")
        return
    with transaction.atomic():
        runs.confirm(run=execution.run)
        row = slices.lock_process(process.pk)
        if row and row.main is None:
            payload = load_payload(process)
            add_note(row, f"started: {payload.first_request.url}")
            unused = payload.first_request.warnings()
            add_warnings(
                row, (ExtractionWarning(NOT_USED, f"{payload.REQUEST_PLACE}/{name}", text) for name, text in unused)
            )
            add_first_pages(process=row, payload=payload)
        execution.detach(timezone.now() + RUN_LEASE)


def add_first_pages(*, process: Process, payload: Payload) -> None:
    """Adds the first pages of a process, in the caller's transaction; of a search, that of each keyword."""
    rule, addresses = payload.first_rule, payload.first_addresses()
    if payload.login:  # the first pages come when that is done
        rule, addresses = LOGIN_RULE, [payload.login.url]
    keys = {page_key(rule, url): url for url in addresses}
    pages = (ExtractionPage(process=process, key=key, chain=key, rule=rule, url=url) for key, url in keys.items())
    ExtractionPage.objects.bulk_create(pages, 1000)
    rows = Process.objects.filter(pk=process.pk)
    rows.update(main=payload.main, started_at=Now(), pages=len(keys), open=len(keys))


def _create_scheduled(run: Run) -> Process | None:
    """Creates the process of a run that a schedule started; None where its task is deleted."""
    task = (
        ExtractionTask.objects.filter(id=run.arguments.get("task"), removed_at__isnull=True)
        .select_related("owner")
        .first()
    )
    if task is None:
        return None
    value, payload = plan_run(task=task, overrides=run.arguments.get("given", {}))
    with transaction.atomic():
        runs.confirm(run=run)
        return create_process(task, task.owner, value, payload, run)


def choose_comparison(*, process: Process) -> Process:
    """The process, whose records are compared with those of the last process of its task that has finished by now.

    It is chosen once, when all pages have ended: whoever writes the file, or exports it later, compares with the same.
    """
    if not process.compares or process.status != ProcessStatus.RUNNING:
        return process
    with transaction.atomic():
        row = slices.lock_process(process.pk)
        if row is None or row.compared_with is not None or row.open:
            return row or process
        before = Process.objects.filter(task=row.task_id, status=ProcessStatus.FINISHED, removed_at__isnull=True)
        last = before.exclude(pk=row.pk).order_by("-finished_at", "-seq").first() if row.task_id else None
        row.compared_with = last.pk if last else 0
        row.save(update_fields=["compared_with"])
        return row


def finish_process(
    *,
    process: Process,
    results: str,
    size: int,
    warnings: Iterable[ExtractionWarning] = (),
    changes: Mapping[str, int] | None = None,
) -> bool:
    """Finishes a process whose pages have all ended and whose result is written; False where it ended otherwise.

    `warnings` are those of the file, and `changes` says how many of its records are new and so on.
    """
    with transaction.atomic():
        slices.lock_run(process)
        row = slices.lock_process(process.pk)
        if row is None or not row.unwritten or (row.status == ProcessStatus.RUNNING and row.open):
            return False
        row.changes = dict(changes or {})
        Process.objects.filter(pk=row.pk).update(unwritten=False, results=results, size=size, changes=row.changes)
        replace_warnings(row, OF_TABLES, warnings)
        row.results = results
        if row.status == ProcessStatus.RUNNING:
            _finish(row, results)
        tell_written(process=row)
        row.refresh_from_db(fields=["status"])
        tell_changes(process=row)
        return True


def _finish(process: Process, results: str) -> None:
    """Ends a process and its run, as failed or finished, and queues what is due after it."""
    # What would follow a failed page of the main list cannot be known; and a process most of whose pages failed did not
    # do its task. Files are no such pages: records are there without them.
    failed_pages = process.failed - count_failed_files(process)
    pages = process.pages - count_files(process) if failed_pages else process.pages
    failed = process.main_failed or failed_pages * 2 > pages
    status = ProcessStatus.FAILED if failed else ProcessStatus.FINISHED
    process.error = _failure_text(process) if failed else ""
    Process.objects.filter(pk=process.pk).update(status=status, error=process.error, finished_at=Now())
    if process.delivery and not failed:
        queue_deliveries(process=process)
    warn_of_findings(process=process)
    add_note(process, f"{status}: {process.pages} pages, {process.failed} failed, {process.records} records")
    if process.run_id:
        counts = {name: getattr(process, name) for name in COUNTS}
        result = {"process": process.id, "results": results, **counts}
        if process.changes:
            result["changes"] = process.changes
        error = {"type": "PagesFailed", "message": process.error} if failed else None
        state = State.FAILURE if failed else State.SUCCESS
        runs.finish_detached(run_id=process.run_id, state=state, result=result, error=error)


def _failure_text(process: Process) -> str:
    if process.task_id is None:  # whoever sent it waits for the reason
        failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED).order_by("id")
        return str(failed.values_list("error", flat=True).first() or "")
    if process.main_failed:
        return "A page of the main list failed, and with it what follows it; GET /v1/process/{id}/pages tells why."
    return f"{process.failed} of {process.pages} pages failed; GET /v1/process/{{id}}/pages tells why."


def mark_fetched(*, process: Process) -> None:
    """Marks a process as one whose result is to be written next, if all its pages have ended."""
    Process.objects.filter(pk=process.pk, open=0, status__in=(ProcessStatus.RUNNING, ProcessStatus.PENDING)).update(
        unwritten=True, status=ProcessStatus.RUNNING, missing=0
    )


def end_slice(*, slice: Slice, rest_until: datetime | None = None) -> None:
    """Ends a worker's own slice: its pages and credits are free again, and suspended processes may resume with them.

    `rest_until` is when the process's servers can be asked again. Turns that failed before this one are forgotten.
    """
    with transaction.atomic():
        process = slices.lock_process(slice.process_id)
        if process and (rest_until or process.failed_turns):
            rest_until = rest_until or process.rest_until
            Process.objects.filter(pk=process.pk).update(rest_until=rest_until, failed_turns=0)
        refunded = slices.release(slice=slice, process=process, lost=False) if process else 0
    if refunded and process:
        resume_waiting(process.owner_id)


def save_renders(*, process: Process, renders: Mapping[str, bool], text: str) -> None:
    """Stores which rules' pages show records only when they are rendered, and notes `text` in the process's log.

    Where some do, the process gets slices of the rendered sort from now on.
    """
    rendered = process.rendered or any(renders.values())
    Process.objects.filter(pk=process.pk).update(renders=dict(renders), rendered=rendered)
    add_note(process, text)


def save_progress(*, process: Process, run: Run) -> None:
    """Saves the counts of a process as its run's progress."""
    message = f"{process.records} records, {process.failed} pages failed"
    progress = {"done": process.pages - process.open, "total": process.pages, "message": message}
    runs.save_progress(run=run, progress=progress, until=timezone.now() + RUN_LEASE)


# One short statement a second, instead of four, where nothing is extracted; each part has an index of its own.
_ANY_OPEN = """
SELECT EXISTS (SELECT FROM extraction_process WHERE status = 'running')
    OR EXISTS (SELECT FROM extraction_process WHERE status = 'pending')
    OR EXISTS (SELECT FROM extraction_slice)
"""


def sweep() -> None:
    """Releases slices of lost workers, resumes processes that can pay again, and ends those that run for too long.

    The leader does this every second.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ANY_OPEN)
        if not cursor.fetchone()[0]:
            return
    for slice in slices.lapsed_slices():
        with transaction.atomic():
            slices.lock_run(slice.process)
            process = slices.lock_process(slice.process_id)
            has_pages = slices.has_pages(slice)  # then each counts how many workers it was lost with
            if process and slices.release(slice=slice, process=process, lost=True) is not None:
                add_note(process, f"worker lost: {slice.worker}")
                if has_pages:
                    mark_fetched(process=process)
                else:
                    count_lost_turn(process=process)
    resume_waiting()
    for process in _overdue():
        fail_process(process=process, error={"type": "TimeLimitExceeded", "message": "Its time is over."})


def _overdue() -> list[Process]:
    """Processes that run for longer than their owner's limit, or that of the settings."""
    limit = Coalesce("owner__extraction_account__max_seconds", settings.EXTRACTION_MAX_SECONDS)
    age = Extract(ExpressionWrapper(Now() - F("started_at"), DurationField()), "epoch")
    running = Process.objects.filter(status=ProcessStatus.RUNNING, run__isnull=False)
    return list(running.annotate(age=age, limit=limit).filter(age__gt=F("limit"))[:OVERDUE_AT_ONCE])


def retry_process(*, process: Process, max_credits: int | None = None) -> Process:
    """Retries an ended process under a new run: its failed pages, and those that were never asked for.

    One that waits for credits is resumed instead, if it can pay. `max_credits` is a new cap. Raises `Conflict`.
    """
    with transaction.atomic():
        if max_credits is not None:
            Process.objects.filter(pk=process.pk).update(max_credits=max_credits)
        if process.status == ProcessStatus.PENDING:
            if not resume_process(process_id=process.pk):
                raise Conflict("The process waits for credits.", state=process.status)
        else:
            _reopen(process, submit_run(process, process.run))
        record_by_hand("retry", "process", process.id, owner_id=process.owner_id)
        return Process.objects.select_related("run", "owner").get(pk=process.pk)


def reopen_for_retry(old: Run, new: Run) -> None:
    """Reopens the process of a run under the run that retries it, in that run's transaction. Raises `Conflict`."""
    process = process_of_run(old)
    if process is None:
        raise Conflict("The run's process is deleted, or has a later run.")
    _reopen(process, new)


def _reopen(process: Process, run: Run) -> None:
    """Makes an ended process run again. Raises `Conflict` where it has not ended, or no page is left to ask for.

    What its owner needed to start it is asked again: raises `Conflict`, `Rejected` and `Forbidden`.
    """
    runs.check_active(process.owner)
    allowed_payload(process)
    row = slices.lock_process(process.pk)
    if row is None or not row.ended:
        raise Conflict("The process has not ended.", state=row.status if row else "")
    if row.main is not None and not _reopen_failed_pages(row):
        raise Conflict("No page of the process failed, and none is left.", state=row.status)
    Process.objects.filter(pk=row.pk).update(
        run=run,
        status=ProcessStatus.RUNNING,
        finished_at=None,
        unwritten=False,
        error="",
        results="",
        missing=0,
        compared_with=None,
    )
    replace_warnings(row, OF_FINDINGS, ())  # it may find more this time
    row.run = run
    add_note(row, "retried")


def _reopen_failed_pages(process: Process) -> int:
    """Lets failed pages be asked for again; returns how many pages are open then."""
    failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED)
    process.failed -= failed.update(state=PageState.READY, attempt=0, lost=0, not_before=None, error="")
    process.open = ExtractionPage.objects.filter(process=process, state__in=OPEN).count()
    process.main_failed = False
    process.save(update_fields=("failed", "open", "main_failed"))
    return process.open
