"""Large bodies as they arrive: piece by piece, with a length or in chunks (RFC 9112, section 7.1)."""

from collections.abc import Iterator, Mapping
from typing import Any

import psutil
from django.db import connection

from taskhub.errors import Rejected, TooLarge

PIECE = 256 * 1024


def body_pieces(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    """The body, at most `limit` bytes of it. No database connection is held while it arrives.

    Raises `TooLarge` with both numbers, and `Rejected` for a body that ends before its end.
    """
    announced = _announced(environ, limit)
    read, taken = environ["wsgi.input"].read, 0
    if not connection.in_atomic_block:
        connection.close()
    while piece := read(PIECE if announced is None else min(PIECE, announced - taken)):
        taken += len(piece)
        if taken > limit:
            raise TooLarge(f"The body has more than the {limit} bytes that are allowed.", limit=limit)
        yield bytes(piece)
        if announced is not None and taken >= announced:
            return
    if announced is not None and taken < announced:
        raise Rejected(f"The body ended after {taken} of {announced} bytes.")
    if announced is None and in_chunks(environ) and not _is_open(environ):
        raise Rejected(f"The body ended after {taken} bytes, before its last chunk.")


def in_chunks(environ: Mapping[str, Any]) -> bool:
    return "HTTP_TRANSFER_ENCODING" in environ


def _announced(environ: Mapping[str, Any], limit: int) -> int | None:
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal():
        return None if in_chunks(environ) else 0
    if int(length) > limit:
        raise TooLarge(f"The body has {length} bytes; {limit} are allowed.", limit=limit)
    return int(length)


def _is_open(environ: Mapping[str, Any]) -> bool:
    """Whether the client is still there, as one is who has sent its last chunk and waits for the answer.

    The web server does not tell a body in chunks that was cut off from a whole one; the kernel knows whether the
    connection still stands.
    """
    port = str(environ.get("REMOTE_PORT", ""))
    if not port.isdecimal():
        return True  # a server that does not say; it has its own ways
    place = (environ["REMOTE_ADDR"], int(port))
    return any(
        (one.raddr.ip, one.raddr.port) == place and one.status == psutil.CONN_ESTABLISHED
        for one in psutil.Process().net_connections("tcp")
        if one.raddr
    )
