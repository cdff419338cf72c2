"""Decompresses bodies (RFC 9110, section 8.4.1), piece by piece, within a limit."""

import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import brotli

from taskhub.errors import Rejected, TooLarge, Unavailable, UnsupportedMedia

fast_zlib: Any = zlib
if find_spec("isal"):  # there is no wheel for some processors
    fast_zlib = import_module("isal.isal_zlib")
zstd: Any = import_module("compression.zstd" if find_spec("compression") else "backports.zstd")

PIECE = 256 * 1024  # bytes that a decoder gives at once
PART = 4 * 1024  # bytes that it takes at once
WINDOW_LOG, WINDOW_LOG_MAX = 24, 27  # zstd: 16 MiB at any time; up to 128 MiB, which stay in memory, by turns
LARGE_WINDOWS_AT_ONCE = 2
_large_windows = threading.BoundedSemaphore(LARGE_WINDOWS_AT_ONCE)


class Decoder(ABC):
    """Decompresses one content encoding. Broken data raises one of `BROKEN`."""

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompresses the next bytes, in pieces of at most about PIECE bytes."""

    @abstractmethod
    def ended(self) -> bool:
        """Says whether the data so far is a whole body."""

    def close(self) -> None:
        """Gives back what others wait for."""
        return


class Plain(Decoder):
    """Passes on a body that is not compressed."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def ended(self) -> bool:
        return True


class Gzip(Decoder):
    """Decompresses gzip (RFC 1952), one member after the other, as `cat a.gz b.gz` makes them.

    Zeros behind a member are padding, as of tapes and of buffers of one size.
    """

    def __init__(self) -> None:
        self._member: Any = fast_zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                if not (data := data.lstrip(b"\0")):
                    return
                self._member = fast_zlib.decompressobj(wbits=31)
            yield self._member.decompress(data, PIECE)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def ended(self) -> bool:
        return bool(self._member.eof)


class Deflate(Decoder):
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


class Brotli(Decoder):
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


class Zstd(Decoder):
    """Decompresses Zstandard (RFC 8878), one frame after the other.

    A frame with a large window has one of a few places. Raises `Unavailable` when they are taken.
    """

    def __init__(self) -> None:
        self._has_place = False
        self._begin_frame()

    def _begin_frame(self) -> None:
        self._frame: Any = _zstd_frame(WINDOW_LOG)
        self._head: bytes | None = b""  # of the frame, until the window is known to be small enough

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._frame.eof or self._frame.needs_input):
            if self._frame.eof:
                self._begin_frame()
            piece = self._decompress(data)
            data = self._frame.unused_data if self._frame.eof else b""
            yield piece

    def _decompress(self, data: bytes) -> bytes:
        if self._head is None:
            return bytes(self._frame.decompress(data, PIECE))
        self._head += data
        try:
            piece = self._frame.decompress(data, PIECE)
        except zstd.ZstdError as error:
            if "memory" not in str(error):
                raise
            self._take_place()
            self._frame = _zstd_frame(WINDOW_LOG_MAX)
            piece = self._frame.decompress(self._head, PIECE)
            self._head = None
        if piece:
            self._head = None
        return bytes(piece)

    def _take_place(self) -> None:
        if not self._has_place and not _large_windows.acquire(blocking=False):
            raise Unavailable("Other bodies with windows as large are being decompressed.", retry_after=5)
        self._has_place = True

    def ended(self) -> bool:
        return bool(self._frame.eof)

    def close(self) -> None:
        if self._has_place:
            self._has_place = False
            _large_windows.release()


def _zstd_frame(window_log: int) -> Any:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_log})


ENCODINGS: dict[str, Callable[[], Decoder]] = {
    "identity": Plain,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstd,
}
BROKEN: tuple[type[Exception], ...] = (zlib.error, fast_zlib.error, brotli.error, zstd.ZstdError, EOFError, ValueError)


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
        except BROKEN as error:
            raise Rejected(f"The encoded body is broken after {self.bytes_in} bytes: {_reason(error)}.") from None

    def finish(self) -> None:
        """Raises `Rejected` if the body was cut off."""
        if self.bytes_in and not self._decoder.ended():
            raise Rejected(f"The encoded body ended after {self.bytes_in} bytes, before its end.")

    def _parts(self, chunk: bytes) -> Iterable[bytes]:
        """Cuts a chunk so small that what comes of it can be compared with it after each part."""
        if isinstance(self._decoder, Plain):
            return (chunk,)
        return (chunk[place : place + PART] for place in range(0, len(chunk), PART))

    def _check_size(self) -> None:
        if self.bytes_out > self._limit:
            detail = f"The unpacked body has more than the {self._limit} bytes that are allowed."
            raise TooLarge(detail, limit=self._limit)

    def close(self) -> None:
        self._decoder.close()


def decompress(chunks: Iterable[bytes], decompressor: BodyDecompressor) -> Iterator[bytes]:
    """Decompresses a whole body. Raises `TooLarge` past its limit, and `Rejected` for a broken body."""
    with closing(decompressor):
        for chunk in chunks:
            yield from decompressor.feed(chunk)
        decompressor.finish()


def _reason(error: BaseException) -> str:
    return str(error)[:200].rstrip(".") or "it cannot be read"
