"""Large bodies as they arrive: piece by piece, with a length or in chunks (RFC 9112, section 7.1)."""

from collections.abc import Iterator, Mapping
from typing import Any

from taskhub.db.connections import give_back_connection
from taskhub.errors import Rejected, TooLarge

PIECE = 256 * 1024


def body_pieces(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    """The body, at most `limit` bytes of it. No database connection is held while it arrives.

    Raises `TooLarge` with both numbers, and `Rejected` for a body that ends before its end.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    announced = int(length) if length.isdecimal() else None
    if announced is not None and announced > limit:
        raise TooLarge(f"The body has {announced} bytes; {limit} are allowed.", limit=limit)
    if announced is None and "HTTP_TRANSFER_ENCODING" not in environ:
        return
    give_back_connection()
    read, received = environ["wsgi.input"].read, 0
    while piece := read(PIECE if announced is None else min(PIECE, announced - received)):
        received += len(piece)
        if received > limit:
            raise TooLarge(f"The body has more than the {limit} bytes that are allowed.", limit=limit)
        yield bytes(piece)
    if announced is not None and received < announced:
        raise Rejected(f"The body ended after {received} of {announced} bytes.")
