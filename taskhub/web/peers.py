"""Finds out from the kernel whether a client that sent a body in chunks left before its end.

The web server passes on a body that was cut off as if it were whole, and does not say on which connection it came. The
kernel knows which connections are open, and how many bytes each has received (Linux, TCP_INFO). If a connection that
may have carried the body was closed meanwhile, or half closed, the body is in doubt, and the client must send it again.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

ESTABLISHED, CLOSE_WAIT = 1, 8
_STATE, _IDLE, _RECEIVED, _SIZE = 0, 52, 128, 136  # struct tcp_info: tcpi_state, _last_data_recv, _bytes_received
_SLACK = 0.1  # seconds from the arrival of a request to the view that serves it
IS_SUPPORTED = sys.platform == "linux"


class Connection(NamedTuple):
    """One TCP connection: its state, seconds since bytes arrived, and how many arrived in all."""

    state: int
    idle: float
    received: int


class ConnectionWatch:
    """Watches all connections of one client address: one of them carries the body, and it is not known which."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._began = time.monotonic()
        self._possible = set(self._candidates(0))
        self._doubt = not self._possible

    def look(self, received: int) -> None:
        """Excludes connections that brought fewer bytes than `received`, those of the body so far."""
        still_open = set(self._candidates(0))
        self._doubt = self._doubt or not self._possible <= still_open
        self._possible &= set(self._candidates(received))

    def is_sure(self, received: int) -> bool:
        """Whether a body of so many bytes is whole: the client still waits for the answer."""
        self.look(received)
        return bool(self._possible) and not self._doubt

    def _candidates(self, received: int) -> Iterator[int]:
        """Client ports of open connections that brought at least this much, and something since this request came."""
        since = time.monotonic() - self._began + _SLACK
        for port, connection in _connections(self._address).items():
            if connection.state == CLOSE_WAIT:
                self._doubt = True
            elif connection.state == ESTABLISHED and connection.received >= received and connection.idle <= since:
                yield port


def _connections(address: str) -> dict[int, Connection]:
    """The connections of this process to an address, by the client's port."""
    connections: dict[int, Connection] = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                connections.update(_peer(int(name), address))
    return connections


def _peer(number: int, address: str) -> dict[int, Connection]:
    borrowed = socket.socket(fileno=number)
    try:
        if borrowed.type != socket.SOCK_STREAM or borrowed.family not in (socket.AF_INET, socket.AF_INET6):
            return {}
        host, port, *_ = borrowed.getpeername()
        if host.removeprefix("::ffff:") != address.removeprefix("::ffff:"):
            return {}
        info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    finally:
        borrowed.detach()
    if len(info) < _SIZE:
        return {}
    idle, received = struct.unpack_from("=I", info, _IDLE)[0], struct.unpack_from("=Q", info, _RECEIVED)[0]
    return {port: Connection(info[_STATE], idle / 1000, received)}
