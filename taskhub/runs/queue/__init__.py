"""Everything that may be done with runs."""

from taskhub.runs.queue.broker import notify_worker
from taskhub.runs.queue.ends import cancel, end, finish_detached
from taskhub.runs.queue.leases import (
    claim,
    claim_this,
    confirm,
    detach,
    renew,
    resume,
    save_progress,
    schedule_retry,
    suspend,
)
from taskhub.runs.queue.maintenance import prune, remove, remove_runs_of, sweep
from taskhub.runs.queue.notification_events import notify_of_run
from taskhub.runs.queue.pubsub import publish
from taskhub.runs.queue.queries import visible_run, wait
from taskhub.runs.queue.retries import lasting_options, retry, retry_with
from taskhub.runs.queue.submission import check_active, create_run, new_run, offer, offer_all, store_runs, submit
from taskhub.runs.queue.webhook_events import checked_webhook, queue_webhook, set_webhook

__all__ = [
    "cancel",
    "check_active",
    "checked_webhook",
    "claim",
    "claim_this",
    "confirm",
    "create_run",
    "detach",
    "end",
    "finish_detached",
    "lasting_options",
    "new_run",
    "notify_of_run",
    "notify_worker",
    "offer",
    "offer_all",
    "prune",
    "publish",
    "queue_webhook",
    "remove",
    "remove_runs_of",
    "renew",
    "resume",
    "retry",
    "retry_with",
    "save_progress",
    "schedule_retry",
    "set_webhook",
    "store_runs",
    "submit",
    "suspend",
    "sweep",
    "visible_run",
    "wait",
]
