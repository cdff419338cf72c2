"""Submission: a run is created, and a worker is notified of it after the commit."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from taskhub.errors import Conflict
from taskhub.log_context import current_request_id
from taskhub.runs.domain import Concurrency
from taskhub.runs.models import Run
from taskhub.runs.queue.broker import notify_worker
from taskhub.runs.queue.signals import ask_for_admission
from taskhub.runs.run_kinds import is_kind, kind_of


class RunOptions(TypedDict, total=False):
    """What a run may have besides its kind, owner, name and arguments."""

    not_before: datetime | None  # when it may start
    parent: Run | None  # to which it belongs
    retry_of: Run | None
    schedule: str  # the name of what fired it
    schedule_id: int | None  # its id, and
    due_at: datetime | None  # for when: a second run for these two is an `IntegrityError`
    time_limit: float | None  # seconds of one attempt
    webhook: str  # the address that is told of the end
    alone_as: str  # of runs of a kind with the same text one goes on at a time
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    priority: int  # 1 to 9; the higher is first
    expires_at: datetime | None  # by when it must have begun
    concurrency: Concurrency | None
    attempts: int  # how many of them may fail


def submit(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """Creates a run, in the caller's transaction if there is one; a worker is notified after the commit.

    `arguments` is what the kind's work needs, as JSON. Raises what the kind's `check` raises of it.
    """
    kind_of(kind).check(arguments)
    run = create_run(kind=kind, owner=owner, name=name, arguments=arguments, **options)
    # Without a transaction this is at once: a run that is submitted alone costs one statement.
    transaction.on_commit(lambda: offer(run))
    return run


def create_run(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """Creates the row of a run whose arguments were checked. Its caller offers it after the commit."""
    run = new_run(kind=kind, owner=owner, name=name, arguments=arguments, **options)
    run.save(force_insert=True)
    return run


def new_run(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """A run whose arguments were checked, not stored yet. What its kind states counts where `options` say nothing."""
    run_kind = kind_of(kind)
    given: dict[str, Any] = {**run_kind.options_of(arguments), **options}
    not_before, concurrency = given.get("not_before"), given.pop("concurrency", None)
    is_due = not_before is None or not_before <= timezone.now()
    if concurrency is not None:
        given["concurrency_key"], given["concurrency_limit"] = concurrency.key, concurrency.limit
        given["concurrency_policy"] = concurrency.policy
    time_limit = given.pop("time_limit", None) or settings.RUN_TIME_LIMIT_SECONDS
    return Run(
        kind=kind,
        owner_id=owner.pk,
        name=name,
        arguments=arguments,
        ready=is_due and concurrency is None,
        blocked=is_due and concurrency is not None,
        attempts=given.pop("attempts", run_kind.attempts),
        time_limit=time_limit,
        request_id=current_request_id(),
        **given,
    )


def offer(run: Run) -> bool:
    """Notifies a worker of an accepted run, after the commit; False where it waits for one, and none would come.

    Of one that waits for its time, or that was revoked in the same transaction, nobody is notified. One with a
    concurrency key is admitted first, if it may be.
    """
    if run.blocked and not run.ended:
        ask_for_admission(run, run_id=run.pk)
        run.refresh_from_db()
    return not run.ready or run.ended or notify_worker(run)


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


def check_active(owner: Any) -> None:
    """Raises `Conflict`: nothing is started in the name of somebody whose account is not active."""
    if not owner.is_active:
        raise Conflict("The owner's account is not active.")


def retry(*, run: Run, arguments: Mapping[str, Any] | None = None) -> Run:
    """Submits a new run with the same work and owner, which points to the old one. `arguments` replace the old ones.

    What the run needed to be accepted is asked again. Raises `Conflict` while the old one goes on, or where its owner's
    account is not active, and `Forbidden` for what its owner may no longer do.
    """
    if not run.ended:
        raise Conflict(f"The run has not ended; it is {run.state}.", state=run.state)
    if not is_kind(run.kind):
        raise Conflict(f"No installed app runs the kind {run.kind!r} any more.")
    check_active(run.owner)
    arguments = run.arguments if arguments is None else arguments
    kind_of(run.kind).check(arguments)  # a fire that could not be planned is on record without any
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
    return new
