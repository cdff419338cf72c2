"""Calls as flows: what is sent, waited for and read, said once for `Hub` and `AsyncHub`.

A flow is a generator. It yields commands, is given what they brought, and returns its result. A driver carries the
commands out: one that blocks, and one for asyncio (see `connection`). So retries, pages and streams are written
once, and can be tested without a network.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from taskhub_client.errors import HubUnreachable, UnknownAnswer, problem_error

T = TypeVar("T")

TRIES = 6
PAUSE_MIN, PAUSE_MAX = 0.2, 20.0  # seconds between two tries, but for what `Retry-After` says
RETRY_AFTER_MAX = 120.0  # seconds; who is told to wait longer is told at once
NOT_NOW = frozenset({429, 502, 503, 504})
PAGE_MAX = 100
READ_SECONDS = 60.0  # without a byte of the answer

Query = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A call that is to be sent. Its answer is a `Response`.

    `content` is called for each try, so a body can be sent again. `repeatable` says whether the call may be sent again
    although its first answer may have been lost. `done_status` is how the hub refuses what it has done already: behind
    a lost answer that is a success.
    """

    method: str
    path: str
    query: Query | None = None
    json: Any = None
    content: Callable[[], bytes | Iterator[bytes]] | None = None
    files: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    read_seconds: float = READ_SECONDS
    repeatable: bool = True
    done_status: int | None = None
    tries: int = TRIES
    streamed: bool = False  # the body is read by `ReadChunk`


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""


@dataclass(frozen=True)
class Pause:
    """Nothing is done for some seconds."""

    seconds: float


@dataclass(frozen=True)
class ReadChunk:
    """The next bytes of a streamed answer; b"" at its end. Raises `NoAnswer` where it breaks off."""


@dataclass(frozen=True)
class Compute:
    """Calls a function that reads files or computes for long: on the event loop others go on meanwhile."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit:
    """A value for whoever iterates over the flow."""

    value: Any


class NoAnswer(Exception):
    """A request, or the rest of its answer, was lost. `sent` says whether the hub may have got the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


Command = Request | Pause | ReadChunk | Compute | Emit
Flow = Generator[Command, Any, T]


def call(request: Request) -> Flow[Any]:
    """What a call answers, read from JSON; None without a body. Raises `ProblemError` and `HubUnreachable`."""
    response = yield from send(request)
    return read_json(response)


def call_object(request: Request) -> Flow[dict[str, Any]]:
    """The JSON object that a call answers. Raises `ProblemError`, `HubUnreachable` and `UnknownAnswer`."""
    return as_object((yield from call(request)))


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnknownAnswer("The answer is not a JSON object: is this the address of a hub?")
    return value


def send(request: Request) -> Flow[Response]:
    """Sends a request, again where that is right, and returns its answer of 2xx."""
    was_lost = False
    for tries_left in reversed(range(request.tries)):
        response: Response | None = None
        try:
            response = yield request
        except NoAnswer as error:
            if not tries_left or (error.sent and not request.repeatable):
                raise HubUnreachable(str(error)) from error
            was_lost = was_lost or error.sent
        seconds = back_off(request.tries - tries_left)
        if response is not None:
            if was_lost and response.status == request.done_status:
                return Response(204, {})
            wait = retry_after(response)
            if not is_worth_a_try(response, request) or not tries_left or (wait or 0) > RETRY_AFTER_MAX:
                return (yield from check(response, request))
            was_lost = was_lost or response.status in (502, 504)
            seconds = seconds if wait is None else wait
        yield Pause(seconds)
    raise AssertionError("the last try returns or raises")


def is_worth_a_try(response: Response, request: Request) -> bool:
    """Whether the same call may be answered otherwise later on."""
    if response.status == 409:  # the first call with this Idempotency-Key is still going on
        return "Idempotency-Key" in request.headers and "retry-after" in response.headers
    return response.status in NOT_NOW and (request.repeatable or response.status in (429, 503))


def check(response: Response, request: Request) -> Flow[Response]:
    """The answer, unless it is a refusal. Raises `ProblemError` and `UnknownAnswer`."""
    kind = response.headers.get("content-type", "")
    if response.status < 300 and not kind.startswith("text/html"):  # a page is of a proxy, or of another server
        return response
    if 300 <= response.status < 400:  # the key is not sent elsewhere
        target = response.headers.get("location", "")
        raise UnknownAnswer(f"{request.method} {request.path} is redirected to {target}: is that the hub's address?")
    body = response.body
    try:
        while request.streamed and len(body) < 1_000_000 and (chunk := (yield ReadChunk())):
            body += chunk
    except NoAnswer as error:
        raise HubUnreachable(str(error)) from error
    if not kind.startswith("application/problem+json"):
        raise UnknownAnswer(
            f"{request.method} {request.path} is answered {response.status} by something else than a hub."
        )
    raise problem_error(response.status, as_object(read_json(replace(response, body=body))))


def read_json(response: Response) -> Any:
    if not response.body:
        return None
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise UnknownAnswer("The answer is not JSON: is this the address of a hub?") from error


def back_off(tries: int) -> float:
    """Seconds to wait after so many tries: twice as long each time, by chance up to a half shorter."""
    return min(PAUSE_MAX, PAUSE_MIN * 2.0**tries) * random.uniform(0.5, 1.0)  # noqa: S311


def retry_after(response: Response) -> float | None:
    """Seconds of the header `Retry-After` (RFC 9110, section 10.2.3). A date is compared with the answer's own."""
    text = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    until = read_date(text)
    now = read_date(response.headers.get("date", "")) or time.time()
    return None if until is None else max(0.0, until - now)


def read_date(text: str) -> float | None:
    """A date of HTTP in seconds since 1970; None for what is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def idempotent(request: Request, key: str | None = None) -> Request:
    """The request with an `Idempotency-Key`, so that it is accepted once however often it is sent."""
    return replace(request, headers={**request.headers, "Idempotency-Key": key or uuid4().hex}, repeatable=True)


def call_payload(request: Request) -> Flow[dict[str, Any]]:
    """What a call of crawlers and streams answers: the payload in its envelope."""
    return as_object((yield from call_object(request)).get("payload"))


def remove(path: str, query: Query | None = None) -> Flow[None]:
    """Removes something. Raises `NotFound` where it was not there at first."""
    yield from send(Request("DELETE", path, query, done_status=404))


def pages(
    path: str,
    query: Query | None = None,
    *,
    parse: Callable[[Any], Any] = dict,
    limit: int | None = None,
    enveloped: bool = False,
) -> Flow[None]:
    """Emits what `parse` makes of the entries of a list, page by page; of the first `limit` at most.

    Of the address of the next page only the query counts: seen from here the hub may have another name.
    """
    left = math.inf if limit is None else limit
    asked: Query = {**(query or {}), **({} if limit is None else {"limit": min(limit, PAGE_MAX)})}
    while left > 0:
        page = yield from (call_payload if enveloped else call_object)(Request("GET", path, asked))
        for entry in page["results"][: None if limit is None else int(left)]:
            yield Emit(parse(entry))
        left -= len(page["results"])
        if not page.get("next"):
            return
        asked = _query_of(page["next"])


def _query_of(address: str) -> Query:
    """The query of an address; what is repeated in it has a list."""
    values = parse_qs(urlsplit(address).query, keep_blank_values=True)
    return {name: texts if len(texts) > 1 else texts[0] for name, texts in values.items()}
