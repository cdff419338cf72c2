"""What the status code of a task means (crawler_task.md; contract, section 5)."""

from typing import Final

NEW: Final = 0
RUNNING: Final = 102
DONE: Final = 200
TIMED_OUT: Final = 408
CANCELLED: Final = 499  # by the owner; the crawler never sends it
FAILED: Final = 500
GONE: Final = 410  # told to the crawler when the task is deleted

WORDS = {
    NEW: "new",
    RUNNING: "running",
    DONE: "done",
    TIMED_OUT: "timeout",
    CANCELLED: "cancelled",
    FAILED: "failed",
    GONE: "deleted",
}


def ends(code: int) -> bool:
    """200 and above end the task."""
    return code >= DONE


def succeeded(code: int) -> bool:
    return DONE <= code < 300


def words_of(code: int) -> str:
    """For people, where no message was given."""
    return WORDS.get(code, "done" if succeeded(code) else "failed" if ends(code) else "running")
