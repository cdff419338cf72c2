"""The verbs of the ledger. Every change of a run's state is one conditional statement in here."""

from taskhub.runs.queue.leases import (
    claim,
    claim_this,
    confirm,
    end,
    hand_over,
    put_off,
    renew,
    resume,
    suspend,
    tell_progress,
)
from taskhub.runs.queue.maintenance import prune, remove_runs_of, sweep
from taskhub.runs.queue.queries import cancel, changes, settle, visible_run, wait
from taskhub.runs.queue.submission import notify_worker, retry, submit
from taskhub.runs.queue.webhook_events import checked_webhook, notify, set_webhook

__all__ = [
    "cancel",
    "changes",
    "checked_webhook",
    "claim",
    "claim_this",
    "confirm",
    "end",
    "hand_over",
    "notify",
    "notify_worker",
    "prune",
    "put_off",
    "remove_runs_of",
    "renew",
    "resume",
    "retry",
    "set_webhook",
    "settle",
    "submit",
    "suspend",
    "sweep",
    "tell_progress",
    "visible_run",
    "wait",
]
