"""Large bodies as they arrive: piece by piece, with a length or in chunks (RFC 9112, section 7.1)."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from taskhub.db.connections import give_back_connection
from taskhub.errors import LengthRequired, Rejected, TooLarge, Unavailable
from taskhub.web import peers

PIECE = 256 * 1024
LOOK_SECONDS = 0.2


def body_pieces(environ: Mapping[str, Any], limit: int, *, self_terminating: bool = False) -> Iterator[bytes]:
    """The body, at most `limit` bytes of it. No database connection is held while it arrives.

    With `self_terminating` the reader of the body finds out whether it is whole, as of a compressed one. Raises
    `TooLarge` with both numbers, `Rejected` for a body that is cut off, and `Unavailable` if that cannot be told.
    """
    if "HTTP_TRANSFER_ENCODING" in environ:
        return _chunked(environ, limit) if self_terminating else _watched(environ, limit)
    return _counted(environ, limit)


def _counted(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    length = environ.get("CONTENT_LENGTH") or ""
    announced = int(length) if length.isdecimal() else 0
    if announced > limit:
        raise TooLarge(f"The body has {announced} bytes; {limit} are allowed.", limit=limit)
    give_back_connection()
    read, received = environ["wsgi.input"].read, 0
    while received < announced and (piece := read(min(PIECE, announced - received))):
        received += len(piece)
        yield bytes(piece)
    if received < announced:
        raise Rejected(f"The body ended after {received} of {announced} bytes.")


def _chunked(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    give_back_connection()
    read, received = environ["wsgi.input"].read, 0
    while piece := read(PIECE):
        received += len(piece)
        if received > limit:
            raise TooLarge(f"The body has more than the {limit} bytes that are allowed.", limit=limit)
        yield bytes(piece)


def _watched(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    if not peers.IS_SUPPORTED:
        raise LengthRequired("A body in chunks must be packed here; or send its Content-Length.")
    watch, received, next_look = peers.ConnectionWatch(environ["REMOTE_ADDR"]), 0, time.monotonic() + LOOK_SECONDS
    for piece in _chunked(environ, limit):
        received += len(piece)
        yield piece
        if time.monotonic() > next_look:
            watch.look(received)
            next_look = time.monotonic() + LOOK_SECONDS
    if not watch.is_sure(received):
        detail = "A connection of yours ended meanwhile, perhaps the one with this body: send it again, or packed."
        raise Unavailable(detail, retry_after=1)
