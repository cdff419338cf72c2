"""The statuses of processes and pages, and the failures of pages. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from taskhub.runs.domain import backoff

RETRY_AFTER_MAX = 3600.0
RETRIED_STATUSES = frozenset({408, 429})


class ProcessStatus(StrEnum):
    """The statuses of a process, as dataflow_tasks.md prints them."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELED = "canceled"
    FAILED = "failed"
    PENDING = "pending"


class PageState(StrEnum):
    """The states of a page, as its row has them; `STATE_WORDS` are those that users see."""

    READY = "ready"  # may be fetched, once its time has come
    CLAIMED = "claimed"  # a worker has it
    DONE = "done"
    FAILED = "failed"
    REPEATED = "repeated"  # it showed what a page before it showed; its list ends here


STATE_WORDS = {
    PageState.READY: "waiting",
    PageState.CLAIMED: "running",
    PageState.DONE: "done",
    PageState.FAILED: "failed",
    PageState.REPEATED: "repeated",
}
STATES_BY_WORD = {word: state for state, word in STATE_WORDS.items()}
OPEN = frozenset({PageState.READY, PageState.CLAIMED})


@dataclass(eq=False)
class PageFailure(Exception):
    """Says why a page gave nothing.

    `retry` says that the same request may succeed later; `retry_after` is in seconds, if the server says when.
    """

    reason: str
    retry: bool = False
    retry_after: float | None = None
    status: int | None = None

    def __str__(self) -> str:
        return self.reason


def page_backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds until the attempt after `attempt` (1 is the first): 2, 4, 8... or as long as the server wants."""
    return max(backoff(attempt), min(retry_after or 0.0, RETRY_AFTER_MAX))


def may_succeed_later(status: int) -> bool:
    """Whether a request that was answered with this status may succeed later."""
    return status in RETRIED_STATUSES or status >= 500
