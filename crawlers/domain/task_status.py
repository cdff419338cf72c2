"""The status codes of a task, and what they mean (crawler_task.md)."""

from typing import Final

NEW: Final = 0
RUNNING: Final = 102
DONE: Final = 200  # this and all above it end the task
TIMED_OUT: Final = 408
CANCELLED: Final = 499  # by the owner; the crawler never sends it
FAILED: Final = 500
DELETED: Final = 410  # in the notice to the crawler when the task is deleted

DEFAULT_MESSAGES = {
    NEW: "new",
    RUNNING: "running",
    DONE: "done",
    TIMED_OUT: "timeout",
    CANCELLED: "cancelled",
    FAILED: "failed",
    DELETED: "deleted",
}


def succeeded(code: int) -> bool:
    return DONE <= code < 300


def default_message(code: int) -> str:
    """The message of a status that came without one."""
    return DEFAULT_MESSAGES.get(code, "done" if succeeded(code) else "failed" if code >= DONE else "running")
