"""Connections of urllib3 that connect to checked addresses only, and keep to a call's limits.

urllib3 keeps connections open across calls, so what the call under way may do reaches them through a context variable;
without one they connect to nothing.
"""

import http.client
import io
import re
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from taskhub.interruption import watch
from taskhub.outbound.answers import HEAD_MAX_BYTES, HEADER_MAX_BYTES, HEADERS_MAX
from taskhub.outbound.errors import TimedOut, TooMuch, Unreachable
from taskhub.outbound.names import Resolver, resolve
from taskhub.outbound.policy import Policy, Target

SEND_BYTES = 64 * 1024
HEAD_ALLOWANCE = HEAD_MAX_BYTES + io.DEFAULT_BUFFER_SIZE  # the status line and headers, and what is read ahead
_HEADER_NAME = re.compile(rb"[!-9;-~]+")
_SWITCHING_PROTOCOLS = 101
_BODILESS = frozenset({204, 304})

Timeout = float | tuple[float | None, float | None] | None


@dataclass(frozen=True, slots=True)
class Clock:
    """A call's time-outs in seconds, and its end on `time.monotonic`'s clock; its redirects share them."""

    connect: float
    read: float
    total: float
    end: float

    @classmethod
    def start(cls, policy: Policy, timeout: Timeout, seconds: float | None = None) -> Self:
        """`timeout` as requests takes it: one for both, or (connect, read); what is None is the policy's.

        `seconds` are for the whole call, and no more than the policy's.
        """
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        total = policy.total_timeout if seconds is None else min(seconds, policy.total_timeout)
        return cls(
            policy.connect_timeout if connect is None else connect,
            policy.read_timeout if read is None else read,
            total,
            time.monotonic() + total,
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer: what it may do, where it goes, and by when."""

    policy: Policy
    resolver: Resolver
    target: Target
    clock: Clock

    def left(self) -> float:
        """Seconds until the end of the call; raises `Unreachable` when there are none."""
        left = self.clock.end - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{self.target} took longer than {self.clock.total:.3g} seconds.")
        return left


current: ContextVar[Exchange] = ContextVar("current exchange")


class _Meter(io.RawIOBase):
    """Reads from a connection until the call's end and no further than `allowance` bytes."""

    def __init__(self, source: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self.allowance = HEAD_ALLOWANCE
        self._source, self._sock, self._exchange = source, sock, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._exchange.left()
        if left < self._exchange.clock.read:
            self._sock.settimeout(left)  # else it has urllib3's: the read time-out
        try:
            count = self._source.readinto(buffer)
        except TimeoutError:
            self._exchange.left()
            raise TimedOut(
                f"{self._exchange.target} sent nothing for {self._exchange.clock.read:.3g} seconds."
            ) from None
        except OSError:
            raise Unreachable(f"{self._exchange.target} broke the connection off.") from None
        self.allowance -= count or 0
        if self.allowance < 0:
            raise TooMuch(f"{self._exchange.target} answers more than is taken.")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _Headers(http.client.HTTPMessage):
    """Headers of an answer, as http.client, urllib3 and requests ask for them."""

    def items(self) -> list[tuple[str, str]]:
        return list(self.raw_items())  # an e-mail's would be looked at again, one by one


class _Answer(http.client.HTTPResponse):
    """http.client's reader of one answer, metered."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._exchange = current.get()
        self._meter = _Meter(self.fp.detach(), sock, self._exchange)
        self.fp = io.BufferedReader(self._meter)

    def _read_status(self) -> tuple[str, int, str]:
        """The status of the answer; http.client skips but one of the interim ones (RFC 9110, 15.2)."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == _SWITCHING_PROTOCOLS:
                return version, status, reason
            self._read_headers()

    def _read_headers(self) -> _Headers:
        """The headers, up to the empty line (RFC 9112, section 5).

        http.client has them read as those of an e-mail, which takes longer than all else that it does for an answer.
        Raises `Unreachable` for a line that is no header: where the headers end is not clear then.
        """
        headers, name, value = _Headers(), "", b""
        for line in self._head_lines():
            if line[:1] in b" \t":
                value += b" " + line.strip()  # goes on with the header before (RFC 9112, section 5.2)
                continue
            if name:
                headers.set_raw(name, _text(value))
            before, colon, value = line.partition(b":")
            if not colon or not _HEADER_NAME.fullmatch(before):
                raise Unreachable(f"{self._exchange.target} answers with a line among the headers that is none.")
            name, value = before.decode("ascii"), value.strip()
        if name:
            headers.set_raw(name, _text(value))
        return headers

    def _head_lines(self) -> Iterator[bytes]:
        for _ in range(HEADERS_MAX + 1):
            line = self.fp.readline(HEADER_MAX_BYTES + 1)
            if len(line) > HEADER_MAX_BYTES:
                raise http.client.LineTooLong("header line")
            if line in {b"\r\n", b"\n", b""}:
                return
            yield line
        raise http.client.HTTPException(f"got more than {HEADERS_MAX} headers")

    def begin(self) -> None:
        version, self.status, reason = self._read_status()
        if not version.startswith(("HTTP/1.", "HTTP/0.9")):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version in {"HTTP/1.0", "HTTP/0.9"} else 11
        self.code, self.reason = self.status, reason.strip()
        self.headers = self.msg = self._read_headers()
        self.chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length(self.headers.get("Content-Length", ""))
        if self.status in _BODILESS or self.status < 200 or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        self.will_close = (self.length is None and not self.chunked) or self._check_close()  # type: ignore[attr-defined]
        self._meter.allowance = 2 * self._exchange.policy.max_bytes + HEAD_ALLOWANCE


def _text(value: bytes) -> str:
    """The value of a header, without what no text may have in it."""
    return value.translate(None, b"\0\r\n").decode("latin-1")


def _length(told: str) -> int | None:
    """The length of a body that `Content-Length` tells, be it told twice (RFC 9110, 8.6); None where it tells none."""
    lengths = {part.strip() for part in told.split(",")}
    length = lengths.pop()
    return int(length) if not lengths and length.isascii() and length.isdecimal() else None


class _Gated:
    """Replaces how both of urllib3's connections connect, send and read answers."""

    response_class = _Answer

    def _new_conn(self: Any) -> socket.socket:
        exchange = current.get()
        connect = exchange.clock.connect
        addresses = resolve(
            self.host,
            self.port,
            exchange.policy,
            resolver=exchange.resolver,
            timeout=min(connect, exchange.left()),
        )
        for address in addresses:
            try:
                return _connect(address, self.port, min(connect, exchange.left()), self.socket_options or [])
            except OSError as error:
                late = isinstance(error, TimeoutError)
                reason = "no answer in time" if late else error.strerror
        server = f"The proxy for {exchange.target}" if self.proxy else exchange.target
        problem = TimedOut if late else Unreachable
        raise problem(f"{server} cannot be connected to: {reason}.")

    def send(self: Any, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = current.get()
        try:
            # Over TLS the time-out is of each record of a body, so each gets what is left by then.
            for piece in _pieces(data):
                self.sock.settimeout(exchange.left())  # a server may take its time over a large body
                super().send(piece)  # type: ignore[misc]
        except TimeoutError:
            exchange.left()
            raise


class _Connection(_Gated, HTTPConnection):  # type: ignore[misc]
    pass


class _TLSConnection(_Gated, HTTPSConnection):  # type: ignore[misc]
    _bare: socket.socket | None = None  # a duplicate, while TLS is agreed on: the socket itself is taken over then

    def _new_conn(self) -> socket.socket:
        bare: socket.socket = super()._new_conn()
        self._bare = bare.dup()
        watch(self._bare)
        return bare

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            if self._bare is not None:
                self._bare.close()
        if isinstance(self.sock, socket.socket):  # TLS within TLS is none
            watch(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOLS = {"http": _Pool, "https": _TLSPool}


def _pieces(data: Any) -> Iterator[Any]:
    if not isinstance(data, bytes):
        yield data
        return
    for start in range(0, len(data), SEND_BYTES):
        yield memoryview(data)[start : start + SEND_BYTES]


def _connect(address: str, port: int, timeout: float, options: list[tuple[int, int, int | bytes]]) -> socket.socket:
    """Connects a new socket, with these options set, to an address that was checked."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    watch(sock)
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.settimeout(timeout)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock
