"""The verbs of the ledger. Every change of a run's state is one conditional statement in here."""

from taskhub.runs.queue.leases import (
    claim,
    claim_this,
    confirm,
    end,
    hand_over,
    put_off,
    renew,
    set_aside,
    take_up,
    tell_progress,
)
from taskhub.runs.queue.maintenance import prune, remove_runs_of, sweep
from taskhub.runs.queue.queries import cancel, changes, settle, visible_run, wait
from taskhub.runs.queue.submission import accept, enqueue, invite, retry
from taskhub.runs.queue.webhook_events import checked_webhook, notify, set_webhook

__all__ = [
    "accept",
    "cancel",
    "changes",
    "checked_webhook",
    "claim",
    "claim_this",
    "confirm",
    "end",
    "enqueue",
    "hand_over",
    "invite",
    "notify",
    "prune",
    "put_off",
    "remove_runs_of",
    "renew",
    "retry",
    "set_aside",
    "set_webhook",
    "settle",
    "sweep",
    "take_up",
    "tell_progress",
    "visible_run",
    "wait",
]
