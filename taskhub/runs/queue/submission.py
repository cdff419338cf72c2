"""Submission: a run is created, and a worker is notified of it after the commit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from taskhub.errors import Conflict
from taskhub.runs.models import Run
from taskhub.runs.queue.broker import notify_worker
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


def submit(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """Creates a run, in the caller's transaction if there is one; a worker is notified after the commit.

    `arguments` is what the kind's work needs, as JSON. Raises what the kind's `check` raises of it.
    """
    kind_of(kind).check(arguments)
    run = create_run(kind=kind, owner=owner, name=name, arguments=arguments, **options)
    # Without a transaction this is at once: a run that is submitted alone costs one statement.
    transaction.on_commit(lambda: notify_if_waiting(run))
    return run


def create_run(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """Creates the row of a run whose arguments were checked. Its caller notifies a worker after the commit."""
    not_before = options.get("not_before")
    time_limit = options.pop("time_limit", None) or settings.RUN_TIME_LIMIT_SECONDS
    return Run.objects.create(
        kind=kind,
        owner_id=owner.pk,
        name=name,
        arguments=arguments,
        ready=not_before is None or not_before <= timezone.now(),
        attempts=kind_of(kind).attempts,
        time_limit=time_limit,
        **options,
    )


def notify_if_waiting(run: Run) -> None:
    """Notifies no worker of a run that waits for its time, nor of one that was revoked in the same transaction."""
    if run.ready and not run.ended:
        notify_worker(run)


def check_active(owner: Any) -> None:
    """Raises `Conflict`: nothing is started in the name of somebody whose account is not active."""
    if not owner.is_active:
        raise Conflict("The owner's account is not active.")


def retry(*, run: Run) -> Run:
    """Submits a new run with the same work and owner, which points to the old one.

    What the run needed to be accepted is asked again. Raises `Conflict` while the old one goes on, or where its owner's
    account is not active, and `Forbidden` for what its owner may no longer do.
    """
    if not run.ended:
        raise Conflict(f"The run has not ended; it is {run.state}.", state=run.state)
    if not is_kind(run.kind):
        raise Conflict(f"No installed app runs the kind {run.kind!r} any more.")
    check_active(run.owner)
    kind_of(run.kind).check(run.arguments)  # a fire that could not be planned is on record without any
    kind_of(run.kind).check_owner(run.arguments, run.owner)
    with transaction.atomic():
        new = submit(
            kind=run.kind,
            owner=run.owner,
            name=run.name,
            arguments=run.arguments,
            parent=run.parent,
            retry_of=run,
            schedule=run.schedule,
            schedule_id=run.schedule_id,
            time_limit=run.time_limit,
            webhook=run.webhook,
            alone_as=run.alone_as,
        )
        kind_of(run.kind).on_retry(run, new)
    return new
