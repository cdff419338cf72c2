"""Pages made to be slow end within a second: what may be one is tried first, in a process of its own."""

import os
import resource
from collections.abc import Callable
from typing import Any

SECONDS = 1
DEPTH_MAX = 1_000
LARGE = 2 * 1024 * 1024  # characters
_PART = 4096


def suspicious(text: str) -> bool:
    """Whether a page is large, or may nest so deep that its parsing takes time with the square of it.

    Elements that never end count as if they nested, so a page that is not suspicious is not deep.
    """
    if len(text) > LARGE:
        return True
    if text.count("<") - text.count("</") < DEPTH_MAX and text.count("</") < DEPTH_MAX:
        return False
    depth = 0
    for place in range(0, len(text), _PART):
        ends = text.count("</", place, place + _PART)
        starts = text.count("<", place, place + _PART) - ends
        if depth + starts > DEPTH_MAX:
            return True
        depth = max(0, depth + starts - ends)
    return False


def ends_in_time(work: Callable[[], Any]) -> bool:
    """Whether `work` ends within a second of computing, tried in a process that is thrown away."""
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFEXITED(status)
