"""Webhooks: who asked for it is told of a run's end, and what is told is a run itself."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django.utils import timezone

from taskhub.errors import Conflict
from taskhub.outbound import check_url, configured_policy
from taskhub.runs.models import Run
from taskhub.runs.queue.submission import submit
from taskhub.runs.run_kinds import kind_or_default
from taskhub.web.parameter_types import format_timestamp

WEBHOOK = "webhook"  # the kind of the runs that deliver
TEST = "webhook.test"


def tell_end(*, run: Run) -> None:
    """In the transaction that ends a run: its webhook is told, if it has one and its kind has something to tell."""
    if run.webhook:
        kind = kind_or_default(run.kind)
        data = kind.webhook_data(run)
        if data is not None:
            notify(run=run, event=kind.webhook_event, data=data)


def notify(*, run: Run, event: str, data: Mapping[str, Any]) -> None:
    """Writes a delivery to the run's webhook down, in the caller's transaction; a worker hears of it after the commit.

    `data` is what the run's kind makes the message of, see `RunKind.webhook_message`.
    """
    deliver(owner=run.owner, url=run.webhook, event=event, data=data, parent=run)


def deliver(*, owner: Any, url: str, event: str, data: Mapping[str, Any], parent: Run | None = None) -> Run:
    """The run of a delivery. Each has a message id of its own, which it keeps however often it is sent."""
    told = {
        "url": url,
        "message": f"msg_{uuid4().hex}",
        "event": event,
        "timestamp": format_timestamp(timezone.now()),
        "data": dict(data),
    }
    return submit(kind=WEBHOOK, owner=owner, name=event, arguments=told, parent=parent)


def checked_webhook(url: str) -> str:
    """The address, which the gate would call. Raises `Refused`."""
    if url:
        check_url(url, configured_policy())
    return url


def set_webhook(*, run: Run, url: str) -> Run:
    """Who is told of a run's end; empty for nobody. Raises `Refused`, and `Conflict` when it has ended."""
    if run.kind == WEBHOOK:
        raise Conflict("A delivery is not told of itself.", state=run.state)
    changed = Run.objects.filter(pk=run.pk, finished_at__isnull=True).update(webhook=checked_webhook(url))
    run.refresh_from_db()
    if not changed:
        raise Conflict(f"The run has ended; it is {run.state}.", state=run.state)
    return run
