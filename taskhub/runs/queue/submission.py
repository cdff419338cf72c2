"""Writing work down, and ringing for it."""

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


def accept(
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
) -> Run:
    """Writes a run down, in the caller's transaction if there is one. Call `enqueue` after the commit.

    `arguments` is what the kind's work needs, as JSON; `time_limit` is in seconds; `webhook` is the address that is
    told of the end. `schedule`
    and `due_at` tell what fired it, and for when: a second run for them is an `IntegrityError`. Raises what the kind's
    check raises.
    """
    known = kind_of(kind)
    known.check(arguments)
    return Run.objects.create(
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
        attempts=known.attempts or settings.RUN_ATTEMPTS,
        webhook=webhook,
    )


def enqueue(run: Run) -> bool:
    """Wakes a worker; False when none would hear it. A run that waits for its time needs nobody yet."""
    if not run.ready:
        return True
    return broker.wake(kind_of(run.kind), run.pk)


def invite(run: Run) -> bool:
    """Wakes another worker for a run that was handed over, whose work several can share; False when none would hear."""
    return broker.wake(kind_of(run.kind), run.pk)


def retry(*, run: Run) -> Run:
    """A new run with the same work and owner, which points to the old one.

    Raises `Conflict` while the old one goes on. Call `enqueue` after the commit.
    """
    if not run.ended:
        raise Conflict(f"The run has not ended; it is {run.state}.", state=run.state)
    if not is_kind(run.kind):
        raise Conflict(f"No installed app runs the kind {run.kind!r} any more.")
    with transaction.atomic():
        new = accept(
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
        kind_of(run.kind).copied(run, new)
    return new
