"""Pages that are made to be slow: parsing one is tried for a second in an OS process of its own."""

import os
import resource
from collections.abc import Callable
from typing import Any

SECONDS = 1  # of computing
DEPTH_MAX = 1_000
LARGE = 2 * 1024 * 1024  # characters
_PART = 4096


def is_suspicious(text: str) -> bool:
    """Whether a page is large, or may nest so deep that parsing takes time with the square of the depth.

    Elements that never end count as if they nested, so a page that is not suspicious is not deep.
    """
    if len(text) > LARGE:
        return True
    if text.count("<") - text.count("</") < DEPTH_MAX and text.count("</") < DEPTH_MAX:
        return False
    depth = 0
    for start in range(0, len(text), _PART):
        ends = text.count("</", start, start + _PART)
        starts = text.count("<", start, start + _PART) - ends
        if depth + starts > DEPTH_MAX:
            return True
        depth = max(0, depth + starts - ends)
    return False


def ends_in_time(work: Callable[[], Any]) -> bool:
    """Whether `work` ends within a second of computing, tried in an OS process that is thrown away."""
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFEXITED(status)
