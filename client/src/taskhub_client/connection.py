"""Drivers of flows: `Connection`, which blocks, and `AsyncConnection` for asyncio. Both use httpx."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from taskhub_client.errors import HubError, HubUnreachable
from taskhub_client.exchange import Compute, Emit, Flow, NoAnswer, Pause, ReadChunk, Request, Response, T
from taskhub_client.settings import Credentials

if TYPE_CHECKING:
    import httpx

# httpx and asyncio take longer to load than all the rest: who imports the package does not wait for them.

CONNECT_SECONDS = 10.0
AGENT = "taskhub-client"


def client_options(credentials: Credentials) -> dict[str, Any]:
    """What both of httpx's clients are made with."""
    return {
        "base_url": credentials.url,
        "headers": {"User-Agent": AGENT, "Accept": "application/json", **credentials.headers},
    }


def make_client(client_type: Callable[..., T], credentials: Credentials, options: dict[str, Any]) -> T:
    """One of httpx's clients. Raises `HubError` where the environment names a proxy or certificates of no use."""
    import httpx

    try:
        return client_type(**{**client_options(credentials), **options})
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise HubError(f"No connection can be made with these options, proxies or certificates: {error}") from error


def request_options(request: Request) -> dict[str, Any]:
    """What httpx is told of a request, but for its body."""
    import httpx

    query = {name: value for name, value in (request.query or {}).items() if value is not None}
    options: dict[str, Any] = {
        "params": query or None,
        "headers": dict(request.headers),
        # who waits for one of the client's own connections to be free, waits for as long as it takes
        "timeout": httpx.Timeout(request.read_seconds, connect=CONNECT_SECONDS, pool=None),
    }
    if request.json is not None:
        options["json"] = request.json
    if request.files is not None:
        options["files"] = dict(request.files)
    if request.form is not None:
        options["data"] = dict(request.form)
    return options


def as_response(response: httpx.Response, body: bytes) -> Response:
    return Response(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def no_answer(error: Exception, credentials: Credentials) -> NoAnswer:
    """What is raised inside a flow for an error of httpx."""
    import httpx

    reason = str(error) or type(error).__name__
    not_sent = (httpx.ConnectError, httpx.ConnectTimeout)
    return NoAnswer(f"{credentials.url} does not answer: {reason}", sent=not isinstance(error, not_sent))


class Connection:
    """Carries flows out, and blocks until they end. Safe for threads, as httpx's client is."""

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        import httpx

        self.credentials = credentials
        self._client = make_client(httpx.Client, credentials, options)

    def drive(self, flow: Flow[T]) -> T:
        """The flow's result."""
        ended: list[T] = []
        for _ in self._steps(flow, ended):
            pass
        return ended[0]

    def iterate(self, flow: Flow[None]) -> Generator[Any, None, None]:
        """The values that the flow emits."""
        yield from self._steps(flow, [])

    def _steps(self, flow: Flow[T], ended: list[T]) -> Generator[Any, None, None]:
        """The values that the flow emits. Its result is put into `ended`."""
        import httpx

        streamed: httpx.Response | None = None
        chunks: Iterator[bytes] = iter(())
        try:
            command = next(flow)
            while True:
                reply: Any = None
                try:
                    match command:
                        case Emit(value):
                            yield value
                        case Pause(seconds):
                            time.sleep(seconds)
                        case Compute(function):
                            reply = function()
                        case ReadChunk():
                            reply = next(chunks, b"")
                        case Request():
                            if streamed is not None:
                                streamed.close()
                            response = self._send(command)
                            streamed, chunks = response, response.iter_bytes()
                            body = b"" if command.streamed else response.read()
                            reply = as_response(response, body)
                except httpx.RequestError as error:
                    if isinstance(command, Compute | Emit):  # it is the caller's own
                        raise
                    command = flow.throw(no_answer(error, self.credentials))
                else:
                    command = flow.send(reply)
        except StopIteration as stop:
            ended.append(stop.value)
        finally:
            flow.close()
            if streamed is not None:
                streamed.close()

    def _send(self, request: Request) -> httpx.Response:
        import httpx

        try:
            content = request.content() if request.content else None
            built = self._client.build_request(
                request.method, request.path, content=content, **request_options(request)
            )
            return self._client.send(built, stream=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise HubUnreachable(f"{self.credentials.url} is not an address of a hub: {error}") from error

    def close(self) -> None:
        self._client.close()


class AsyncConnection:
    """Carries flows out on the event loop."""

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        import httpx

        self.credentials = credentials
        self._client = make_client(httpx.AsyncClient, credentials, options)

    async def drive(self, flow: Flow[T]) -> T:
        """The flow's result."""
        ended: list[T] = []
        async for _ in self._steps(flow, ended):
            pass
        return ended[0]

    async def iterate(self, flow: Flow[None]) -> AsyncGenerator[Any, None]:
        """The values that the flow emits."""
        async with aclosing(self._steps(flow, [])) as values:  # who leaves it early gives the connection back at once
            async for value in values:
                yield value

    async def _steps(self, flow: Flow[T], ended: list[T]) -> AsyncGenerator[Any, None]:
        """The values that the flow emits. Its result is put into `ended`."""
        import asyncio

        import httpx

        streamed: httpx.Response | None = None
        chunks: AsyncIterator[bytes] | None = None
        try:
            command = next(flow)
            while True:
                reply: Any = None
                try:
                    match command:
                        case Emit(value):
                            yield value
                        case Pause(seconds):
                            await asyncio.sleep(seconds)
                        case Compute(function):
                            reply = await asyncio.to_thread(function)
                        case ReadChunk():
                            reply = await anext(chunks, b"") if chunks else b""
                        case Request():
                            if streamed is not None:
                                await streamed.aclose()
                            response = await self._send(command)
                            streamed, chunks = response, response.aiter_bytes()
                            body = b"" if command.streamed else await response.aread()
                            reply = as_response(response, body)
                except httpx.RequestError as error:
                    if isinstance(command, Compute | Emit):  # it is the caller's own
                        raise
                    command = flow.throw(no_answer(error, self.credentials))
                else:
                    command = flow.send(reply)
        except StopIteration as stop:
            ended.append(stop.value)
        finally:
            flow.close()
            if streamed is not None:
                with suppress(RuntimeError):  # the event loop has ended
                    await streamed.aclose()

    async def _send(self, request: Request) -> httpx.Response:
        import httpx

        try:
            content: Any = request.content() if request.content else None
            if content is not None and not isinstance(content, bytes):
                content = _as_async(content)
            built = self._client.build_request(
                request.method, request.path, content=content, **request_options(request)
            )
            return await self._client.send(built, stream=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise HubUnreachable(f"{self.credentials.url} is not an address of a hub: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()


async def _as_async(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
