"""Webhooks of runs: the end of a run is delivered to its webhook, and the delivery is a run itself."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone
from django.utils.crypto import salted_hmac

from taskhub.errors import Conflict
from taskhub.jsontools.field_types import format_timestamp
from taskhub.outbound import check_url, configured_policy
from taskhub.runs.models import Run
from taskhub.runs.queue.submission import submit
from taskhub.runs.run_kinds import kind_or_default

WEBHOOK = "webhook"  # the kind of the runs that deliver
TEST = "webhook.test"


def queue_end_webhook(*, run: Run) -> None:
    """Submits the delivery of a run's end to its webhook, in the ending transaction, if its kind has data."""
    kind = kind_or_default(run.kind)
    data = kind.webhook_data(run)
    if data is not None:
        queue_webhook(run=run, event=kind.webhook_event, data=data)


def queue_webhook(*, run: Run, event: str, data: Mapping[str, Any]) -> None:
    """Submits a delivery to the run's webhook, in the caller's transaction.

    `data` is what the run's kind makes the message of, see `RunKind.webhook_message`.
    """
    submit_delivery(owner=run.owner, url=run.webhook, event=event, data=data, parent=run)


def submit_delivery(
    *, owner: Any, url: str, event: str, data: Mapping[str, Any], parent: Run | None = None, whole: bool = False
) -> Run:
    """Submits the run of a delivery. Each has a message id of its own, which it keeps however often it is sent.

    `whole`: the data are the message; else they are what the kind of `parent` makes it of when it is sent.

    The address stands in the run's column `webhook`, which is encrypted as a whole: nobody is told of a delivery's end.
    """
    arguments = {
        "message": f"msg_{uuid4().hex}",
        "event": event,
        "timestamp": format_timestamp(timezone.now()),
        "data": dict(data),
        **({"whole": True} if whole else {}),
    }
    return submit(
        kind=WEBHOOK,
        owner=owner,
        name=event,
        arguments=arguments,
        parent=parent,
        webhook=url,
        alone_as=receiver_of(owner.pk, url),
    )


def address_of(delivery: Run) -> str:
    """The address of a delivery, or of an e-mail; an older version had that of a delivery in the arguments, too."""
    return str(delivery.webhook or delivery.arguments.get("to") or delivery.arguments.get("url", ""))


def receiver_of(owner_id: UUID, url: str) -> str:
    """A receiver gets one delivery at a time, so that one which hangs takes one slot. The address may be secret."""
    return salted_hmac("taskhub.runs.webhooks.receiver", f"{owner_id} {url}", algorithm="sha256").hexdigest()


def checked_webhook(url: str) -> str:
    """The address of a webhook, or empty. Raises `Refused` for one that the gate would not call."""
    if url:
        check_url(url, configured_policy())
    return url


def set_webhook(*, run: Run, url: str) -> Run:
    """Sets the webhook of a run; empty for none. Raises `Refused`, and `Conflict` when it has ended."""
    if run.kind == WEBHOOK:
        raise Conflict("A delivery is not told of itself.", state=run.state)
    changed = Run.objects.filter(pk=run.pk, finished_at__isnull=True).update(webhook=checked_webhook(url))
    run.refresh_from_db()
    if not changed:
        raise Conflict(f"The run has ended; it is {run.state}.", state=run.state)
    return run
