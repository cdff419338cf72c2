"""States of runs, back-off, and the exceptions that end an attempt. Pure."""

from datetime import datetime
from enum import StrEnum
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


def may_try_again(*, attempt: int, attempts: int) -> bool:
    return attempt < attempts


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


class ResultTooLarge(Exception):
    """Raised where the work was done and its result cannot be kept. The transaction must roll back."""


class LeaseLost(Exception):
    """Raised where an ending is too late: the run was cancelled, or has a later attempt. Roll the transaction back."""
