"""E-mails as runs; with them the leader looks at what notification rules are to tell of."""

from typing import ClassVar

from django.urls import reverse

from taskhub.runs.models import Run
from taskhub.runs.notifications.condition_watch import ConditionWatch, prune
from taskhub.runs.queue.notification_events import EMAIL, record_retry
from taskhub.runs.run_kinds import RunKind
from taskhub.runs.webhooks.domain import RETRY_DELAYS


class EmailKind(RunKind):
    name = EMAIL
    task = "taskhub.runs.notifications.tasks.send"
    queue = "webhooks"
    retry_delays = RETRY_DELAYS
    notifies = False
    is_secondary = True
    watch: ClassVar = ConditionWatch()

    def on_retry(self, old: Run, new: Run) -> None:
        record_retry(old=old, new=new)

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        return [("attempts", f"{reverse('admin:webhooks_deliveryattempt_changelist')}?delivery__id__exact={run.pk}")]

    def webhook_data(self, run: Run) -> None:
        return None  # nobody is told of an e-mail's end

    def sweep(self) -> None:
        self.watch.look_in_time()

    def prune(self) -> int:
        return prune()
