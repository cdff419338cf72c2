"""What webhooks need of the ledger."""

from django.urls import reverse

from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.run_kinds import Kind
from taskhub.runs.webhooks.domain import ATTEMPTS, wait


def _pages(run: Run) -> list[tuple[str, str]]:
    return [("attempts", f"{reverse('admin:webhooks_attempt_changelist')}?delivery__id__exact={run.pk}")]


KIND = Kind(
    WEBHOOK,
    "taskhub.runs.webhooks.tasks.deliver",
    "webhooks",
    pages=_pages,
    told=lambda run: None,
    attempts=ATTEMPTS,
    wait=wait,
)
