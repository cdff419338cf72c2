"""Answers that cannot be finished: their connection is ended, for a whole answer ends otherwise (RFC 9112, section 8).

The server has no word for it: when the application stops, it writes the last chunk, and a client takes what it has for
all there is. So the socket is shut, which the kernel finds by the addresses of its two ends.
"""

import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


def end_connection(client: Sequence[Any], port: int) -> bool:
    """Ends this process's connection from a client, `(host, port)`, to a port. Says whether there was one."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # it was closed meanwhile, or has no peer
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and _end(descriptor, client, port):
                return True
    return False


def _end(descriptor: int, client: Sequence[Any], port: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        peer = connection.getpeername()
        if connection.getsockname()[1] != port or peer[1] != client[1] or _host(peer[0]) != _host(client[0]):
            return False
        connection.shutdown(socket.SHUT_RDWR)
        return True


def _host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return (address.version == 6 and address.ipv4_mapped) or address
