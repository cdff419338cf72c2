"""Reads the heads of answers as browsers do: what is plain in them counts, what is none is left out.

aiohttp's parser refuses a whole answer for one odd line. `HeadReader` stands before it and mends the head (RFC 9112,
and what Chromium makes of heads), within limits that the other clients have, too.
"""

import re
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from taskhub.outbound.answers import HEAD_MAX_BYTES, HEADER_MAX_BYTES, HEADERS_MAX

# A head in which nothing is to be mended, as most are: it tells one length, or none, and then it may be chunked. It has
# so many lines at most, since one that does not match is tried with fewer of them. No possessive repeat is around the
# lookahead: Python 3.11.2, which Debian 12 has, finds nothing with it.
_REGULAR = re.compile(
    rb"(?-i:HTTP)/1\.[01] (?:200|30[1278]|40[0-9]|50[0-9])\ [^\r\n\0]*\r\n"
    rb"(?:(?!content-length:|transfer-encoding:)[A-Za-z0-9_-]+:[^\r\n\0]*\r\n){0,60}"
    rb"(?:content-length:[ ]?([0-9]{1,15})\r\n|transfer-encoding:[ ]?chunked\r\n)?"
    rb"(?:(?!content-length:|transfer-encoding:)[A-Za-z0-9_-]+:[^\r\n\0]*\r\n){0,60}\r\n",
    re.IGNORECASE,
)
_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"(?:HTTP|ICY)[0-9./]*[ \t]+([1-5][0-9][0-9])(?![0-9])[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_TEXT = re.compile(rb"[\x00\r]")
_BODILESS = frozenset({b"204", b"304"})


class OversizedHead(aiohttp.ClientError):
    """A head has more bytes than is taken."""


class ContradictoryLength(aiohttp.ClientError):
    """An answer tells several lengths of its body."""


class HeadReader:
    """Reads one answer as it arrives: gives its bytes on, the head mended, and nothing behind its body.

    `overlong` says that bytes came behind the body: the connection is not to be used again.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._searched = 0
        self._in_body = self.overlong = False
        self._left: int | None = None  # of the body, where its length is told

    def feed(self, data: bytes) -> bytes:
        """What aiohttp's parser is to read next. Raises `OversizedHead` and `ContradictoryLength`."""
        if self._in_body:
            return self._cut(data)
        self._head += data
        given = b""
        while not self._in_body and (end := self._end_of_head()):
            head, length = mended_head(bytes(self._head[:end]))
            rest = bytes(self._head[end:])
            self._head.clear()
            self._searched = 0
            given += head
            if head[9:10] == b"1" and head[9:12] != b"101":  # an interim answer; another follows (RFC 9110, 15.2)
                self._head += rest
            else:
                self._in_body, self._left = True, length
                given += self._cut(rest)
        if len(self._head) > HEAD_MAX_BYTES:
            raise OversizedHead
        return given

    def _end_of_head(self) -> int:
        """Where the head ends in what has arrived; 0 where it does not yet. Blank lines before it are dropped."""
        if not self._searched:
            blank = len(self._head) - len(self._head.lstrip(b"\r\n"))
            del self._head[:blank]
        match = _END.search(self._head, max(0, self._searched - 2))
        self._searched = len(self._head)
        return match.end() if match else 0

    def _cut(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        self.overlong |= len(data) > self._left
        data = data[: self._left]
        self._left -= len(data)
        return data


def mended_head(head: bytes) -> tuple[bytes, int | None]:
    """A head that is written as RFC 9112 says, and the length of the body that it tells.

    Lines that are no headers are left out, and so are lengths that are none, or that chunks make void. Raises
    `OversizedHead`, and `ContradictoryLength` for lengths that differ.
    """
    if len(head) > HEAD_MAX_BYTES or head.count(b"\n") > HEADERS_MAX:
        raise OversizedHead
    if len(head) <= HEADER_MAX_BYTES and (regular := _REGULAR.fullmatch(head)):
        return head, int(regular[1]) if regular[1] else None
    first, *lines = head.rstrip(b"\r\n").split(b"\n")
    status = _STATUS.match(first)
    mended = [b"HTTP/1.1 %s %s" % (status[1], _NO_TEXT.sub(b"", status[2])) if status else first.rstrip(b"\r")]
    if status and first[:8].upper() == b"HTTP/1.0":
        mended[0] = b"HTTP/1.0" + mended[0][8:]
    lengths: set[bytes] = set()
    chunked = False
    for line in _unfolded(lines):
        if len(line) > HEADER_MAX_BYTES:
            raise OversizedHead
        name, colon, value = line.partition(b":")
        name, value = name.rstrip(b" \t"), value.strip(b" \t")
        if not colon or not _NAME.fullmatch(name):
            continue
        match name.lower():
            case b"content-length":
                lengths |= {told for part in value.split(b",") if (told := part.strip(b" \t"))}
                continue
            case b"transfer-encoding":
                if value.lower() in {b"", b"identity"}:
                    continue
                chunked = True
        mended.append(name + b": " + (_NO_TEXT.sub(b"", value) if b"\0" in value or b"\r" in value else value))
    length = None if chunked else _length_of(lengths)
    if length is not None:
        mended.append(b"Content-Length: %d" % length)
    if status and status[1] in _BODILESS:
        length = 0
    return b"\r\n".join([*mended, b"", b""]), length


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Headers, each in one line: what begins with a space continues the line before it (RFC 9112, 5.2)."""
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and whole:
            whole[-1] += b" " + line.strip()
        else:
            whole.append(line.removesuffix(b"\r"))
    return whole


def _length_of(lengths: set[bytes]) -> int | None:
    """The length that all of these tell; None where none is a number: then the body ends with the connection."""
    numbers = {int(length) for length in lengths if length.isdigit() and len(length) < 20}
    if len(numbers) > 1 or (numbers and len(numbers) < len({length.lstrip(b"0") or b"0" for length in lengths})):
        raise ContradictoryLength
    return numbers.pop() if numbers else None


class MendingHandler(ResponseHandler):
    """aiohttp's end of a connection, which reads answers through a `HeadReader`."""

    def set_response_params(self, **options: Any) -> None:
        self._reader = HeadReader()
        super().set_response_params(**options)  # which reads what has arrived already

    def data_received(self, data: bytes) -> None:
        reader = getattr(self, "_reader", None)
        if reader is None or not data:  # nothing was asked for yet; or aiohttp goes on with what it has
            super().data_received(data)
            return
        try:
            data = reader.feed(data)
        except aiohttp.ClientError as error:
            self.set_exception(error)
            self.close()
            return
        if reader.overlong:
            self.force_close()
        if data:
            super().data_received(data)


class GateConnector(aiohttp.TCPConnector):
    """aiohttp's connector, whose connections read answers as browsers do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = partial(MendingHandler, loop=self._loop)
