"""The tables of runs, one module a subject."""

from taskhub.runs.models.idempotency_record import IdempotencyRecord
from taskhub.runs.models.leadership import Leadership
from taskhub.runs.models.log_line import LogLine
from taskhub.runs.models.notification import (
    NotificationMark,
    NotificationMessage,
    NotificationQuiet,
    NotificationRule,
)
from taskhub.runs.models.run import Run
from taskhub.runs.models.run_tally import RunTally
from taskhub.runs.models.schedule import Schedule
from taskhub.runs.models.worker import Worker, live_workers, node_host, worker_timeout

__all__ = [
    "IdempotencyRecord",
    "Leadership",
    "LogLine",
    "NotificationMark",
    "NotificationMessage",
    "NotificationQuiet",
    "NotificationRule",
    "Run",
    "RunTally",
    "Schedule",
    "Worker",
    "live_workers",
    "node_host",
    "worker_timeout",
]
