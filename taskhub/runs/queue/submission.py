"""Submission: a run is written down, and a worker is notified of it after the commit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from taskhub.errors import Conflict
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from taskhub.runs.run_kinds import is_kind, kind_of


def submit(
    *,
    kind: str,
    owner: Any,
    name: str,
    arguments: Mapping[str, Any],
    not_before: datetime | None = None,
    parent: Run | None = None,
    retry_of: Run | None = None,
    schedule: str = "",
    due_at: datetime | None = None,
    time_limit: float | None = None,
    webhook: str = "",
    checked: bool = False,
    notify: bool = True,
) -> Run:
    """Writes a run down, in the caller's transaction if there is one; a worker is notified after the commit.

    `arguments` is what the kind's work needs, as JSON; `time_limit` is in seconds; `webhook` is the address that is
    told of the end. `schedule` and `due_at` tell what fired it, and for when: a second run for them is an
    `IntegrityError`. `checked` says that the caller has checked the arguments; else the kind's `check` may raise.
    Without `notify` the caller calls `notify_worker` after the commit, to learn whether a worker will come.
    """
    run_kind = kind_of(kind)
    if not checked:
        run_kind.check(arguments)
    run = Run.objects.create(
        kind=kind,
        owner_id=owner.pk,
        name=name,
        arguments=arguments,
        not_before=not_before,
        ready=not_before is None or not_before <= timezone.now(),
        parent=parent,
        retry_of=retry_of,
        schedule=schedule,
        due_at=due_at,
        time_limit=time_limit or settings.RUN_TIME_LIMIT_SECONDS,
        attempts=run_kind.attempts,
        webhook=webhook,
    )
    if notify:
        # Without a transaction this is at once: a run that is submitted alone costs one statement.
        transaction.on_commit(lambda: _notify_if_waiting(run))
    return run


def _notify_if_waiting(run: Run) -> None:
    """Notifies no worker of a run that waits for its time, nor of one that was revoked in the same transaction."""
    if run.ready and not run.ended:
        notify_worker(run)


def notify_worker(run: Run) -> bool:
    """Notifies a worker that a run has work for one; False when no worker would come.

    Called again for a detached run, it brings another worker to it: several can share its work.
    """
    return broker.notify_worker(kind_of(run.kind), run.pk)


def retry(*, run: Run) -> Run:
    """Submits a new run with the same work and owner, which points to the old one.

    Raises `Conflict` while the old one goes on.
    """
    if not run.ended:
        raise Conflict(f"The run has not ended; it is {run.state}.", state=run.state)
    if not is_kind(run.kind):
        raise Conflict(f"No installed app runs the kind {run.kind!r} any more.")
    with transaction.atomic():
        new = submit(
            kind=run.kind,
            owner=run.owner,
            name=run.name,
            arguments=run.arguments,
            parent=run.parent,
            retry_of=run,
            schedule=run.schedule,
            time_limit=run.time_limit,
            webhook=run.webhook,
        )
        kind_of(run.kind).on_retry(run, new)
    return new
