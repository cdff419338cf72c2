"""What a line of the hub's log is about: the run whose work goes on in this thread, the request that is answered or
that the run was accepted for, and the trace that they belong to. `log_lines` writes it on each line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import getrandbits

from taskhub.telemetry.trace_context import current_trace_id

_run_id: ContextVar[str] = ContextVar("log_run_id", default="")
_request_id: ContextVar[str] = ContextVar("log_request_id", default="")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")


@contextmanager
def about(*, run_id: object = "", request_id: str = "") -> Iterator[None]:
    """Has the lines that are logged in the block name a run, a request, or both; what is empty stays as it is."""
    tokens = [
        (variable, variable.set(str(id))) for variable, id in ((_run_id, run_id), (_request_id, request_id)) if id
    ]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def current_request_id() -> str:
    """The id of the request that the caller works for; empty where there is none."""
    return _request_id.get()


def log_context() -> dict[str, str]:
    """The ids of the run, the request and the trace that a line which is logged now is about; those that there are."""
    ids = {"run": _run_id.get(), "request": _request_id.get(), "trace": current_trace_id()}
    return {name: id for name, id in ids.items() if id}


def accepted_request_id(sent: str) -> str:
    """The id of a request: that which its caller gave it (`X-Request-ID`), if it is short and plain, or a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else f"{getrandbits(128):032x}"
