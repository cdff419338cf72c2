"""Requests, responses and step records: what an interpreter exchanges with those who send for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(slots=True)
class StepRequest:
    """A request that is ready. `body` is JSON, or None for none; it may be part of persistence: not to be changed."""

    method: str
    address: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class StepResponse:
    """`value` is JSON that can be stored, or text without U+0000; it is never changed.

    `message` says why where `status` is 400 or more, such as the reason phrase. `note` tells what was mended in the
    body. With a `fault` the body is not what it says it is, and `value` is its text.
    """

    status: int
    value: Any = None
    message: str = ""
    note: str = ""
    fault: str = ""


class SendFailed(Exception):
    """There is no response: the connection failed, the time was up, or the gate refused. The message is for users."""


Send: TypeAlias = Callable[[StepRequest], StepResponse]
Jac: TypeAlias = Callable[[str, dict[str, Any], str | None], StepResponse]


@dataclass(slots=True)
class StepRecord:
    """One finished step: what was sent (None where it never came to that) and what came back.

    `number` counts from 1. `path` is that of the step, `requests[1].__def_loop__[3].requests[0]`; a filter or `break`
    that could not be evaluated has a record of its own, with its own path. `method` is empty where an expression gives
    it that could not be evaluated. `note` tells what was mended in the answer.
    """

    number: int
    path: str
    method: str
    sent: StepRequest | None = None
    status: int | None = None
    value: Any = None
    error: str | None = None
    duration_ms: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class SequenceLimits:
    """Of one run. `request` and `persistence` are in characters of JSON, about; `items` counts filtered ones too."""

    steps: int = 100_000
    items: int = 1_000_000
    request: int = 4_000_000
    persistence: int = 16_000_000
    seconds: float = 3600.0
