"""`Hub` and `AsyncHub` on a transport without a network: answers that are no hub's, and who leaves in the middle."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from taskhub_client import errors, exchange
from taskhub_client.hub import AsyncHub, Hub

URL = "http://hub.example/path"
PROBLEM = {"content-type": "application/problem+json"}
RUN = {"id": "r", "state": "REVOKED"}
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE_MAX", 0.0)


def call_blocking(handler: Handler, call: Callable[[Any], Any]) -> Any:
    with Hub(URL, "k", transport=httpx.MockTransport(handler)) as hub:
        return call(hub)


def call_awaiting(handler: Handler, call: Callable[[Any], Any]) -> Any:
    async def work() -> Any:
        async with AsyncHub(URL, "k", transport=httpx.MockTransport(handler)) as hub:
            return await call(hub)

    return asyncio.run(work())


BOTH = pytest.mark.parametrize("perform", [call_blocking, call_awaiting])


@BOTH
@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "said"),
    [
        (302, {"location": "https://hub.example/"}, b"", errors.UnknownAnswer, "redirected to https://hub.example/"),
        (308, {}, b"", errors.UnknownAnswer, "redirected"),
        (200, {"content-type": "text/html; charset=utf-8"}, b"<html>", errors.UnknownAnswer, "something else"),
        (502, {"content-type": "text/html"}, b"<html>", errors.UnknownAnswer, "something else"),
        (204, {}, b"", errors.UnknownAnswer, "not a JSON object"),
        (200, {}, b"[]", errors.UnknownAnswer, "not a JSON object"),
        (200, {}, b'"\xff"', errors.UnknownAnswer, "not JSON"),
        (200, {}, b"[" * 100_000, errors.UnknownAnswer, "not JSON"),
        (200, {"content-encoding": "gzip"}, b"no gzip", errors.HubUnreachable, "decompressing"),
        (400, PROBLEM, b'{"detail"', errors.UnknownAnswer, "not JSON"),
        (400, PROBLEM, b"[]", errors.UnknownAnswer, "not a JSON object"),
        (400, PROBLEM, b'{"status": "x", "errors": 5}', errors.InvalidRequest, "400"),
        (400, PROBLEM, b'{"title": "No", "errors": [1, {"path": "a", "detail": "b"}]}', errors.InvalidRequest, "a: b"),
    ],
)
def test_what_is_no_answer_of_a_hub_is_an_error_of_the_client(
    perform: Callable[..., Any], status: int, headers: dict[str, str], body: bytes, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        perform(lambda _: httpx.Response(status, headers=headers, content=body), lambda hub: hub.me())


@BOTH
def test_an_envelope_without_a_payload_and_lines_that_are_no_json_are_told(perform: Callable[..., Any]) -> None:
    with pytest.raises(errors.UnknownAnswer):
        perform(lambda _: httpx.Response(200, json={"payload": None}), lambda hub: hub.streams.get("f"))
    with (
        pytest.raises(errors.UnknownAnswer, match="lines of JSON"),
        Hub(URL, "k", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"{\n"))) as hub,
    ):
        list(hub.streams.docs("f"))


@BOTH
def test_what_was_done_though_its_answer_was_lost_is_a_success(perform: Callable[..., Any]) -> None:
    """A second DELETE finds nothing, a second cancellation a run that has ended."""

    def lose_the_first(refusal: int) -> Handler:
        changes: list[str] = []

        def handle(request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                return httpx.Response(200, json=RUN)
            changes.append(request.method)
            if len(changes) == 1:
                raise httpx.ReadError("lost")
            return httpx.Response(refusal, headers=PROBLEM, json={"detail": "no"})

        return handle

    assert perform(lose_the_first(404), lambda hub: hub.streams.delete("f")) is None
    assert perform(lose_the_first(404), lambda hub: hub.call("DELETE", "/externals/f")) is None
    assert call_blocking(lose_the_first(409), lambda hub: hub.runs.get("r").cancel()).state == "REVOKED"


@BOTH
@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (202, {"is_queued": True, "task_id": "r"}),
        (200, {"is_queued": False, "result": {}, "task_id": "r"}),
        (422, {"type": "walker-failed", "task_id": "r"}),
    ],
)
def test_what_was_submitted_is_a_run_though_the_hub_did_it_at_once(
    perform: Callable[..., Any], status: int, answer: dict[str, Any]
) -> None:
    paths: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        if request.method == "GET":
            return httpx.Response(200, json=RUN)
        return httpx.Response(status, headers=PROBLEM if status == 422 else {}, json=answer)

    assert perform(handle, lambda hub: hub.walkers.submit("echo")).id == "r"
    assert paths == ["/path/js/walker_run", "/path/runs/r"]  # behind the path of the hub's address


# Who leaves in the middle


class EndlessLines(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Two documents, and then nothing more."""

    def __init__(self) -> None:
        self.closed = False
        self.waits = asyncio.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"n": 1}\n{"n": 2}\n'
        raise AssertionError("nobody asks for more")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"n": 1}\n{"n": 2}\n'
        self.waits.set()
        await asyncio.Event().wait()

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def test_an_iterator_that_is_left_gives_its_connection_back() -> None:
    lines = EndlessLines()
    with Hub(URL, "k", transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=lines))) as hub:
        for document in hub.streams.docs("f"):
            assert document == {"n": 1}
            break
        assert lines.closed


@pytest.mark.parametrize("leave", ["close", "cancel"])
def test_an_iterator_of_asyncio_that_is_left_or_cancelled_gives_its_connection_back(leave: str) -> None:
    async def work() -> None:
        lines = EndlessLines()
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=lines))
        async with AsyncHub(URL, "k", transport=transport) as hub:
            if leave == "close":
                async with aclosing(hub.streams.docs("f")) as documents:
                    assert await anext(documents) == {"n": 1}
            else:

                async def read() -> None:
                    async for _ in hub.streams.docs("f"):
                        pass

                reading = asyncio.create_task(read())
                await lines.waits.wait()
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            assert lines.closed

    asyncio.run(work())


def test_documents_are_packed_beside_the_event_loop_and_their_errors_are_the_callers() -> None:
    packed_in: list[threading.Thread] = []

    def documents(error: Exception | None = None) -> Iterator[dict[str, int]]:
        packed_in.append(threading.current_thread())
        yield {"n": 1}
        if error:
            raise error

    def stored(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"count": 1, "payload": {}})

    counts = call_awaiting(stored, lambda hub: hub.crawlers.upload("t", documents()))
    assert counts["count"] == 1
    assert packed_in != [threading.main_thread()]
    for perform in (call_blocking, call_awaiting):
        with pytest.raises(httpx.ReadError, match="the shop"):  # and not "the hub does not answer"
            perform(stored, lambda hub: hub.crawlers.upload("t", documents(httpx.ReadError("the shop"))))


def test_a_proxy_in_the_environment_of_no_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nothing://proxy.example")
    with pytest.raises(errors.HubError, match="proxies"):
        Hub("http://hub.example", "k")
    with pytest.raises(errors.HubError, match="proxies"):
        AsyncHub("http://hub.example", "k")
