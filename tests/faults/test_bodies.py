"""Hostile bodies: refused with 4xx at little cost, while others are served."""

import gzip
import json
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse
from itertools import repeat
from pathlib import Path
from select import select
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.disposable import Disposable
from tests.hub import Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("front")]

MEMORY_MAX = 100 * 1024 * 1024
CPU_MAX = 2.0
ROOM = 2 * 1024 * 1024  # what a body may have, by default
PATHS = ["/js/walker_run", "/user/create/"]
FIELDS = {
    "/js/walker_run": b'"name": "echo"',
    "/user/create/": b'"email": "a@hub.example", "password": "long enough 7"',
}
VALUES = {"/js/walker_run": b'"ctx": {"value": %b}', "/user/create/": b'"name": %b'}


class Sender:
    """One connection that sends what no client library would."""

    def __init__(self, caller: Caller, path: str, *headers: str) -> None:
        place = urlsplit(caller.url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=60)
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
        if caller.token:
            lines.append(f"Authorization: token {caller.token}")
        if not any(line.startswith("Content-Type") for line in lines):
            lines.append("Content-Type: application/json")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: Any) -> None:
        self.socket.close()

    def send(self, parts: Iterable[bytes]) -> None:
        """Until all is sent, or the answer is there, or nobody listens any more."""
        for part in parts:
            if select([self.socket], [], [], 0)[0]:
                return
            try:
                self.socket.sendall(part)
            except OSError:
                return

    def end(self) -> None:
        with suppress(OSError):  # whoever refused has answered, and gone
            self.socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Closes with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def answer(self) -> tuple[int, bytes]:
        """Status and body; status 0 when the connection was closed without a word."""
        response = HTTPResponse(self.socket)
        try:
            response.begin()
            return response.status, response.read()
        except OSError:
            return 0, b""
        finally:
            response.close()


class Bill:
    """What the web processes spent."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self.processes = processes
        for process in processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew (man 5 proc)
        self.memory = [process.memory_info().rss for process in processes]
        self.cpu = self._cpu()

    def _cpu(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def assert_small(self) -> None:
        assert self._cpu() - self.cpu <= CPU_MAX
        for process, before in zip(self.processes, self.memory, strict=True):
            assert peak(process) - before <= MEMORY_MAX
        assert all(process.is_running() for process in self.processes)


def peak(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def billed(hub: Disposable) -> Iterator[None]:
    bill = Bill(hub.children("web"))
    yield
    bill.assert_small()


def sized(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def chunked(parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def ask(caller: Caller, path: str, body: bytes, *headers: str) -> tuple[int, bytes]:
    with Sender(caller, path, sized(body), *headers) as sender:
        sender.send([body])
        return sender.answer()


def assert_problem(answer: tuple[int, bytes], *statuses: int) -> dict[str, Any]:
    assert answer[0] in statuses, answer
    body: dict[str, Any] = json.loads(answer[1])
    assert (body["status"], body["success"]) == (answer[0], False)
    return body


@pytest.fixture(scope="module")
def broken(_disposable: Disposable) -> Disposable:
    """Whole at the beginning, and nothing in here is to break it."""
    _disposable.await_health()
    return _disposable


@pytest.fixture(scope="module")
def people(_disposable: Disposable) -> tuple[Caller, Caller]:
    return _disposable.people.sign_up(), _disposable.people.sign_up()


# A whole body, or a value in it


def keys(count: int) -> bytes:
    return b", ".join(b'"%d": 0' % n for n in range(count))


KEYS = keys(200_000)  # more than a body may have
WHOLE = {
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested and open": b"[" * 1_000_000,
    "no end": b'{"name": "ech',
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "UTF-16 without a mark": '{"name": "echo"}'.encode("utf-16-le"),
    "many keys": b"{%b}" % KEYS[: KEYS.rindex(b",", 0, ROOM - 2)],
    "a list of many": b"[%b0]" % (b"0," * (ROOM // 2 - 2)),
    "a duplicate key": b'{"name": "echo", "name": "fail"}',
    "no object": b'"echo"',
}
PIECES = {
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a lone surrogate": b'"\\ud800"',
    "a surrogate as a key": b'{"\\udfff": 1}',
    "U+0000": b'"\\u0000"',
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "a number without end": b"9" * 1_000_000,
    "a number out of range": b"1e999999",
    "a duplicate key": b'{"a": 1, "a": 2}',
    "a byte that is no text": b'"\xed\xa0\x80"',
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", WHOLE)
def test_a_hostile_body_is_refused(broken: Disposable, people: tuple[Caller, Caller], path: str, kind: str) -> None:
    with billed(broken):
        assert_problem(ask(people[0], path, WHOLE[kind]), 400)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", PIECES)
def test_a_hostile_value_is_refused(broken: Disposable, people: tuple[Caller, Caller], path: str, kind: str) -> None:
    with billed(broken):
        body = b"{%b, %b}" % (FIELDS[path], VALUES[path] % PIECES[kind])
        assert_problem(ask(people[0], path, body), 406 if "number" in kind else 400)


# More than is allowed


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", ["with its length", "in chunks"])
@pytest.mark.parametrize("kind", ["one line", "keys"])
def test_a_body_that_is_too_large_is_refused(
    broken: Disposable, people: tuple[Caller, Caller], path: str, way: str, kind: str
) -> None:
    parts = [b"{", keys(1_000_000), b"}"] if kind == "keys" else [b'{"name": "', *repeat(b"x" * ROOM, 150), b'"}']
    header = f"Content-Length: {sum(map(len, parts))}" if way == "with its length" else "Transfer-Encoding: chunked"
    with billed(broken), Sender(people[0], path, header) as sender:
        sender.send(parts if way == "with its length" else chunked(parts))
        assert people[1].get("/js/walker_list").status_code == 200  # others are served meanwhile
        assert_problem(sender.answer(), 413 if way == "with its length" else 411)


# Encodings, lengths and patience


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "deflate, gzip"])
def test_an_encoded_body_is_refused(
    broken: Disposable, people: tuple[Caller, Caller], path: str, content_type: str, encoding: str
) -> None:
    bomb = gzip.compress(b"[" * ROOM)
    headers = f"Content-Encoding: {encoding}", f"Content-Type: {content_type}"
    assert_problem(ask(people[0], path, bomb, *headers), 415)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: 1e3"],
        ["Content-Length: 12", "Content-Length: 13"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked"],
    ],
)
def test_a_wrong_length_is_refused(people: tuple[Caller, Caller], path: str, headers: list[str]) -> None:
    with Sender(people[0], path, *headers) as sender:
        sender.send([b"{%b}" % FIELDS[path]])
        assert 400 <= sender.answer()[0] < 500


BODIES = {
    "application/json": '{"name": "mark", "ctx": {"tag": "%s"}}',
    "application/x-www-form-urlencoded": "name=mark&ctx=%%7B%%22tag%%22:%%22%s%%22%%7D",
    "multipart/form-data; boundary=b": (
        '--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nmark\r\n'
        '--b\r\nContent-Disposition: form-data; name="ctx"\r\n\r\n{"tag": "%s"}\r\n--b--\r\n'
    ),
}


@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize("length", ["Content-Length: %d", "Transfer-Encoding: chunked"])
def test_what_ends_too_early_has_no_effect(broken: Disposable, content_type: str, length: str) -> None:
    """What came of the body would be a whole call, but more was to come."""
    owner = broken.people.sign_up()
    body = (BODIES[content_type] % owner.id).encode()
    inside = f"Content-Type: {content_type}"
    part = b"%x\r\n%b\r\n" % (len(body), body) if "chunked" in length else body
    for end in (Sender.end, Sender.cut):
        with Sender(owner, "/js/walker_run", inside, length.replace("%d", str(len(body) + 9))) as sender:
            sender.send([part])
            end(sender)
            assert end is Sender.cut or sender.answer()[0] in {400, 411}
    assert ask(owner, "/js/walker_run", body, inside)[0] == 200
    assert broken.marks([owner.id]) == {owner.id: 1}


def test_slow_bodies_hold_nobody_up(broken: Disposable, people: tuple[Caller, Caller]) -> None:
    with billed(broken), ExitStack() as stack:
        slow = [stack.enter_context(Sender(people[0], path, "Content-Length: 40")) for path in PATHS * 50]
        for sender in slow:
            sender.send([b"{"])
        assert people[1].get("/js/walker_list").status_code == 200
        assert people[1].post("/js/walker_run", {"name": "echo"}).status_code == 200
        for sender in slow:
            sender.send([b"[" * 39])
        for sender in slow:
            assert_problem(sender.answer(), 400)
