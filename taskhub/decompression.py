"""Content encodings of bodies (RFC 9110, section 8.4.1), decompressed piece by piece within a limit."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import brotli

from taskhub.errors import Rejected, TooLarge, UnsupportedMedia

fast_zlib: Any = zlib
if find_spec("isal"):  # there is no wheel for some processors
    fast_zlib = import_module("isal.isal_zlib")
zstd: Any = import_module("compression.zstd" if find_spec("compression") else "backports.zstd")

PIECE, PART = 256 * 1024, 4 * 1024
RATIO_MAX = 250  # of what comes out to what went in
FREE_BYTES = 1024 * 1024  # below which nobody asks for the ratio
WINDOW_LOG_MAX = 24  # zstd: 16 MiB


class Unpacker(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of at most about PIECE bytes."""

    def ended(self) -> bool:
        """Whether the data so far is a whole body."""


class Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def ended(self) -> bool:
        return True


class Gzip:
    """One member after the other, as `cat a.gz b.gz` makes them."""

    def __init__(self) -> None:
        self._member: Any = fast_zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._member = fast_zlib.decompressobj(wbits=31)
            yield self._member.decompress(data, PIECE)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def ended(self) -> bool:
        return bool(self._member.eof)


class Deflate:
    """zlib's format; or, as some clients send it, what is inside."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._head = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._head += data
            if len(self._head) < 2:
                return
            framed = self._head[0] & 0x0F == 8 and int.from_bytes(self._head[:2], "big") % 31 == 0
            self._stream, data = zlib.decompressobj(wbits=15 if framed else -15), self._head
        while data:
            if self._stream.eof:
                raise zlib.error("data after the end")
            yield self._stream.decompress(data, PIECE)
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail

    def ended(self) -> bool:
        return self._stream is not None and bool(self._stream.eof)


class Brotli:
    def __init__(self) -> None:
        self._stream: Any = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream.is_finished():
            raise brotli.error("data after the end")
        yield self._stream.process(data, output_buffer_limit=PIECE)
        while not self._stream.is_finished() and (piece := self._stream.process(b"", output_buffer_limit=PIECE)):
            yield piece

    def ended(self) -> bool:
        return bool(self._stream.is_finished())


class Zstd:
    """One frame after the other (RFC 8878)."""

    def __init__(self) -> None:
        self._frame = self._new()

    @staticmethod
    def _new() -> Any:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._frame.eof or self._frame.needs_input):
            if self._frame.eof:
                self._frame = self._new()
            yield self._frame.decompress(data, PIECE)
            data = self._frame.unused_data if self._frame.eof else b""

    def ended(self) -> bool:
        return bool(self._frame.eof)


ENCODINGS: dict[str, Callable[[], Unpacker]] = {
    "identity": Plain,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstd,
}
_BROKEN: tuple[type[Exception], ...] = (zlib.error, fast_zlib.error, brotli.error, zstd.ZstdError, EOFError, ValueError)


def unpacker_of(encoding: str) -> Unpacker:
    """Raises `UnsupportedMedia` for an encoding that is not known, and for several on top of each other."""
    name = encoding.strip().lower() or "identity"
    if name not in ENCODINGS:
        known = "gzip, deflate, br and zstd"
        raise UnsupportedMedia(f"Content-Encoding {encoding[:40]!r} is not read; one of {known} is, or none.")
    return ENCODINGS[name]()


class Unpacking:
    """The decompression of one body; `taken` counts compressed bytes, `given` decompressed ones."""

    def __init__(self, unpacker: Unpacker, limit: int) -> None:
        self.taken = self.given = 0
        self._unpacker, self._limit = unpacker, limit

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decompresses the next bytes. Raises `TooLarge` past the limit, and `Rejected` for broken data."""
        try:
            for part in self._parts(chunk):
                self.taken += len(part)
                for piece in self._unpacker.feed(part):
                    self.given += len(piece)
                    self._check_size()
                    if piece:
                        yield piece
        except _BROKEN as error:
            raise Rejected(f"The encoded body is broken after {self.taken} bytes: {_words(error)}.") from None

    def finish(self) -> None:
        """Raises `Rejected` if the body was cut off."""
        if self.taken and not self._unpacker.ended():
            raise Rejected(f"The encoded body ended after {self.taken} bytes, before its end.")

    def _parts(self, chunk: bytes) -> Iterable[bytes]:
        """Parts so small that the ratio of output to input can be checked after each."""
        if isinstance(self._unpacker, Plain):
            return (chunk,)
        return (chunk[place : place + PART] for place in range(0, len(chunk), PART))

    def _check_size(self) -> None:
        if self.given > self._limit:
            detail = f"The unpacked body has more than the {self._limit} bytes that are allowed."
            raise TooLarge(detail, limit=self._limit)
        if self.given > FREE_BYTES and self.given > RATIO_MAX * self.taken:
            detail = f"The body unpacks to {self.given} bytes from {self.taken}; {RATIO_MAX} times as many are allowed."
            raise TooLarge(detail, limit=RATIO_MAX)


def unpacked(chunks: Iterable[bytes], unpacker: Unpacker, limit: int) -> Iterator[bytes]:
    """The decompressed bytes of `chunks`. Raises `TooLarge` past `limit`, `Rejected` for a broken body."""
    unpacking = Unpacking(unpacker, limit)
    for chunk in chunks:
        yield from unpacking.feed(chunk)
    unpacking.finish()


def _words(error: BaseException) -> str:
    return str(error)[:200].rstrip(".") or "it cannot be read"
