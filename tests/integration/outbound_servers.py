"""Servers on loopback that answer exactly what a test tells them to, byte by byte."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import Protocol

import trustme

Script = Callable[["Server", socket.socket], None]


def answer(body: bytes = b"ok", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, *headers: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", *headers, status=status)


class Names:
    """A resolver that gives the listed answers one after the other, the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, name: str, port: int) -> list[str]:
        self.asked.append((name, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Server:
    """Runs `script` for each request; keeps the requests' heads and counts the connections.

    `over` is set when the test is: a script that goes on and on ends with it, or when its client goes away.
    """

    def __init__(self, script: Script | bytes, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._script, self._tls = script, tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()
        self._threads = [self.start(self._accept)]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def close(self) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def pace(self, seconds: float = 0.01) -> bool:
        """Waits a little; False when the test is over."""
        return not self.over.wait(seconds)

    def start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._threads.append(self.start(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as lines:
                while head := _head(lines):
                    self.heads.append(head)
                    self.bodies.append(lines.read(_length(head)))
                    if isinstance(self._script, bytes):
                        connection.sendall(self._script)
                    else:
                        self._script(self, connection)


class Serve(Protocol):
    def __call__(
        self, script: Script | bytes, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> Server: ...


@contextmanager
def serving() -> Iterator[Serve]:
    """Gives a function that starts servers; all of them are closed in the end."""
    servers: list[Server] = []

    def start(
        script: Script | bytes, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> Server:
        servers.append(Server(script, host, port, tls))
        return servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.close()


def tls_for(authority: trustme.CA, name: str, seen: list[str | None] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if seen is not None:
        context.sni_callback = lambda sock, asked, _: seen.append(asked)
    return context


def _head(lines: BufferedReader) -> str:
    head = b""
    for line in lines:
        if line == b"\r\n":
            return head.decode("latin-1")
        head += line
    return ""


def _length(head: str) -> int:
    found = [line.partition(":")[2] for line in head.splitlines() if line.lower().startswith("content-length:")]
    return int(found[0]) if found else 0
