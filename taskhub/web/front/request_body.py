"""Request bodies as the front takes them in: within a time, and whole told apart from cut."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from io import RawIOBase
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings

from taskhub.db.connections import give_back_connection
from taskhub.errors import Rejected, RequestTimeout, Unavailable

Receive = Callable[[], Awaitable[Any]]

SMALL_BODY_BYTES = 64 * 1024  # in memory; what is longer is kept on the disk
READ_BYTES = 256 * 1024  # a read of a streamed body goes to the event loop and back: few large ones are cheap


class BodyReader:
    """Pieces of one body from the server, each within its time (the settings BODY_...).

    A body that says how long it is has ended with its last byte, without another message of the server.
    """

    def __init__(self, receive: Receive, announced: int | None = None) -> None:
        self._receive = receive
        self._announced = announced
        self._began = time.monotonic()
        self.received = 0
        self.ended = False

    async def next_piece(self) -> bytes:
        """What came next; empty at the end. Raises `Rejected` when the client has left, and `RequestTimeout`."""
        while not self.ended:
            message = await self._next_message()
            if message["type"] != "http.request":
                raise Rejected(f"The body ended early, after {self.received} bytes.")
            piece = bytes(message.get("body", b""))
            self.received += len(piece)
            self.ended = not message.get("more_body", False) or self.received == self._announced
            if piece:
                return piece
        return b""

    async def _next_message(self) -> Any:
        try:
            async with asyncio.timeout(self._seconds_left()):
                return await self._receive()
        except TimeoutError:
            seconds = round(time.monotonic() - self._began)
            raise RequestTimeout(f"{self.received} bytes of the body arrived in {seconds} s.") from None

    def _seconds_left(self) -> float:
        by_rate = settings.BODY_GRACE_SECONDS + self.received / settings.BODY_LEAST_RATE
        return min(settings.BODY_IDLE_SECONDS, self._began + min(by_rate, settings.BODY_MAX_SECONDS) - time.monotonic())


class OpenBodies:
    """Bytes of bodies that one web process keeps until its views have read them, by the addresses that sent them.

    An address may have no more kept than there is room left, so that whoever fills it leaves room for others. Small
    bodies are taken at any rate: calls are small, and there are no more of them than connections.
    """

    def __init__(self) -> None:
        self._kept: Counter[str] = Counter()

    @property
    def size(self) -> int:
        return self._kept.total()

    def keep(self, address: str, size: int, *, may_be_refused: bool) -> None:
        """Counts so many bytes more. Raises `Unavailable`."""
        if may_be_refused and self._kept[address] >= settings.OPEN_BODIES_MAX_BYTES - self.size:
            raise Unavailable("Too many large bodies arrive at once.", retry_after=5)
        self._kept[address] += size

    def forget(self, address: str, size: int) -> None:
        self._kept[address] -= size
        if self._kept[address] <= 0:
            del self._kept[address]


class StreamedBody(RawIOBase):
    """`wsgi.input` of a long body: read by Django's thread while it arrives at the event loop.

    The thread holds no database connection while it waits for more. Reading raises `Rejected` when the client has left,
    and `RequestTimeout`.
    """

    def __init__(self, beginning: IO[bytes], reader: BodyReader, loop: asyncio.AbstractEventLoop) -> None:
        self._beginning: IO[bytes] | None = beginning
        self._reader = reader
        self._loop = loop
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        if self._beginning is not None:
            if piece := self._beginning.read(size):
                return piece
            self._beginning = None
        if not self._rest:
            give_back_connection()
            self._rest = asyncio.run_coroutine_threadsafe(self._gather(), self._loop).result()
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    async def _gather(self) -> bytes:
        pieces, size = [], 0
        while size < READ_BYTES and (piece := await self._reader.next_piece()):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)


def new_spool() -> IO[bytes]:
    """A file for a body, on the disk as soon as it is large."""
    return SpooledTemporaryFile(SMALL_BODY_BYTES, prefix="taskhub-body-")
