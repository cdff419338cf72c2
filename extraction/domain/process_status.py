"""What a process and a page can be, and what follows from an answer. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from taskhub.runs.domain import backoff

RETRY_AFTER_MAX = 3600.0
AGAIN = frozenset({408, 429})


class ProcessStatus(StrEnum):
    """Of a process, as dataflow_tasks.md prints them."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELED = "canceled"
    FAILED = "failed"
    PENDING = "pending"


class PageState(StrEnum):
    READY = "ready"  # may be fetched, once its time has come
    CLAIMED = "claimed"  # a worker has it
    DONE = "done"
    FAILED = "failed"
    REPEATED = "repeated"  # it showed what the page before it showed; its list ends here


WORDS = {
    PageState.READY: "waiting",
    PageState.CLAIMED: "running",
    PageState.DONE: "done",
    PageState.FAILED: "failed",
    PageState.REPEATED: "repeated",
}
STATES = {word: state for state, word in WORDS.items()}  # as they are shown
OPEN = frozenset({PageState.READY, PageState.CLAIMED})


@dataclass(eq=False)
class PageFailure(Exception):
    """Why a page gave nothing. `again` when the same request may succeed later; `after` in seconds, where told."""

    reason: str
    again: bool = False
    after: float | None = None
    status: int | None = None

    def __str__(self) -> str:
        return self.reason


def page_backoff(attempt: int, after: float | None) -> float:
    """Seconds until the attempt after `attempt` (1 is the first): 2, 4, 8... or as long as the server wants."""
    return max(backoff(attempt), min(after or 0.0, RETRY_AFTER_MAX))


def may_succeed_later(status: int) -> bool:
    return status in AGAIN or status >= 500
