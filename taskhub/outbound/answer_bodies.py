"""Decodes the bodies of answers as browsers do: within a limit, and without a word about what does no harm."""

from collections.abc import Iterator

import brotli

from taskhub.decompression import BROKEN, ENCODINGS, BodyDecompressor, Brotli, Decoder, Plain
from taskhub.errors import UnsupportedMedia

CODINGS_MAX = 5
# Codings that are registered and cannot be decoded here. Any other word, such as `utf-8`, is none, and says nothing.
_UNREADABLE = frozenset({"compress", "x-compress", "exi", "pack200-gzip", "aes128gcm", "dcb", "dcz"})


class TolerantDecoder(Decoder):
    """Decodes as another decoder does, and leaves out what stands behind the end of the data and is none."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._complete = self._over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._over:
            return
        try:
            for piece in self._decoder.feed(data):
                yield piece
                self._complete = self._decoder.ended() or (self._complete and not piece)
        except BROKEN:
            if not self._complete:
                raise
            self._over = True

    def ended(self) -> bool:
        return self._over or self._complete or self._decoder.ended()

    def close(self) -> None:
        self._decoder.close()


class TolerantBrotli(TolerantDecoder):
    """The same for Brotli, whose library refuses the end of the data together with what stands behind it.

    Then all is decoded once more, the last bytes one by one, for it does not tell where they end.
    """

    def __init__(self) -> None:
        super().__init__(Brotli())
        self._before = bytearray()  # what was decoded well

    def feed(self, data: bytes) -> Iterator[bytes]:
        given = 0
        try:
            for piece in super().feed(data):
                given += len(piece)
                yield piece
        except BROKEN:
            for piece in self._end_of(data):
                yield piece[given:]
                given -= min(given, len(piece))
        self._before += data

    def _end_of(self, data: bytes) -> Iterator[bytes]:
        """What the bytes decode to that the end of the data is in. Raises one of `BROKEN` where it is not."""
        decoder = Brotli()
        for _ in decoder.feed(bytes(self._before)):
            pass
        for place in range(len(data)):
            yield from decoder.feed(data[place : place + 1])
            if decoder.ended():
                self._over = True
                return
        raise brotli.error("no end")


class AnswerBody:
    """Decodes one body, which was encoded several times as a rule of the header `Content-Encoding` may say.

    `bytes_in` counts the bytes that were sent. Raises `UnsupportedMedia` for a coding that is not read.
    """

    def __init__(self, content_encoding: str, limit: int) -> None:
        names = [name for part in content_encoding.split(",") if (name := part.strip(" \t\"'").lower())]
        if unreadable := next((name for name in names if name in _UNREADABLE), ""):
            raise UnsupportedMedia(f"Content-Encoding {unreadable!r} is not read.")
        names = [name for name in names if name in ENCODINGS and name != "identity"]
        if len(names) > CODINGS_MAX:
            raise UnsupportedMedia(f"More than {CODINGS_MAX} content encodings are not read.")
        decoders: list[Decoder] = [
            TolerantBrotli() if name == "br" else TolerantDecoder(ENCODINGS[name]()) for name in reversed(names)
        ]
        self._layers = [BodyDecompressor(decoder, limit) for decoder in decoders or [Plain()]]

    @property
    def bytes_in(self) -> int:
        return self._layers[0].bytes_in

    def feed(self, chunk: bytes, layer: int = 0) -> Iterator[bytes]:
        """Decodes the next bytes. Raises `TooLarge` past the limit, and `Rejected` for broken data."""
        if layer == len(self._layers):
            yield chunk
            return
        for piece in self._layers[layer].feed(chunk):
            yield from self.feed(piece, layer + 1)

    def finish(self) -> None:
        """Raises `Rejected` if the data was cut off."""
        for layer in self._layers:
            layer.finish()

    def close(self) -> None:
        for layer in self._layers:
            layer.close()
