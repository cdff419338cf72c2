"""One request and its answer, served on the event loop; Django's part of it in a thread."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from io import BytesIO
from typing import IO, Any, TypeVar

from django.conf import settings
from django.http import HttpResponseBase

from taskhub.db.connections import give_back_connection
from taskhub.errors import Problem, not_stored
from taskhub.telemetry.log_context import about, accepted_request_id
from taskhub.telemetry.spans import Span, begin_span
from taskhub.telemetry.trace_context import accepted_traceparent, within_trace
from taskhub.web.front.environ import environ_of
from taskhub.web.front.front_state import FrontState
from taskhub.web.front.request_body import SMALL_BODY_BYTES, BodyReader, Receive, StreamedBody, new_spool
from taskhub.web.front.request_metrics import count_request, labels_of
from taskhub.web.front.request_register import request_register
from taskhub.web.front.responses import DeferredResponse, EventStreamResponse, WakeUpSource
from taskhub.web.front.thread_turns import client_of
from taskhub.web.front.wake_ups import ClientGone, WakeUps
from taskhub.web.problems import exception_response, problem_response

Send = Callable[[dict[str, Any]], Awaitable[Any]]
Value = TypeVar("Value")

SEND_BYTES = 64 * 1024  # small pieces of a stream are sent together
PROBES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})  # asked every few seconds; nobody wants spans of them
CONFIRM_SECONDS = 1.0  # for a subscription


class HttpExchange:
    """One request and its answer."""

    def __init__(self, front: FrontState, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._front = front
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._environ = environ_of(scope)
        self._request_id = accepted_request_id(self._environ.get("HTTP_X_REQUEST_ID", ""))
        self._line = f"{scope['method']} {scope['path']}"
        traceparent = accepted_traceparent(self._environ.get("HTTP_TRACEPARENT", ""))
        is_probe = scope["path"] in PROBES
        self._span = Span(traceparent) if is_probe else begin_span(scope["method"], "SERVER", parent=traceparent)
        self._client = client_of(self._environ, settings.PROXIES)
        self._threads = front.threads
        self._reader: BodyReader | None = None
        self._body: IO[bytes] = BytesIO()
        self._kept = 0  # bytes of the body that this process keeps
        self._view_seconds: float | None = None  # until the view had answered
        self.is_answering = False  # the answer has begun, and has not ended

    async def serve(self) -> None:
        try:
            await self._serve()
        finally:
            self._span.end()

    async def _serve(self) -> None:
        try:
            await self._take_body()
        except Problem as problem:
            await self._send_whole(problem_response(problem))
            return
        began = self._loop.time()
        response = await self._in_thread(self._front.respond, self._environ)
        self._view_seconds = self._loop.time() - began
        self.close()  # of what has been read, nothing is kept for as long as the client waits for its answer
        if isinstance(response, DeferredResponse):
            response = await self._finish(response)
        if not response.streaming:
            await self._send_whole(response)
            return
        try:
            if isinstance(response, EventStreamResponse) and not self._without_body(response):
                await self._send_events(response)
            else:
                await self._send_stream(response)
        finally:
            await asyncio.shield(self._in_thread(response.close))

    def close(self) -> None:
        """Lets go of the body."""
        self._body.close()
        self._front.open_bodies.forget(self._client.address, self._kept)
        self._kept = 0

    async def _in_thread(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Calls a function in a thread, which gives its database connection back: it may have no other call for long.

        There are fewer connections than threads.
        """
        if self._threads is not self._front.threads:
            return await self._threads.call(self._call, function, *arguments)
        await self._front.turns.take(self._client)
        try:
            return await self._threads.call(self._call, function, *arguments)
        finally:
            self._front.turns.give_back(self._client)
            self._front.ended_calls += 1

    def _call(self, function: Callable[..., Value], *arguments: Any) -> Value:
        try:
            with (
                request_register.entry(self._line),
                about(request_id=self._request_id),
                within_trace(self._span.traceparent),
            ):
                return function(*arguments)
        finally:
            give_back_connection()

    # The request

    async def _take_body(self) -> None:
        """A body of up to BODY_MAX_BYTES is taken in whole; a longer one is read by its view while it arrives."""
        environ = self._environ
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ.pop("CONTENT_LENGTH", None)  # it says nothing then (RFC 9112, section 6.3)
        length = environ.get("CONTENT_LENGTH", "")
        if not length and "HTTP_TRANSFER_ENCODING" not in environ:
            environ["wsgi.input"] = self._body
            return
        announced = int(length) if length.isdecimal() else None
        self._reader = reader = BodyReader(self._receive, announced)
        if announced is None or announced > SMALL_BODY_BYTES:
            self._body = new_spool()
        body = self._body
        if announced is None or announced <= settings.BODY_MAX_BYTES:
            await self._keep_beginning(reader, body)
            body.seek(0)
        if reader.ended:
            environ["wsgi.input"] = body
            environ["CONTENT_LENGTH"] = str(reader.received)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        else:
            environ["wsgi.input"] = StreamedBody(body, reader, self._loop)
            self._threads = self._front.body_threads

    async def _keep_beginning(self, reader: BodyReader, body: IO[bytes]) -> None:
        """Keeps the body, or its beginning of BODY_MAX_BYTES.

        Raises `Unavailable` while its address has too much kept already, and where the disk has no room.
        """
        try:
            while reader.received <= settings.BODY_MAX_BYTES and (piece := await reader.next_piece()):
                self._front.open_bodies.keep(
                    self._client.address, len(piece), may_be_refused=self._kept > SMALL_BODY_BYTES
                )
                self._kept += len(piece)
                body.write(piece)
        except OSError as error:
            raise not_stored(error) from None

    # Answers that wait

    async def _finish(self, response: DeferredResponse) -> HttpResponseBase:
        """The answer that a deferred one turns into."""
        until = self._loop.time() + response.seconds
        try:
            async with self._wake_ups(response.subscribe()) as wake_ups:
                while True:
                    time_is_up = self._loop.time() >= until or self._front.stopping
                    if answer := await self._in_thread(
                        _answer_or_problem, response, time_is_up, self._environ["PATH_INFO"]
                    ):
                        return response.dress(answer)
                    await wake_ups.wait(until - self._loop.time())
        finally:
            response.close()

    async def _send_events(self, response: EventStreamResponse) -> None:
        until = self._loop.time() + response.seconds
        async with self._wake_ups(response.subscribe()) as wake_ups:
            await self._message(self._head(response))
            while True:
                piece = await self._in_thread(response.next_piece)
                await self._send_piece(piece.data)
                if piece.is_last or self._loop.time() >= until or self._front.stopping:
                    break
                await wake_ups.wait(0 if piece.is_full else min(response.keep_alive, until - self._loop.time()))
        await self._send_end()

    @asynccontextmanager
    async def _wake_ups(self, subscribing: AbstractContextManager[WakeUpSource]) -> AsyncIterator[WakeUps]:
        """Subscribed before the block begins, as far as Redis can be reached: no wake-up is missed in it."""
        with subscribing as subscription:
            wake_ups = WakeUps(self._front, subscription, self._loop)
            watcher = asyncio.create_task(self._watch_client(wake_ups))
            try:
                if not subscription.connected:
                    await wake_ups.wait(CONFIRM_SECONDS)
                yield wake_ups
            finally:
                watcher.cancel()
                wake_ups.close()

    async def _watch_client(self, wake_ups: WakeUps) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        wake_ups.client_leaves()

    # The answer

    async def _send_whole(self, response: Any) -> None:
        if self._reader and not self._reader.ended:
            # What is left of the body is not read, and the server ends the connection: a client must know (RFC 9110,
            # section 7.6.1), else its next call is sent to nobody.
            response["Connection"] = "close"
        # The server takes a whole answer at once: there is no client to wait for.
        await self._send(self._head(response))
        await self._send(
            {"type": "http.response.body", "body": b"" if self._without_body(response) else response.content}
        )

    async def _send_stream(self, response: Any) -> None:
        await self._message(self._head(response))
        pieces = iter(() if self._without_body(response) else response)
        ended = False
        while not ended:
            piece, ended = await self._in_thread(_gather, pieces)
            await self._send_piece(piece)
        await self._send_end()

    def _without_body(self, response: HttpResponseBase) -> bool:
        return self._environ["REQUEST_METHOD"] == "HEAD" or response.status_code in {204, 304}

    def _head(self, response: Any) -> dict[str, Any]:
        self._record_answer(response.status_code)
        headers = [*_headers_of(response), (b"x-request-id", self._request_id.encode())]
        return {"type": "http.response.start", "status": response.status_code, "headers": headers}

    def _record_answer(self, status: int) -> None:
        method, route = labels_of(self._environ)
        count_request(method, route, status, self._view_seconds)
        self._span.describe(
            f"{method} /{route}",
            http__request__method=method,
            http__route=f"/{route}",
            http__response__status_code=status,
        )
        if status >= 500:
            self._span.fail(str(status))

    async def _send_piece(self, piece: bytes) -> None:
        if piece:
            await self._message({"type": "http.response.body", "body": piece, "more_body": True})

    async def _send_end(self) -> None:
        await self._message({"type": "http.response.body", "body": b""})

    async def _message(self, message: dict[str, Any]) -> None:
        """Sends a message, when the client has taken enough of those before it. Raises `ClientGone`."""
        try:
            async with asyncio.timeout(settings.ANSWER_IDLE_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise ClientGone from None
        self.is_answering = message.get("more_body", message["type"] == "http.response.start")


def _headers_of(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    cookies = [(b"set-cookie", morsel.OutputString().encode("latin-1")) for morsel in response.cookies.values()]
    return headers + cookies


def _answer_or_problem(response: DeferredResponse, time_is_up: bool, path: str) -> HttpResponseBase | None:
    """The answer of a deferred response, which has left Django's middleware and so its handling of errors."""
    try:
        return response.answer(time_is_up)
    except Exception as error:
        return exception_response(error, path)


def _gather(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next pieces of a stream, and whether they are the last."""
    gathered, size = [], 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= SEND_BYTES:
            return b"".join(gathered), False
    return b"".join(gathered), True
