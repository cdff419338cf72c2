"""Retries: a run that has ended is tried again by a new run, with the same arguments or with others."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from taskhub.audit.services import record_by_hand
from taskhub.errors import Conflict, Problem, Rejected
from taskhub.runs.models import Run
from taskhub.runs.queue.submission import check_active, submit
from taskhub.runs.run_kinds import is_kind, kind_of
from taskhub.security.masking import masked_places


def lasting_options(run: Run) -> dict[str, Any]:
    """What was said of a run, and is said of the one that tries it again, too."""
    return {
        "webhook": run.webhook,
        "tags": run.tags,
        "metadata": run.metadata,
        "priority": run.priority,
        "concurrency": run.concurrency,
        "attempts": run.attempts,
    }


def retry(*, run: Run, arguments: Mapping[str, Any] | None = None) -> Run:
    """Submits a new run with the same work and owner, which points to the old one. `arguments` replace the old ones.

    What the run needed to be accepted is asked again. Raises `Conflict` while the old one goes on, or where its owner's
    account is not active, and `Forbidden` for what its owner may no longer do.
    """
    _check_can_be_retried(run)
    arguments = run.arguments if arguments is None else arguments
    kind_of(run.kind).check(arguments)
    kind_of(run.kind).check_owner(arguments, run.owner)
    with transaction.atomic():
        new = submit(
            kind=run.kind,
            owner=run.owner,
            name=run.name,
            arguments=arguments,
            parent=run.parent,
            retry_of=run,
            schedule=run.schedule,
            schedule_id=run.schedule_id,
            time_limit=run.time_limit,
            alone_as=run.alone_as,
            **lasting_options(run),
        )
        kind_of(run.kind).on_retry(run, new)
        name = f"{run.kind} {run.name}"
        record_by_hand("retry", "run", run.pk, name, owner_id=run.owner_id, after={"run": new.pk})
    return new


def retry_with(*, run: Run, arguments: Mapping[str, Any]) -> Run:
    """Submits a new run in place of one that has ended, with what a call gives as other `arguments`.

    They are checked as a new call's would be. Raises as `retry` does, and `Problem`s whose places are below
    `/arguments`; `Conflict` for a kind whose runs are tried again as they were.
    """
    _check_can_be_retried(run)
    if stars := list(masked_places(arguments)):
        detail = "These are stars, not the secret."
        raise _of_call(Rejected(detail, errors=[{"pointer": place, "detail": detail} for place in stars]))
    try:
        return kind_of(run.kind).retry_with(run, arguments)
    except Problem as problem:
        raise _of_call(problem) from None


def _check_can_be_retried(run: Run) -> None:
    """Raises `Conflict`."""
    if not run.ended:
        raise Conflict(f"The run has not ended; it is {run.state}.", state=run.state)
    if not is_kind(run.kind):
        raise Conflict(f"No installed app runs the kind {run.kind!r} any more.")
    if run.schedule and not run.arguments:
        raise Conflict(
            f"There is nothing to try again: the schedule {run.schedule!r} could not start it, its error says why."
            " Mend the schedule, and start that.",
            state=run.state,
        )
    check_active(run.owner)


def _of_call(problem: Problem) -> Problem:
    """A problem of arguments with its places in the call that gives them."""
    for error in problem.errors:
        error["pointer"] = f"/arguments{error.get('pointer', '')}"
    return problem
