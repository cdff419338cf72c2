"""Deliveries of webhooks as runs."""

from typing import Any

from django.urls import reverse

from taskhub.runs.models import Run
from taskhub.runs.queue.notification_events import record_retry
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.run_kinds import RunKind
from taskhub.runs.webhooks.domain import RETRY_DELAYS


class WebhookDeliveryKind(RunKind):
    name = WEBHOOK
    task = "taskhub.runs.webhooks.tasks.deliver"
    queue = "webhooks"
    retry_delays = RETRY_DELAYS
    is_secondary = True
    notifies = False

    def on_retry(self, old: Run, new: Run) -> None:
        record_retry(old=old, new=new)

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        return [("attempts", f"{reverse('admin:webhooks_deliveryattempt_changelist')}?delivery__id__exact={run.pk}")]

    def webhook_data(self, run: Run) -> dict[str, Any] | None:
        return None  # nobody is told of a delivery's end
