"""States of runs, concurrency, back-off, and the exceptions that end an attempt. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class State(StrEnum):
    """The states of Celery's vocabulary, as the documents print them."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


WAITING = frozenset({State.PENDING, State.RETRY})
RUNNING = frozenset({State.STARTED, State.PROGRESS})
ENDED = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})

BACKOFF_FIRST_SECONDS = 2
BACKOFF_MAX_SECONDS = 300


def backoff(attempt: int) -> int:
    """Seconds until the attempt after `attempt` (1 is the first): 2, 4, 8, ... at most 300."""
    return min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS << min(attempt - 1, 30))


def spread_backoff(failures: int, *, first: float, chance: float) -> float:
    """Seconds until the attempt after so many failures: `first`, twice that, ..., at most 300, or `first` if that is
    more. `chance` is from 0 to 1, and takes up to a half of it away: what failed together does not come back together.
    """
    longest = first * (1 << min(failures - 1, 30))
    return min(longest, max(first, float(BACKOFF_MAX_SECONDS))) * (1 - chance / 2)


def may_try_again(*, failures: int, attempts: int) -> bool:
    return failures < attempts


PRIORITY_LOWEST, PRIORITY_DEFAULT, PRIORITY_HIGHEST = 1, 5, 9


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run where as many of its concurrency key go on as may."""

    WAIT = "wait"  # it waits until fewer do
    SKIP = "skip"  # it is left out
    CANCEL = "cancel"  # the oldest of the others is cancelled


@dataclass(frozen=True)
class Concurrency:
    """How many runs of an owner with the same key may go on at once."""

    key: str
    limit: int = 1
    policy: ConcurrencyPolicy = ConcurrencyPolicy.WAIT


class NotificationEvent(StrEnum):
    """What a notification rule may tell of."""

    RUN_FAILED = "run.failed"
    RUN_RECOVERED = "run.recovered"
    RUN_SLOW = "run.slow"
    SCHEDULE_MISSED = "schedule.missed"
    PROCESS_PENDING = "process.pending"
    PROCESS_CHANGED = "process.changed"
    CRAWLER_TIMEOUT = "crawler.timeout"
    WORKER_LOST = "worker.lost"
    QUEUE_LATE = "queue.late"


HUB_EVENTS = frozenset({NotificationEvent.WORKER_LOST, NotificationEvent.QUEUE_LATE})  # of the hub itself: for staff


def oldest_id(moment: datetime) -> UUID:
    """The smallest version 7 UUID (RFC 9562, section 5.7) of a time: ids below it are older. They begin with 1970."""
    return UUID(int=(max(0, int(moment.timestamp() * 1000)) << 80) | (7 << 76) | (2 << 62))


class Interrupted(KeyboardInterrupt):
    """Raised inside the work of a run that was cancelled or has lost its lease.

    No `Exception`, so that work which catches everything does not swallow it; a `KeyboardInterrupt`, so that psycopg
    cancels the statement it waits for.
    """


class Overdue(Interrupted):
    """Raised inside the work of a run whose time limit is over."""


class AttemptFailed(Exception):
    """Raised where an attempt failed with this error, and another one is to be made after so many seconds."""

    def __init__(self, error: Mapping[str, Any], delay: float) -> None:
        super().__init__(error["message"])
        self.error = error
        self.delay = delay


class ResultTooLarge(Exception):
    """Raised where the work was done and its result cannot be kept. The transaction must roll back."""


class LeaseLost(Exception):
    """Raised where an ending is too late: the run was cancelled, or has a later attempt. Roll the transaction back."""
