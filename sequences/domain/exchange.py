"""Requests, responses and step records: what an interpreter exchanges with those who send for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How a request is sent. Seconds are within the limits of the settings, which count where they are None.

    `format` is how the body is written: `form`, `multipart`, `text`, `file`, or empty for what the Content-Type says.
    `response` is how the answer is read: `json`, `text`, `bytes`, or empty for what its Content-Type says.
    """

    format: str = ""
    connect_timeout: float | None = None
    read_timeout: float | None = None
    total_timeout: float | None = None
    follow_redirects: bool = True
    response: str = ""


DEFAULT_OPTIONS = ExchangeOptions()


@dataclass(slots=True)
class StepRequest:
    """A request that is ready. `body` is JSON, or None for none; it may be part of persistence: not to be changed."""

    method: str
    address: str
    headers: dict[str, str]
    body: Any
    options: ExchangeOptions = DEFAULT_OPTIONS


@dataclass(slots=True)
class StepResponse:
    """`value` is JSON that can be stored, or text without U+0000; it is never changed.

    `message` says why where `status` is 400 or more, such as the reason phrase. `note` tells what was mended in the
    body. With a `fault` the body is not what it says it is, and `value` is its text. Names of `headers` are in lower
    case; `url` is where the answer came from. `retry_after` are the seconds for which the server asks to wait.
    """

    status: int
    value: Any = None
    message: str = ""
    note: str = ""
    fault: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    retry_after: float | None = None


class SendFailed(Exception):
    """There is no response. The message is for users.

    `reason` is `connection`, `timeout`, or empty where the same request would fail again.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class KeptFile(NamedTuple):
    """A body that is kept as it came; `content_type` as its server stated it."""

    name: str
    content_type: str
    content: bytes


class FileStore(Protocol):
    """Keeps answers as files, whose links are the values of their steps. Both raise `SendFailed`."""

    def keep(self, file: KeptFile) -> str:
        """Keeps a file and gives its link."""

    def read(self, link: str) -> KeptFile:
        """The file of a link."""


Send: TypeAlias = Callable[[StepRequest], StepResponse]
Jac: TypeAlias = Callable[[str, dict[str, Any], str | None], StepResponse]


@dataclass(slots=True)
class StepRecord:
    """One finished step: what was sent (None where it never came to that) and what came back.

    `number` counts from 1. `path` is that of the step, `requests[1].__def_loop__[3].requests[0]`; a filter or `break`
    that could not be evaluated has a record of its own, with its own path. `method` is empty where an expression gives
    it that could not be evaluated, and SLEEP, PARALLEL or CALL for a step without a request. `note` tells what was
    mended in the answer. `attempt` counts the tries of one request, and `skipped` is a step whose `when` did not hold.
    With `sensitive` nothing of what was exchanged may be shown. `resumed`: the first of a strand since it was resumed,
    so it may have been sent before.
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
    title: str = ""
    attempt: int = 1
    skipped: bool = False
    sensitive: bool = False
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class SequenceLimits:
    """Of one run. `request` and `persistence` are in characters of JSON, about; `items` counts filtered ones too.

    `at_once` is how many requests may wait for their answers at a time.
    """

    steps: int = 100_000
    items: int = 1_000_000
    request: int = 4_000_000
    persistence: int = 16_000_000
    seconds: float = 3600.0
    at_once: int = 16
