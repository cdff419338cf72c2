"""What webhooks need of the ledger."""

from typing import Any

from django.urls import reverse

from taskhub.runs.kinds import Kind
from taskhub.runs.models import Run
from taskhub.runs.services.notifying import WEBHOOK
from taskhub.runs.webhooks.domain import ATTEMPTS, wait
from taskhub.runs.webhooks.models import Attempt


def _pages(run: Run) -> list[tuple[str, str]]:
    return [("attempts", f"{reverse('admin:webhooks_attempt_changelist')}?delivery__id__exact={run.pk}")]


def _removed(ids: list[Any]) -> None:
    Attempt.objects.filter(delivery_id__in=ids).delete()


KIND = Kind(
    WEBHOOK,
    "taskhub.runs.webhooks.tasks.deliver",
    "webhooks",
    removed=_removed,
    pages=_pages,
    told=lambda run: None,
    attempts=ATTEMPTS,
    wait=wait,
)
