"""SOCKS5 proxies on loopback (RFC 1928), which take every host for this machine, or do what a test wants instead."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

NO_LOGIN, LOGIN, NONE_ACCEPTED = 0, 2, 255  # methods
GRANTED, NOT_ALLOWED, HOST_UNREACHABLE, REFUSED = 0, 2, 4, 5  # replies
SILENT, CLOSING = "silent", "closing"


class SocksServer:
    """`asked` has the hosts that it was asked for, as they were sent, and `logins` who asked.

    `login` is what it wants; `reply` is what it answers to a request: a code, bytes in place of its first answer, or
    that it says nothing (SILENT) or hangs up (CLOSING).
    """

    def __init__(self, login: tuple[str, str] | None = None, reply: int | bytes | str = GRANTED) -> None:
        self.login, self.reply = login, reply
        self.asked: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.connections = 0
        self.over = threading.Event()
        self.port = 0

    def url(self, login: str = "", *, scheme: str = "socks5") -> str:
        return f"{scheme}://{login and login + '@'}127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        self.connections += 1
        lines = client.makefile("rb")
        _, count = lines.read(2)
        methods = lines.read(count)
        if self.reply == SILENT:
            self.over.wait()
        if self.reply in (SILENT, CLOSING):
            return
        if isinstance(self.reply, bytes):
            client.sendall(self.reply)
            return
        if self.login and LOGIN not in methods:
            client.sendall(bytes([5, NONE_ACCEPTED]))
            return
        client.sendall(bytes([5, LOGIN if self.login else NO_LOGIN]))
        if self.login and not self._logs_in(client, lines):
            return
        _, _, _, kind = lines.read(4)
        host = {
            1: lambda: socket.inet_ntop(socket.AF_INET, lines.read(4)),
            3: lambda: lines.read(lines.read(1)[0]).decode(),
            4: lambda: socket.inet_ntop(socket.AF_INET6, lines.read(16)),
        }[kind]()
        port = int.from_bytes(lines.read(2), "big")
        self.asked.append(host)
        client.sendall(bytes([5, int(self.reply), 0, 1, 0, 0, 0, 0, 0, 0]))
        if self.reply == GRANTED:
            with socket.create_connection(("127.0.0.1", port)) as target:
                back = threading.Thread(target=pump, args=(target, client), daemon=True)
                back.start()
                pump(client, target)
                back.join(10)

    def _logs_in(self, client: socket.socket, lines: Any) -> bool:
        lines.read(1)
        user, password = (lines.read(lines.read(1)[0]).decode() for _ in range(2))
        self.logins.append((user, password))
        client.sendall(bytes([1, 0 if (user, password) == self.login else 1]))
        return (user, password) == self.login


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


@contextmanager
def serving_socks(login: tuple[str, str] | None = None, reply: int | bytes | str = GRANTED) -> Iterator[SocksServer]:
    """A SOCKS proxy, until the end of the test."""
    server = SocksServer(login, reply)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, ValueError):  # the client goes
                server.serve(self.request)

    with Listener(("127.0.0.1", 0), Handler) as listener:
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown()
            thread.join()
