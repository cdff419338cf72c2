"""Carries out a walk: in the call that asks for it (`walk_now`), or as a claimed run (`perform_walk`)."""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils.datastructures import MultiValueDict
from django.utils.functional import SimpleLazyObject

from taskhub import descendants, interruption
from taskhub.db.connections import refuse_broken_transaction
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.error_texts import error_of
from taskhub.errors import Failed, NotFound, Problem
from taskhub.runs.domain import AttemptFailed, Interrupted, LeaseLost, may_try_again
from taskhub.runs.queue.execution import Execution, comes_from_outside
from taskhub.runs.queue.log_capture import log_failure
from taskhub.security.masking import hiding
from walkers.authoring import sentinels
from walkers.authoring.event_loop import outside_event_loop
from walkers.authoring.sentinels import WalkerDefinition
from walkers.authoring.walker import Walk
from walkers.services.run_files import close_files, files_of
from walkers.walks.author_frames import author_traceback, where_of
from walkers.walks.walk_submission import spawn_walk

log = logging.getLogger(__name__)

SLOT_PATIENCE_SECONDS = 2.0  # short walks get a slot within it, however many ask at once
WORKER_PATIENCE_SECONDS = 3600.0  # of a sequence's walk in a worker, which nobody waits for at a connection
REFUSAL = "Too many walks are under way."
_slots = FairSemaphore(settings.WALKS_AT_ONCE, REFUSAL, waiting=settings.WALKS_WAITING)
_worker_slots = FairSemaphore(settings.WALKS_AT_ONCE, REFUSAL)
_thread = threading.local()


class WalkerFailed(Failed):
    """A walker raised. `members` hold the report so far and `error`: `{type, message, where}` of what was raised."""

    title, type = "The walker failed", "walker-failed"


def perform_walk(execution: Execution) -> None:
    """Carries out the walk of a claimed run.

    Its effect and the run's end are one commit, unless the walker is not atomic. The programs that it has started end
    with it where it is interrupted, else at the latest with their worker process.
    """
    if execution.thread is threading.main_thread():  # of a worker process, which makes one walk at a time
        descendants.adopt_descendants()
    before = descendants.children()
    try:
        _perform_walk(execution)
    except (Interrupted, LeaseLost):
        execution.open = False  # it is not interrupted again meanwhile
        descendants.end_descendants(but=before)
        raise
    finally:
        descendants.reap(but=before)


def _perform_walk(execution: Execution) -> None:
    run = execution.run
    definition, ctx = load_work(run.arguments)
    files = files_of(run) if run.arguments.get("files") else MultiValueDict()
    walk = Walk(
        ctx,
        UUID(run.arguments["nd"]),
        SimpleLazyObject(outside_event_loop(lambda: run.owner)),
        files,
        time_limit=definition.time_limit,
        execution=execution,
        spawn=spawn_walk,
    )
    try:
        with _carry_out(definition, walk):
            execution.succeed(walk.result)
    except WalkerFailed as failure:
        error = failure.members["error"]
        failures = run.failures + 1
        if definition.walker_class.attempts is not None and may_try_again(failures=failures, attempts=run.attempts):
            raise AttemptFailed(error, definition.retry_delay(failures)) from failure
        result = walk.result | {"success": False}
        execution.fail(error["type"], error["message"], result, where=error.get("where", ""))
    finally:
        if files:
            close_files(files)


def walk_now(definition: WalkerDefinition, walk: Walk) -> dict[str, Any]:
    """Carries out the walk in the calling thread, without a run. Returns its result.

    Raises `WalkerFailed`, and as `walk_slot` does.
    """
    with walk_slot(walk.user.pk), hiding(walk.ctx), _carry_out(definition, walk):
        return walk.result


@contextmanager
def _carry_out(definition: WalkerDefinition, walk: Walk) -> Iterator[None]:
    """Runs the walk, and then the block in the same transaction.

    What the walker raises becomes `WalkerFailed`; what concerns the run, or asks to be tried again, stays as it is.
    """
    try:
        with transaction.atomic() if definition.atomic else nullcontext():
            walk.run(definition.create_walker(walk))
            if definition.atomic:
                refuse_broken_transaction()
            yield
    except (OperationalError, InterfaceError, LeaseLost):
        raise
    except BaseException as error:
        if comes_from_outside(error) or (isinstance(error, Problem) and not error.permanent):
            raise
        log.warning("The walker %s failed", definition.name, exc_info=error)
        log_failure(error, definition.walker_class.__module__, author_traceback(error))
        details = error_of(error)
        if isinstance(error, IntegrityError):
            details["message"] = "What it stands on was changed meanwhile by another."
        if where := where_of(error, definition.walker_class):
            details["where"] = where
        raise WalkerFailed(
            details["message"], report=walk.report, final_node=walk.result["final_node"], error=details
        ) from error


@contextmanager
def walk_slot(user_id: UUID) -> Iterator[None]:
    """Takes one of the slots that a web process has for walks; a walk within a walk has it already.

    Raises `Unavailable` when there is none within `SLOT_PATIENCE_SECONDS`, or in a worker's thread, which can be
    interrupted, `WORKER_PATIENCE_SECONDS`.
    """
    if getattr(_thread, "has_slot", False):
        yield
        return
    slots, patience = _slots, SLOT_PATIENCE_SECONDS
    if interruption.current() is not None:
        slots, patience = _worker_slots, WORKER_PATIENCE_SECONDS
    with slots.acquire(user_id, patience):
        _thread.has_slot = True
        try:
            yield
        finally:
            _thread.has_slot = False


def load_work(arguments: Mapping[str, Any]) -> tuple[WalkerDefinition, dict[str, Any]]:
    """The walker and the checked `ctx` that a run's arguments name. Raises `NotFound`, `Rejected`."""
    sentinel = sentinels.find_sentinel(arguments["snt"])
    if sentinel is None:
        raise NotFound(f"The sentinel {arguments['snt']!r} is not installed any more.")
    definition = sentinel.walker(arguments["name"])
    return definition, definition.ctx_schema.check_json(arguments["ctx"], at="/ctx")
