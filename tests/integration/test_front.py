"""The front, in process: bodies in time and whole, waits and streams without threads, clients that leave."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import starmap
from threading import Barrier, Event
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import clear_url_caches, path

from taskhub import urls
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Conflict
from taskhub.metrics.reports import read_reports
from taskhub.runs import queue, waits
from taskhub.runs.queue import pubsub
from taskhub.web.front import application
from taskhub.web.front.application import Front
from taskhub.web.front.loop_threads import LoopThreads
from tests import crawler_client, deferred_responses
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)

JSON = {"Content-Type": "application/json"}
CHUNKED = {"Transfer-Encoding": "chunked"}


class Client:
    """What a server tells the front of one request, and what the front answers."""

    def __init__(self, pieces: Iterable[bytes] = (), *, ends: bool = True) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        pieces = list(pieces) or [b""]
        for number, piece in enumerate(pieces, 1):
            self.told.put_nowait({"type": "http.request", "body": piece, "more_body": number < len(pieces) or not ends})

    def leave(self) -> None:
        self.told.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        return await self.told.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def is_whole(self) -> bool:
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)

    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    yield front
    for threads in (front.threads, front.body_threads):
        asyncio.run(close_connections(threads))


async def close_connections(threads: LoopThreads) -> None:
    together = Barrier(threads._started or 1)

    def close() -> None:
        together.wait()  # so that each of the threads takes one
        connection.close()

    await asyncio.gather(*(threads.call(close) for _ in range(threads._started)))


def scope(method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
    place, _, query = target.partition("?")
    pairs = [(name.lower().encode(), value.encode()) for name, value in {"Host": "testserver", **headers}.items()]
    return {"type": "http", "method": method, "path": place, "query_string": query.encode(), "headers": pairs}


@pytest.mark.parametrize("target", ["/livez", "/nothing", "/runs"])
@pytest.mark.parametrize(("sent", "comes_back"), [("trace-7/1", True), ("no id", False), (None, False)])
def test_each_answer_has_the_id_of_its_request(front: Front, target: str, sent: str | None, comes_back: bool) -> None:
    client = Client()
    headers = {"X-Request-ID": sent} if sent else {}
    asyncio.run(front(scope("GET", target, headers), client.receive, client.send))
    id = client.headers["x-request-id"]
    assert (id == sent) is comes_back
    assert id


@pytest.mark.parametrize(
    ("method", "target", "counted"),
    [
        ("GET", "/livez", ("GET", "livez", "200")),
        ("GET", "/runs/0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70", ("GET", "runs/<uuid:run_id>", "401")),
        ("GET", "/admin/accounts/user/", ("GET", "admin/", "302")),
        ("GET", "/nothing", ("GET", "unmatched", "404")),
        ("BREW", "/livez", ("other", "livez", "405")),
    ],
)
def test_requests_are_counted_by_route_and_never_by_path(
    front: Front, method: str, target: str, counted: tuple[str, ...]
) -> None:
    def count(name: str, *labels: str) -> float:
        told = read_reports()
        assert told
        return told.totals.get((name, *labels), 0)

    requests = ("taskhub_http_requests", *counted)
    seconds = ("taskhub_http_request_seconds_sum", *counted[:2])
    before = count(*requests), count(*seconds)
    ask(front, method, target, {})
    assert count(*requests) == before[0] + 1
    assert count(*seconds) > before[1]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/version", "/healthz/", "/runs"])
@pytest.mark.parametrize("named", [None, b"10.0.0.7:8000"])
@pytest.mark.parametrize("server", [None, ("10.0.0.7", 8000)])
def test_health_is_told_under_any_name_and_under_none(
    front: Front, settings: Any, path: str, named: bytes | None, server: Any
) -> None:
    """As load balancers ask, with HTTP/1.0 or by the address of a machine."""
    settings.ALLOWED_HOSTS = ["hub.example"]

    async def asked() -> Client:
        client = Client()
        headers = [(b"host", named)] if named else []
        await front({**scope("GET", path, {}), "server": server, "headers": headers}, client.receive, client.send)
        return client

    answer = asyncio.run(asked())
    assert (answer.status == 400) == (path == "/runs")


def exchange(front: Front, client: Client, method: str, target: str, headers: dict[str, str]) -> Any:
    return front(scope(method, target, headers), client.receive, client.send)


def ask(front: Front, method: str, target: str, headers: dict[str, str], *pieces: bytes, ends: bool = True) -> Client:
    async def asked() -> Client:
        client = Client(pieces, ends=ends)
        await exchange(front, client, method, target, headers)
        return client

    return asyncio.run(asked())


def meanwhile(act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(act(), 120))


async def until(is_true: Callable[[], Any]) -> None:
    while not is_true():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("length", [{"Content-Length": "45"}, CHUNKED, {"Content-Length": "9"} | CHUNKED])
def test_a_whole_body_reaches_its_view_whatever_its_framing(
    front: Front, owner: Person, length: dict[str, str]
) -> None:
    body = b'{"name": "echo", "ctx": {"value": "a"}}      '
    answer = ask(front, "POST", "/js/walker_run", owner.headers | JSON | length, body[:9], b"", body[9:])
    assert (answer.status, answer.json()["report"], answer.is_whole) == (200, ["a"], True)


@pytest.mark.parametrize("length", [{"Content-Length": "900"}, CHUNKED])
def test_a_body_that_is_cut_has_no_effect(front: Front, owner: Person, length: dict[str, str]) -> None:
    async def act() -> None:
        client = Client([b'{"name": "echo", "ctx": {"value": 1}, "is_async": true}'], ends=False)
        client.leave()
        await exchange(front, client, "POST", "/js/walker_run", owner.headers | JSON | length)
        assert (client.status, client.json()["type"]) == (400, "invalid-request")
        assert client.headers["connection"] == "close"

    meanwhile(act)
    assert owner.get("/runs").json()["results"] == []


@pytest.mark.parametrize("sort", ["silent", "dribbling", "endless"])
def test_a_slow_body_is_refused_in_its_time(front: Front, settings: Any, sort: str) -> None:
    settings.BODY_IDLE_SECONDS = 0.05 if sort == "silent" else 60
    settings.BODY_GRACE_SECONDS = 0.1
    settings.BODY_LEAST_RATE = 1_000_000 if sort == "dribbling" else 1
    settings.BODY_MAX_SECONDS = 0.2 if sort == "endless" else 3600

    async def act() -> None:
        client = Client([b"{"], ends=False)

        async def dribble() -> None:
            while sort != "silent":
                client.told.put_nowait({"type": "http.request", "body": b" " * 10, "more_body": True})
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        await exchange(front, client, "POST", "/user/token/", JSON | {"Content-Length": "100000"})
        dribbling.cancel()
        assert (client.status, client.json()["type"]) == (408, "request-timeout")

    meanwhile(act)


def test_open_bodies_of_an_address_leave_room_for_others(front: Front, settings: Any) -> None:
    settings.OPEN_BODIES_MAX_BYTES = 300_000
    settings.PROXIES = 1
    front.open_bodies.keep("10.0.0.9", 40_000, may_be_refused=True)

    def sent(address: str, size: int) -> tuple[Client, Any]:
        client = Client([b"x" * size, b"x" * 1_000], ends=False)
        headers = JSON | {"Content-Length": "200000", "X-Forwarded-For": address}
        return client, asyncio.create_task(exchange(front, client, "POST", "/user/token/", headers))

    async def act() -> None:
        first, waiting = sent("10.0.0.1", 70_000)
        await until(lambda: front.open_bodies.size == 111_000)
        second, refused = sent("10.0.0.1", 70_000)
        await refused
        assert (second.status, second.headers["retry-after"]) == (503, "5")
        assert front.open_bodies.size == 111_000
        small, taken = sent("10.0.0.1", 2_000)  # calls are taken from everywhere
        other, taken_too = sent("10.0.0.2", 70_000)
        await until(lambda: front.open_bodies.size == 111_000 + 3_000 + 71_000)
        for client in (first, small, other):
            client.leave()
        await asyncio.gather(waiting, taken, taken_too)
        assert front.open_bodies.size == 40_000

    meanwhile(act)


def test_a_body_is_let_go_of_when_it_has_been_read(front: Front, owner: Person) -> None:
    """Not only when its answer has been taken, for which a client may have minutes."""
    body = json.dumps({"name": "echo", "ctx": {"value": "x" * 100_000}}).encode()
    respond, is_seen = front.respond, Event()

    def respond_when_seen(environ: dict[str, Any]) -> HttpResponseBase:
        assert is_seen.wait(30)
        return respond(environ)

    async def act() -> None:
        front.respond = respond_when_seen
        client = Client([body])
        client.reads.clear()
        headers = owner.headers | JSON | {"Content-Length": str(len(body))}
        answering = asyncio.create_task(exchange(front, client, "POST", "/js/walker_run", headers))
        await until(lambda: front.open_bodies.size)
        is_seen.set()
        await until(lambda: not front.open_bodies.size)
        assert not answering.done()
        client.reads.set()
        await answering
        assert client.status == 200

    meanwhile(act)


def upload_of(owner: Person) -> tuple[str, dict[str, Any]]:
    external = crawler_client.external(owner, "http://127.0.0.1:9/shop")
    task = crawler_client.start(owner, crawler_client.crawler(owner, external)["crawler"])
    return f"/actions/tasks/{task['fid']}/upload", task


DOCUMENTS = b"".join(b'{"sku": "%d"}\n' % number for number in range(2_000))


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_long_upload_is_read_while_it_arrives(
    front: Front, owner: Person, settings: Any, framing: str, is_cut: bool
) -> None:
    settings.BODY_MAX_BYTES = 1_000
    target, task = upload_of(owner)
    headers = owner.headers | (CHUNKED if framing == "chunks" else {"Content-Length": str(len(DOCUMENTS))})

    async def act() -> None:
        sent = DOCUMENTS[: len(DOCUMENTS) // 2] if is_cut else DOCUMENTS
        client = Client([sent[start : start + 700] for start in range(0, len(sent), 700)], ends=not is_cut)
        if is_cut:
            client.leave()
        await exchange(front, client, "POST", target, headers)
        assert client.status == (400 if is_cut else 200), client.body

    meanwhile(act)
    assert crawler_client.task(owner, task["fid"])["counts"]["inserted"] == (0 if is_cut else 2_000)


def open_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"  # not autovacuum's
        )
        (number,) = cursor.fetchone() or (0,)
    connection.close()
    return int(number)


FORM = b'--part\r\nContent-Disposition: form-data; name="list"; filename="a"\r\n\r\n' + b"x" * 5_000


@pytest.mark.parametrize("is_form", [False, True])
def test_a_long_body_holds_no_connection_while_it_arrives(
    front: Front, owner: Person, settings: Any, is_form: bool
) -> None:
    settings.BODY_MAX_BYTES = 1_000
    target = "/js/walker_run" if is_form else upload_of(owner)[0]
    kind = "multipart/form-data; boundary=part" if is_form else "application/x-ndjson"
    headers = owner.headers | {"Content-Type": kind, "Content-Length": "900000"}

    async def act() -> None:
        before = await asyncio.to_thread(open_connections)
        client = Client([FORM if is_form else DOCUMENTS], ends=False)
        upload = asyncio.create_task(exchange(front, client, "POST", target, headers))
        await until(client.told.empty)
        while await asyncio.to_thread(open_connections) > before:
            await asyncio.sleep(0.01)
        client.leave()
        await upload
        assert client.status == 400

    meanwhile(act)


def test_long_forms_of_one_user_leave_threads_for_another(
    front: Front, owner: Person, stranger: Person, settings: Any
) -> None:
    settings.BODY_MAX_BYTES = 1_000
    field = '\r\n--part\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}'
    form = FORM + "".join(starmap(field.format, {"name": "echo", "ctx": '{"value": 1}'}.items())).encode()
    headers = {"Content-Type": "multipart/form-data; boundary=part", "Content-Length": str(len(form) + 12)}

    def sent(person: Person, *pieces: bytes, ends: bool) -> tuple[Client, Any]:
        client = Client(pieces, ends=ends)
        return client, asyncio.create_task(exchange(front, client, "POST", "/js/walker_run", person.headers | headers))

    async def act() -> None:
        greedy = [sent(owner, form, ends=False) for _ in range(3 * settings.LONG_FORMS_AT_ONCE)]
        await until(lambda: sum(bool(client.sent) for client, _ in greedy) > settings.LONG_FORMS_AT_ONCE)
        assert {client.status for client, _ in greedy if client.sent} == {503}
        client, answering = sent(stranger, form, b"\r\n--part--\r\n", ends=True)
        await answering
        assert client.json().get("report") == [1], client.body
        for client, _ in greedy:
            client.leave()
        await asyncio.gather(*(answering for _, answering in greedy))

    meanwhile(act)


@pytest.mark.parametrize(
    ("target", "framing", "status"),
    [
        ("/admin/login/", {"Content-Length": "5000"}, 413),
        ("/admin/login/", CHUNKED, 413),
        ("/js/walker_run", CHUNKED, 411),
        ("/js/walker_run", {"Content-Length": "5000"}, 413),
    ],
)
def test_a_long_body_is_refused_where_none_is_read(
    front: Front, owner: Person, settings: Any, target: str, framing: dict[str, str], status: int
) -> None:
    settings.BODY_MAX_BYTES = 1_000
    answer = ask(front, "POST", target, owner.headers | JSON | framing, b"x" * 2_500, b"x" * 2_500)
    assert answer.status == status
    assert answer.json()["success"] is False


def queued(owner: Person) -> UUID:
    """A run that nobody executes."""
    body = {"name": "echo", "is_async": True, "run_at": "2999-01-01T00:00:00Z"}
    return UUID(owner.post("/js/walker_run", body).json()["task_id"])


async def cancel(run_id: UUID, owner: Person) -> None:
    def act() -> None:
        queue.cancel(run=queue.visible_run(run_id=run_id, user=owner.user))
        connection.close()

    await asyncio.to_thread(act)


WAITS = ["/js/walker_queue_wait?task_id={id}&timeout=60", "/runs/{id}/events"]


@pytest.mark.parametrize("target", WAITS)
def test_a_wait_holds_no_thread_and_is_answered_when_its_run_ends(front: Front, owner: Person, target: str) -> None:
    run_id = queued(owner)

    async def act() -> None:
        clients = [Client() for _ in range(70)]  # more than there are threads
        waiting = [
            asyncio.create_task(exchange(front, client, "GET", target.format(id=run_id), owner.headers))
            for client in clients
        ]
        await until(lambda: len(front.open_waits) == len(clients))
        other = Client()
        await exchange(front, other, "GET", "/user/manage/", owner.headers)
        assert other.status == 200
        await cancel(run_id, owner)
        await asyncio.gather(*waiting)
        assert {client.status for client in clients} == {200}
        assert all(client.is_whole and b"REVOKED" in client.body for client in clients)
        assert not front.open_waits

    meanwhile(act)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(OperationalError("It is away."), 503), (RuntimeError("A fault."), 500), (Conflict("No."), 409)],
)
def test_a_wait_that_fails_is_answered_with_the_problem(
    front: Front, owner: Person, fault: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, looks = queued(owner), []

    def look(**what: Any) -> Any:
        looks.append(what)
        if len(looks) == 1:
            return queue.visible_run(**what)
        raise fault

    monkeypatch.setattr(waits, "visible_run", look)
    answer = ask(front, "GET", WAITS[0].format(id=run_id), owner.headers)
    assert (answer.status, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize("target", WAITS)
def test_a_wait_holds_no_connection_from_its_beginning(
    front: Front, owner: Person, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, subscribe, during = queued(owner), pubsub.subscribe, list[int]()

    def subscribed(*run_ids: UUID, confirmed: bool) -> Any:
        with ThreadPoolExecutor(1) as thread:
            during.append(thread.submit(open_connections).result())
        return subscribe(*run_ids, confirmed=confirmed)

    monkeypatch.setattr(pubsub, "subscribe", subscribed)

    async def act() -> None:
        before, client = await asyncio.to_thread(open_connections), Client()
        waiting = asyncio.create_task(exchange(front, client, "GET", target.format(id=run_id), owner.headers))
        await until(lambda: during)
        client.leave()
        await waiting
        assert during[0] <= before  # threads of earlier tests may let go of theirs meanwhile

    meanwhile(act)


@pytest.mark.parametrize("target", WAITS)
def test_a_wait_whose_client_leaves_gives_its_place_back(
    front: Front, owner: Person, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "_open_waits", FairSemaphore(1, "Too many waits are open."))
    run_id = queued(owner)

    async def act() -> None:
        for _ in range(3):
            client, refused = Client(), Client()
            waiting = asyncio.create_task(exchange(front, client, "GET", target.format(id=run_id), owner.headers))
            await until(lambda: front.open_waits)
            await exchange(front, refused, "GET", target.format(id=run_id), owner.headers)
            assert refused.status == 503
            client.leave()
            await waiting
            assert not front.open_waits

    meanwhile(act)


@pytest.mark.parametrize("target", WAITS)
def test_a_server_that_stops_answers_with_the_state_as_it_is(
    front: Front, owner: Person, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, signals = queued(owner), []
    monkeypatch.setattr("os.kill", lambda pid, number: signals.append(number))
    monkeypatch.setattr(application, "STOP_SECONDS", 0)

    async def act() -> None:
        client = Client()
        waiting = asyncio.create_task(exchange(front, client, "GET", target.format(id=run_id), owner.headers))
        await until(lambda: front.open_waits)
        front._stop(asyncio.get_running_loop())
        await waiting
        assert (client.status, client.is_whole) == (200, True)
        assert b"PENDING" in client.body
        await until(lambda: signals)

    meanwhile(act)


class Pieces:
    """A stream that reads the database for each piece, and notes whether a connection is held when it is asked."""

    held: bool
    fails: bool

    def __init__(self, *, fails: bool = False) -> None:
        self.held, self.fails = False, fails

    def view(self, request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        for number in range(20):
            self.held = self.held or connection.connection is not None
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            if self.fails and number == 10:
                raise RuntimeError("The source went away.")
            yield b"x" * 100_000


@pytest.fixture
def pieces() -> Iterator[Pieces]:
    pieces = Pieces()
    urls.urlpatterns.append(path("pieces", pieces.view))
    clear_url_caches()
    yield pieces
    urls.urlpatterns.pop()
    clear_url_caches()


def test_a_stream_holds_no_connection_while_its_client_reads(front: Front, pieces: Pieces) -> None:
    answer = ask(front, "GET", "/pieces", {})
    assert (len(answer.body), answer.is_whole, pieces.held) == (2_000_000, True, False)


def test_a_stream_that_cannot_be_finished_is_broken_off(front: Front, pieces: Pieces) -> None:
    pieces.fails = True

    async def act() -> None:
        client = Client()
        with pytest.raises(RuntimeError):  # the server ends the connection then
            await exchange(front, client, "GET", "/pieces", {})
        assert len(client.body) == 1_000_000
        assert not client.is_whole

    meanwhile(act)


def test_a_client_that_does_not_read_is_left(front: Front, pieces: Pieces, settings: Any) -> None:
    settings.ANSWER_IDLE_SECONDS = 0.1

    async def act() -> None:
        client = Client()
        client.reads.clear()
        await exchange(front, client, "GET", "/pieces", {})
        assert client.sent == []

    meanwhile(act)


def test_head_is_answered_without_a_body(front: Front, owner: Person) -> None:
    answer = ask(front, "HEAD", "/runs", owner.headers)
    assert (answer.status, answer.body, answer.is_whole) == (200, b"", True)


def test_a_header_with_an_underscore_is_none_with_a_hyphen(front: Front, owner: Person) -> None:
    assert ask(front, "GET", "/runs", {"X_API_Key": "no matter", **owner.headers}).status == 200


def test_another_server_than_the_front_sends_a_deferred_answer_as_an_error(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        deferred_responses, "finish", lambda response: response
    )  # tests wait for it, too; now nothing does
    answer = owner.get("/js/walker_queue_wait", {"task_id": queued(owner)})
    assert (answer.status_code, answer.content) == (500, b"This answer waits; serve the hub by taskhub.asgi.")


# Answers that cannot be finished


def served_by(front: Front, talk: Callable[[socket.socket], None]) -> None:
    """Talks to a server that knows no more of HTTP than to send what the front says, and to end when it ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(message: dict[str, Any]) -> None:
            writer.write(message.get("body", b""))
            await writer.drain()

        ends = {"client": writer.get_extra_info("peername"), "server": writer.get_extra_info("sockname")}
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            target = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
            with suppress(RuntimeError):
                await front({**scope("GET", target, {}), **ends}, Client().receive, send)
            writer.write(b"the last chunk")
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def act() -> None:
        served: list[asyncio.Task[None]] = []
        server = await asyncio.start_server(
            lambda reader, writer: served.append(asyncio.create_task(serve(reader, writer))), "127.0.0.1", 0
        )
        async with server:
            place = server.sockets[0].getsockname()
            with socket.create_connection(place) as connection, socket.create_connection(place):  # another one, too
                await asyncio.to_thread(talk, connection)
            await asyncio.gather(*served)

    asyncio.run(asyncio.wait_for(act(), 30))


def test_no_server_ends_a_broken_answer_as_if_it_were_whole(front: Front, pieces: Pieces) -> None:
    def ask_for_pieces(connection: socket.socket) -> None:
        connection.sendall(b"GET /pieces HTTP/1.1\r\n\r\n")
        came.append(b"".join(iter(lambda: connection.recv(65536), b"")))

    came: list[bytes] = []
    served_by(front, ask_for_pieces)
    pieces.fails = True
    served_by(front, ask_for_pieces)
    assert came[0] == b"x" * 2_000_000 + b"the last chunk"
    assert came[1] == b"x" * 1_000_000
