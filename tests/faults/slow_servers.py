"""Servers on loopback that take a connection and then keep their client waiting, each in its own way."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"
PACE_SECONDS = 0.1  # between two bytes of those who dribble

Pause = Callable[[float], bool]  # waits for some seconds; false when the test is over
Behaviour = Callable[[socket.socket, Pause], None]


def silent(connection: socket.socket, pause: Pause) -> None:
    """Says nothing, be it HTTP, the handshake of TLS or the greeting of SSH."""
    while pause(60):
        pass


def take_nothing(connection: socket.socket, pause: Pause) -> None:
    """Does not read, either: see `SlowServer`."""
    silent(connection, pause)


def dribble_head(connection: socket.socket, pause: Pause) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while pause(PACE_SECONDS):
        connection.sendall(b"x")


def stop_after_head(connection: socket.socket, pause: Pause) -> None:
    connection.sendall(HEAD)
    silent(connection, pause)


def dribble_body(connection: socket.socket, pause: Pause) -> None:
    connection.sendall(HEAD)
    while pause(PACE_SECONDS):
        connection.sendall(b"x")


def repeat_interim(connection: socket.socket, pause: Pause) -> None:
    """Announces an answer that never comes (RFC 9110, section 15.2)."""
    while pause(PACE_SECONDS):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def never_end(connection: socket.socket, pause: Pause) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while pause(0):
        connection.sendall(b"x" * 65536)


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        silent,
        take_nothing,
        dribble_head,
        stop_after_head,
        dribble_body,
        repeat_interim,
        never_end,
    )
}


def inside_tunnel(behaviour: Behaviour, context: ssl.SSLContext) -> Behaviour:
    """The same inside of TLS, behind a tunnel as proxies open them (RFC 9110, section 9.3.6). Requests are not read."""

    def behave(connection: socket.socket, pause: Pause) -> None:
        while not connection.recv(65536).endswith(b"\r\n\r\n"):
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as inner:
            behaviour(inner, pause)

    return behave


class SlowServer:
    """Behaves so on each connection until it is closed. It reads what it is sent, unless it is to take nothing."""

    def __init__(self, behaviour: Behaviour, *, reads: bool = True) -> None:
        self._behaviour = behaviour
        self._reads = reads
        self._over = threading.Event()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(100)
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._over.set()
        for open_socket in (self._listener, *self._connections):
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for open_socket in (self._listener, *self._connections):
            open_socket.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._start(self._serve, connection)
                if self._reads:
                    self._start(self._read, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._behaviour(connection, lambda seconds: not self._over.wait(seconds))

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(1 << 20):
                pass


@contextmanager
def slow_server(behaviour: str, tunnel: ssl.SSLContext | None = None) -> Iterator[SlowServer]:
    """A server that behaves so, or a proxy to one, with the TLS of that."""
    if tunnel:
        server = SlowServer(inside_tunnel(BEHAVIOURS[behaviour], tunnel), reads=False)
    else:
        server = SlowServer(BEHAVIOURS[behaviour], reads=behaviour != take_nothing.__name__)
    try:
        yield server
    finally:
        server.close()
