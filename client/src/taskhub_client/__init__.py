"""Python client of a taskhub: `Hub`, and `AsyncHub` for asyncio. `taskhub_client.crawler` is for crawlers."""

from taskhub_client.errors import (
    Conflict,
    Forbidden,
    HubError,
    HubUnreachable,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    ProblemError,
    RunCancelled,
    RunFailed,
    TooManyRequests,
    UnknownAnswer,
    WaitTimeout,
)
from taskhub_client.hub import AsyncHub, Hub
from taskhub_client.processes import AsyncProcess, Process
from taskhub_client.records import LogLine, RunError
from taskhub_client.runs import AsyncRun, Run
from taskhub_client.webhooks import InvalidSignature

__all__ = [
    "AsyncHub",
    "AsyncProcess",
    "AsyncRun",
    "Conflict",
    "Forbidden",
    "Hub",
    "HubError",
    "HubUnreachable",
    "InvalidRequest",
    "InvalidSignature",
    "LogLine",
    "NotFound",
    "NotSignedIn",
    "ProblemError",
    "Process",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "TooManyRequests",
    "UnknownAnswer",
    "WaitTimeout",
]
