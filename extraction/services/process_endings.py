"""Ends processes otherwise than by their last page: with their run, for a reason, or since their turns fail."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils import timezone

from extraction.domain.findings import LEFT_OUT, NO_RECORDS, NO_RECORDS_WORDS, ExtractionWarning, find_warnings
from extraction.domain.payload import Payload
from extraction.domain.process_status import ProcessStatus
from extraction.domain.record_changes import CHANGED, GONE, NEW
from extraction.domain.result_formats import file_name
from extraction.models import ExtractionPage, Process, Slice
from extraction.services import slices
from extraction.services.downloaded_files import warnings_of_files
from extraction.services.payloads import load_payload
from extraction.services.process_notes import add_note
from extraction.services.process_warnings import OF_FINDINGS, replace_warnings
from extraction.services.processes import process_summary
from extraction.services.result_files import result_topic
from taskhub.errors import Problem
from taskhub.runs import queue as runs
from taskhub.runs.domain import NotificationEvent, State
from taskhub.runs.models import Run
from taskhub.security.masking import mask

TURNS_MAX = 3  # that fail one after the other
TURN_PAUSE = timedelta(seconds=5)  # after a turn that failed
_STATUS_AFTER = {State.REVOKED: ProcessStatus.CANCELED, State.FAILURE: ProcessStatus.FAILED}


def end_with_run(run: Run) -> None:
    """Ends the process of a run, in the transaction that ends the run; the records so far are written to a file."""
    running = Process.objects.filter(run_id=run.pk, status__in=(ProcessStatus.RUNNING, ProcessStatus.PENDING))
    process = running.select_for_update(no_key=True).first()
    if process:
        status = _STATUS_AFTER.get(State(run.state), ProcessStatus.FINISHED)
        _end(process, status, (run.error or {}).get("message", ""))


def _end(process: Process, status: ProcessStatus, error: str) -> None:
    """Ends a locked process. Its file is named from now on, although it is written a little later."""
    process.status, process.error = status, error
    process.unwritten = process.removed_at is None
    if process.unwritten:
        process.results = file_name(process.id, process.format, gzip=process.gzip)
    process.missing = 0
    process.finished_at = timezone.now()
    process.save(update_fields=("status", "error", "unwritten", "results", "missing", "finished_at"))
    slices.release_all(process=process)
    warn_of_findings(process=process)
    add_note(process, process.status + (f": {process.error}" if process.error else ""))


def warn_of_findings(*, process: Process) -> None:
    """Adds the warnings that follow from what a process found, at its end."""
    if not (process.findings or (process.responses and not process.records)):
        return
    with suppress(Problem):  # the search engine is gone, or the payload cannot be opened any more
        payload = load_payload(process)
        if process.findings:
            warnings = [*find_warnings(payload.rule, process.findings), *_warnings_of_left_out(process, payload)]
            warnings += warnings_of_files(process)
            replace_warnings(process, OF_FINDINGS, warnings)
        elif payload.MAKES_RECORDS:
            replace_warnings(process, OF_FINDINGS, [ExtractionWarning(NO_RECORDS, "", NO_RECORDS_WORDS)])


def _warnings_of_left_out(process: Process, payload: Payload) -> Iterator[ExtractionWarning]:
    """How many records lacked a value that a rule requires; the pages that had them are few, as a rule."""
    if any(field.required for rule in payload.rule.walk() for field in rule.fields):
        pages = ExtractionPage.objects.filter(process=process)
        if count := pages.aggregate(count=Sum("left_out"))["count"]:
            detail = f"{count} records are left out: they lack a required value."
            yield ExtractionWarning(LEFT_OUT, "/fields", detail)


def fail_process(*, process: Process, error: Mapping[str, str]) -> None:
    """Ends a process that cannot go on, and its run. `error` has a type and a message."""
    with transaction.atomic():
        slices.lock_run(process)
        if row := slices.lock_process(process.pk):
            _fail(row, error)


def _fail(process: Process, error: Mapping[str, str]) -> None:
    """Ends a locked process, by its run where it has one."""
    if process.run_id:
        runs.finish_detached(run_id=process.run_id, state=State.FAILURE, error=dict(error))
    elif not process.ended:
        _end(process, ProcessStatus.FAILED, error["message"])


def fail_turn(*, slice: Slice, error: Exception) -> None:
    """Ends a slice whose turn failed, which counts, unless it is lost already.

    A `Problem` that no other turn would be spared ends the process at once.
    """
    with transaction.atomic():
        slices.lock_run(slice.process)
        process = slices.lock_process(slice.process_id)
        if process is None or slices.release(slice=slice, process=process, lost=False) is None:
            return
        if isinstance(error, Problem):
            _count_failed_turn(process, type(error).__name__, error.detail, is_last=error.permanent)
        else:
            _count_failed_turn(process, "TurnsFailed", f"{type(error).__name__}: {error}")


def count_lost_turn(*, process: Process) -> None:
    """Counts a turn whose worker was lost, in the transaction that locked the run and the process."""
    _count_failed_turn(process, "TurnsFailed", "Its worker was lost.")


def _count_failed_turn(process: Process, kind: str, reason: str, *, is_last: bool = False) -> None:
    """Counts a turn that failed. The last one that may ends the process, or the attempts to write its file."""
    reason = mask(reason)[:500]
    add_note(process, f"a turn failed: {reason}")
    failed_turns = process.failed_turns + 1
    rows = Process.objects.filter(pk=process.pk)
    if not is_last and failed_turns < TURNS_MAX:
        rows.update(failed_turns=failed_turns, rest_until=Now() + TURN_PAUSE)
        return
    rows.update(failed_turns=0, rest_until=None)
    was_writing = process.unwritten
    if not process.ended and process.status != ProcessStatus.PENDING:
        message = reason if is_last else f"{failed_turns} turns failed one after the other. {reason}"
        _fail(process, {"type": kind, "message": message})
    if was_writing:
        leave_unwritten(process=process, reason=reason)


def leave_unwritten(*, process: Process, reason: str) -> None:
    """Gives up writing the file of a process, which its caller has locked."""
    add_note(process, f"the result cannot be written: {reason}")
    Process.objects.filter(pk=process.pk).update(unwritten=False, results="", size=0)
    process.refresh_from_db()
    tell_written(process=process)


def tell_changes(*, process: Process) -> None:
    """Tells the webhook of a finished process, and notification rules, that its records are not those of the process
    before."""
    run, is_compared = process.run, process.status == ProcessStatus.FINISHED and process.compared_with
    is_changed = any(process.changes.get(change) for change in (NEW, CHANGED, GONE))
    if run is None or not is_compared or not is_changed:
        return
    summary = {**process_summary(process), "changes": process.changes}
    if run.webhook:
        runs.queue_webhook(run=run, event=NotificationEvent.PROCESS_CHANGED, data=summary)
    counts = ", ".join(
        f"{process.changes[change]} {change}" for change in (NEW, CHANGED, GONE) if change in process.changes
    )
    runs.notify_of_run(
        event=NotificationEvent.PROCESS_CHANGED,
        run=run,
        title=f"has other records than before: {counts}",
        facts={"process": summary},
    )


def tell_written(*, process: Process) -> None:
    """Tells those who wait for the file of a process; and its webhook, where it has ended, or waits, before that."""
    transaction.on_commit(lambda: runs.publish(result_topic(process.id)))
    if process.status != ProcessStatus.RUNNING and process.run and process.run.webhook:
        is_pending = process.status == ProcessStatus.PENDING
        event = str(NotificationEvent.PROCESS_PENDING) if is_pending else "process.finished"
        runs.queue_webhook(run=process.run, event=event, data=process_summary(process))
