"""Whether a client that sent a body in chunks may have gone before its end.

The web server gives a body that was cut off as if it were whole, and tells no application on which connection it came.
The kernel knows: which connections stand, and how much each has received (Linux, TCP_INFO). A connection that is gone,
or half closed, and may have been the one in question, is a doubt; whoever is in doubt is asked to send again.
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
KNOWN = sys.platform == "linux"


class Connection(NamedTuple):
    """`idle` are seconds since something arrived."""

    state: int
    idle: float
    received: int


class ConnectionWatch:
    """On all connections of one address: one of them carries the body, and it is not known which."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._began = time.monotonic()
        self._possible = set(self._candidates(0))
        self._doubt = not self._possible

    def look(self, received: int) -> None:
        """`received` are the bytes of the body so far: a connection that brought fewer is not the one."""
        standing = set(self._candidates(0))
        self._doubt = self._doubt or not self._possible <= standing
        self._possible &= set(self._candidates(received))

    def is_sure(self, received: int) -> bool:
        """Whether the body of so many bytes is whole: the client still stands there, and waits for the answer."""
        self.look(received)
        return bool(self._possible) and not self._doubt

    def _candidates(self, received: int) -> Iterator[int]:
        """Ports of those that stand and have brought this much, and something since this request came."""
        since = time.monotonic() - self._began + _SLACK
        for port, one in _connections(self._address).items():
            if one.state == CLOSE_WAIT:
                self._doubt = True
            elif one.state == ESTABLISHED and one.received >= received and one.idle <= since:
                yield port


def _connections(address: str) -> dict[int, Connection]:
    """Of this process, by the port of their other side."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.update(_peer(int(name), address))
    return found


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
