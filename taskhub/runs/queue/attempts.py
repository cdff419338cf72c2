"""One attempt at a run in the calling thread: claims it, has it performed, and writes down how the attempt ended."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from taskhub.error_texts import error_of, message_of
from taskhub.errors import Problem
from taskhub.runs.domain import AttemptFailed, Interrupted, LeaseLost, Overdue, State
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution, comes_from_outside
from taskhub.runs.queue.lease_keeper import LeaseKeeper
from taskhub.runs.queue.leases import claim
from taskhub.runs.queue.log_capture import capture, log_failure
from taskhub.runs.queue.run_log import RunLog
from taskhub.security.masking import hiding_texts
from taskhub.telemetry.log_context import about
from taskhub.telemetry.spans import span

log = logging.getLogger(__name__)

NOBODY = UUID(int=0)

Perform = Callable[[Execution], None]


def claim_next(kind: str, worker: str, after: UUID) -> Run | None:
    """Claims the next run as `leases.claim` does, whatever became of the connection since the last one."""
    try:
        return claim(kind=kind, worker=worker, after=after)
    except (OperationalError, InterfaceError):
        # It may have died meanwhile: once more with a new one.
        connection.close()
        return claim(kind=kind, worker=worker, after=after)


def attempt(execution: Execution, perform: Perform, keeper: LeaseKeeper) -> None:
    """Performs a claimed run, and turns what comes of it into an end or a later attempt.

    Raises nothing, but for an `Interrupted` that is meant for a run around this one, and the `SystemExit` of a process
    that was told to end: what it was at is lost with it, and gets another attempt.
    """
    run = execution.run
    with (
        about(run_id=run.pk, request_id=run.request_id),
        _attempt_span(execution),
        hiding_texts(run.secrets),
        _captured_log(execution),
    ):
        try:
            with keeper.keep(execution):
                perform(execution)
        except Interrupted:
            if execution.stop is None:
                raise
            while execution.open:  # it may have come up in the middle of the closing, and may come again
                with suppress(Interrupted):
                    execution.close()
            _record_stop(execution)
        except BaseException as error:
            if comes_from_outside(error):
                raise
            if execution.stop is not None:  # its waits were ended, or its connection: so it came to fail
                _record_stop(execution)
            else:
                _record_failure(execution, error)
        else:
            if not execution.detached and run.state not in {State.SUCCESS, State.FAILURE}:
                error_without_ending = {"type": "NoEnding", "message": "The work did not say how it ended."}
                execution.end_attempt(error_without_ending, retry=False)


@contextmanager
def _attempt_span(execution: Execution) -> Iterator[None]:
    """The span of the attempt, under the one in which the run was accepted."""
    run = execution.run
    with span(f"run {run.kind}", "CONSUMER", parent=run.traceparent) as attempt_span:
        attempt_span.describe(
            taskhub__run__id=str(run.pk),
            taskhub__run__kind=run.kind,
            taskhub__run__name=run.name,
            taskhub__run__attempt=run.attempt,
        )
        yield
        if error := execution.error:
            attempt_span.fail(error["type"], run.without_secrets(error)["message"])
        elif execution.stop is not None:
            attempt_span.fail(type(execution.stop).__name__)


def _captured_log(execution: Execution) -> AbstractContextManager[RunLog | None]:
    """Has what the work logs stored; not where the run is seen by its own transaction only, as in tests."""
    return nullcontext() if execution.in_transaction else capture(execution)


def _record_stop(execution: Execution) -> None:
    execution.drop_connection()
    if isinstance(execution.stop, Overdue):
        execution.end_overdue()
    log.info("Run %s stopped: %s", execution.run.pk, execution.stop)


def _record_failure(execution: Execution, error: BaseException) -> None:
    run = execution.run
    match error:
        case LeaseLost():
            log.info("Run %s had already ended otherwise", run.pk)
            execution.drop_connection()
        case OperationalError() | InterfaceError():
            # A deadlock, a time-out, or the database is away: then nothing can be written down, and the lease runs out.
            log.warning("Run %s lost the database: %s", run.pk, message_of(error))
            execution.drop_connection()
            execution.end_attempt(error_of(error), retry=True)
        case AttemptFailed():
            log.info("Run %s failed, and is tried again: %s", run.pk, message_of(error))
            execution.end_attempt(error.error, retry=True, delay=error.delay)
        case Problem():
            log.info("Run %s failed: %s", run.pk, message_of(error))
            execution.end_attempt(error_of(error), retry=not error.permanent, pause=error.retry_after or 0)
        case _:
            log.info("Run %s failed: %s", run.pk, message_of(error), exc_info=error)
            log_failure(error, run.kind, error.__traceback__)
            execution.end_attempt(error_of(error), retry=False)
