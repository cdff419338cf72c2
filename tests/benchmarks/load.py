"""Clients in one thread, without a library: what they cost is a few percent of what they measure."""

import multiprocessing
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from tests.benchmarks.row import CannotMeasure

ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent. `status` is what its answer must have."""

    url: str
    token: str
    path: str
    body: bytes = b""
    status: int = 200

    @property
    def place(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    @property
    def wire(self) -> bytes:
        head = f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n"
        head += f"Authorization: token {self.token}\r\nAccept: */*\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n" if self.body else ""
        return head.encode() + b"\r\n" + self.body


class Client:
    """One kept connection."""

    def __init__(self, place: tuple[str, int]) -> None:
        self.place = place
        self.began, self.heard = 0.0, b""
        self.socket = socket.create_connection(place, ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, wire: bytes) -> None:
        self.began, self.heard = time.perf_counter(), b""
        self.socket.sendall(wire)

    def hear(self) -> bool:
        """Reads what there is; whether the answer is whole."""
        data = self.socket.recv(65536)
        if not data:
            raise CannotMeasure(f"{self.place} closed the connection; it had said {self.heard[:500]!r}")
        self.heard += data
        return whole(self.heard)

    def ask(self, call: Call) -> bytes:
        """The body of the answer to one call."""
        self.send(call.wire)
        while not self.hear():
            pass
        return answered(self.heard, call.status)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()


def whole(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    head = head.lower()
    if (at := head.find(b"content-length:")) >= 0:
        return len(body) >= int(head[at + 15 :].partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")


def answered(answer: bytes, status: int) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 %d " % status):
        raise CannotMeasure(f"{status} was expected, not {answer[:1000]!r}")
    return body if b"content-length:" in head.lower() else b"".join(_chunks(body))


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :] if length else b""


@dataclass
class Load:
    """Clients that each send the same call again as soon as it was answered."""

    call: Call
    clients: Sequence[Client]

    def rate(self, seconds: float) -> float:
        """Answers a second."""
        began = time.perf_counter()
        count = len(self.latencies(seconds))
        return count / (time.perf_counter() - began)

    def latencies(self, seconds: float) -> list[float]:
        """Seconds of each call that was begun within `seconds`."""
        until = time.perf_counter() + seconds
        return self._run(lambda begun: begun < len(self.clients) or time.perf_counter() < until)

    def times(self, calls: int) -> list[float]:
        """Seconds of each of so many calls."""
        return self._run(lambda begun: begun < calls)

    def _run(self, more: Callable[[int], bool]) -> list[float]:
        """`more` says whether another call is made after so many."""
        found: list[float] = []
        begun = 0
        with select.epoll() as poll:
            for client in self.clients:
                if more(begun):
                    poll.register(client.socket.fileno(), select.EPOLLIN)
                    client.send(self.call.wire)
                    begun += 1
            by_number = {client.socket.fileno(): client for client in self.clients}
            while len(found) < begun:
                for number, _ in _ready(poll):
                    client = by_number[number]
                    if not client.hear():
                        continue
                    answered(client.heard, self.call.status)
                    found.append(time.perf_counter() - client.began)
                    if more(begun):
                        client.send(self.call.wire)
                        begun += 1
        return found


def _ready(poll: select.epoll) -> list[tuple[int, int]]:
    ready = poll.poll(ANSWER_SECONDS)
    if not ready:
        raise CannotMeasure(f"No answer within {ANSWER_SECONDS} s")
    return ready


@contextmanager
def load(call: Call, clients: int) -> Iterator[Load]:
    opened = [Client(call.place) for _ in range(clients)]
    try:
        yield Load(call, opened)
    finally:
        for client in opened:
            client.socket.close()


def ceiling(clients: int, seconds: float) -> float:
    """Answers a second from a server that says one constant: what these clients can measure at the most."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = multiprocessing.get_context("fork").Process(target=_constant, args=(listening,), daemon=True)
        server.start()
        try:
            host, port = listening.getsockname()
            with load(Call(f"http://{host}:{port}", "none", "/", b"{}"), clients) as constant:
                return constant.rate(seconds)
        finally:
            server.kill()
            server.join()


def _constant(listening: socket.socket) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"success": true}'
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    opened: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listening.fileno():
                connection, _ = listening.accept()
                opened[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
            elif opened[number].recv(65536):
                opened[number].sendall(answer)
            else:
                poll.unregister(number)
                opened.pop(number).close()
