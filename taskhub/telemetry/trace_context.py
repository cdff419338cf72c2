"""The `traceparent` by which a trace goes on from one program to the next (W3C Trace Context), while its work goes on.

One that came in is kept with the runs that are accepted for it, and goes out with their requests. `spans` puts spans of
the hub's own in between, where traces are recorded.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def accepted_traceparent(sent: str) -> str:
    """The header `traceparent` of a request, in version 00; empty where it is none. See W3C Trace Context, 3.2."""
    if (found := _TRACEPARENT.match(sent)) is None:
        return ""
    more = sent[found.end() :]  # only a later version has more, after a hyphen
    is_whole = not more or (more.startswith("-") and not sent.startswith("00"))
    return f"00{found[0][2:]}" if is_whole else ""


def current_traceparent() -> str:
    """That of the span in which the caller works, or the one that came in; empty where there is no trace."""
    return _traceparent.get()


def current_trace_id() -> str:
    """The id of the trace that the caller's work belongs to, 32 hexadecimal digits; empty where there is none."""
    return _traceparent.get()[3:35]


@contextmanager
def within_trace(traceparent: str) -> Iterator[None]:
    """What is done in the block goes on with this trace."""
    token = _traceparent.set(traceparent)
    try:
        yield
    finally:
        _traceparent.reset(token)
