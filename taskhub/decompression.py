"""Decompresses bodies (RFC 9110, section 8.4.1), piece by piece, within a limit."""

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

PIECE = 256 * 1024  # bytes that a decoder gives at once
PART = 4 * 1024  # bytes that it takes at once
RATIO_MAX = 250  # of decompressed to compressed bytes
RATIO_FREE_BYTES = 1024 * 1024  # decompressed bytes below which the ratio does not matter
WINDOW_LOG_MAX = 24  # zstd: 16 MiB


class Decoder(Protocol):
    """Decompresses one content encoding. Broken data raises one of `_BROKEN`."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompresses the next bytes, in pieces of at most about PIECE bytes."""

    def ended(self) -> bool:
        """Says whether the data so far is a whole body."""


class Plain:
    """Passes on a body that is not compressed."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def ended(self) -> bool:
        return True


class Gzip:
    """Decompresses gzip (RFC 1952), one member after the other, as `cat a.gz b.gz` makes them."""

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
    """Decompresses zlib's format (RFC 1950), or bare deflate data (RFC 1951), which some clients send instead."""

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
    """Decompresses Brotli (RFC 7932)."""

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
    """Decompresses Zstandard (RFC 8878), one frame after the other."""

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


ENCODINGS: dict[str, Callable[[], Decoder]] = {
    "identity": Plain,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstd,
}
_BROKEN: tuple[type[Exception], ...] = (zlib.error, fast_zlib.error, brotli.error, zstd.ZstdError, EOFError, ValueError)


def decoder_of(encoding: str) -> Decoder:
    """A new decoder for a content encoding. Raises `UnsupportedMedia` for one that is not known, or for several."""
    name = encoding.strip().lower() or "identity"
    if name not in ENCODINGS:
        known = "gzip, deflate, br and zstd"
        raise UnsupportedMedia(f"Content-Encoding {encoding[:40]!r} is not read; one of {known} is, or none.")
    return ENCODINGS[name]()


class BodyDecompressor:
    """Decompresses one body. `bytes_in` counts compressed bytes, `bytes_out` decompressed ones."""

    def __init__(self, decoder: Decoder, limit: int) -> None:
        self.bytes_in = self.bytes_out = 0
        self._decoder, self._limit = decoder, limit

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decompresses the next bytes. Raises `TooLarge` past the limit, and `Rejected` for broken data."""
        try:
            for part in self._parts(chunk):
                self.bytes_in += len(part)
                for piece in self._decoder.feed(part):
                    self.bytes_out += len(piece)
                    self._check_size()
                    if piece:
                        yield piece
        except _BROKEN as error:
            raise Rejected(f"The encoded body is broken after {self.bytes_in} bytes: {_reason(error)}.") from None

    def finish(self) -> None:
        """Raises `Rejected` if the body was cut off."""
        if self.bytes_in and not self._decoder.ended():
            raise Rejected(f"The encoded body ended after {self.bytes_in} bytes, before its end.")

    def _parts(self, chunk: bytes) -> Iterable[bytes]:
        """Cuts a chunk so small that the ratio of output to input can be checked after each part."""
        if isinstance(self._decoder, Plain):
            return (chunk,)
        return (chunk[place : place + PART] for place in range(0, len(chunk), PART))

    def _check_size(self) -> None:
        if self.bytes_out > self._limit:
            detail = f"The unpacked body has more than the {self._limit} bytes that are allowed."
            raise TooLarge(detail, limit=self._limit)
        if self.bytes_out > RATIO_FREE_BYTES and self.bytes_out > RATIO_MAX * self.bytes_in:
            sizes = f"The body unpacks to {self.bytes_out} bytes from {self.bytes_in}"
            raise TooLarge(f"{sizes}; {RATIO_MAX} times as many are allowed.", limit=RATIO_MAX)


def decompress(chunks: Iterable[bytes], decoder: Decoder, limit: int) -> Iterator[bytes]:
    """Decompresses a whole body. Raises `TooLarge` past `limit` bytes, `Rejected` for a broken body."""
    decompressor = BodyDecompressor(decoder, limit)
    for chunk in chunks:
        yield from decompressor.feed(chunk)
    decompressor.finish()


def _reason(error: BaseException) -> str:
    return str(error)[:200].rstrip(".") or "it cannot be read"
