"""The gate as a proxy on loopback, for programs that call by themselves, such as a browser.

    async with GateProxy(policy) as proxy:
        ...  # let the program use proxy.address

Speaks HTTP/1.1 (RFC 9110): CONNECT for tunnels, absolute addresses for the rest. Each name is resolved by the gate, and
connections go to the addresses that were checked. Calls that are refused are answered 403, and listed in `refused`.
"""

import asyncio
import base64
import logging
import re
from collections.abc import Awaitable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Self, TypeVar
from urllib.parse import unquote, urlsplit

from taskhub.errors import Problem
from taskhub.outbound.answers import HEAD_MAX_BYTES
from taskhub.outbound.errors import Refused, TooMuch, Unreachable
from taskhub.outbound.names import Resolver, resolve, system_resolver
from taskhub.outbound.policy import Policy, Target, check_proxy, check_url
from taskhub.outbound.socks import is_socks, open_socks_tunnel

log = logging.getLogger(__name__)

MARK = ("Proxy-Status", "taskhub; error=destination_ip_prohibited")  # RFC 9209: what the gate itself answers
PIECE = 64 * 1024
CONNECTIONS_MAX = 128  # of one browser's page
_REQUEST = re.compile(rb"([A-Z]{1,20}) (\S+) HTTP/1\.[01]")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d")
_HOP_BY_HOP = (b"proxy-", b"connection:", b"keep-alive:")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
T = TypeVar("T")


class GateProxy:
    """Serves one program as its proxy; `received` counts the bytes that servers answered, at most `max_bytes`.

    `upstream` is another proxy, which then resolves the names; the gate looks them up, too, all the same. A connection
    on which nothing moves for `Policy.read_timeout` is ended, and listed, too. `tunnel_scheme` is what tunnels carry.
    `own_hosts` are those that the program asks by itself: they are not called, and not listed.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        upstream: str = "",
        max_bytes: int,
        resolver: Resolver = system_resolver,
        tunnel_scheme: str = "https",
        own_hosts: Collection[str] = (),
    ) -> None:
        self.policy, self.upstream, self.max_bytes, self.received = policy, upstream, max_bytes, 0
        self._tunnel_scheme, self._own_hosts = tunnel_scheme, own_hosts
        self.refused: list[Problem] = []
        self._resolver = resolver
        self._calls: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_MAX_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            if len(self._calls) > CONNECTIONS_MAX:
                raise TooMuch(f"The page opens more than {CONNECTIONS_MAX} connections at once.")
            await self._forward(reader, writer)
        except Problem as problem:
            self.refused.append(problem)
            await _refuse(writer, 403 if problem.permanent else 502, problem.detail)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("A call through the gate ended: %s", error)
        except asyncio.CancelledError:  # the proxy closes
            pass
        finally:
            self._calls.discard(call)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await self._head(reader)
        if head is None:
            return
        line, *headers = head.split(b"\r\n")
        request = _REQUEST.fullmatch(line)
        if not request:
            raise Refused("This is no request that a proxy understands.")
        method, address = request[1], request[2].decode("latin-1")
        tunnel = method == b"CONNECT"
        target = self._tunnel_target(address) if tunnel else check_url(address, self.policy)
        if target.host in self._own_hosts:
            await _refuse(writer, 403, f"{target.host} is not called.")
            return
        length = 0 if tunnel else _body_length(headers)
        server = await self._reach(target, tunnel)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._relay(target, (reader, writer), server)
            else:
                server[1].write(self._request(method, address, headers))
                await self._relay(target, (reader, writer), server, length=length)
        finally:
            server[1].close()

    def _tunnel_target(self, authority: str) -> Target:
        try:
            return replace(check_url(f"https://{authority}/", self.policy), scheme=self._tunnel_scheme)
        except Refused as refusal:
            raise Refused(refusal.detail.replace("https:", f"{self._tunnel_scheme}:")) from None

    async def _head(self, reader: asyncio.StreamReader) -> bytes | None:
        """The head of a request; None if the connection is closed before one: browsers open connections in advance."""
        try:
            async with asyncio.timeout(self.policy.total_timeout):
                return (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise TooMuch(f"A request has more than {HEAD_MAX_BYTES} bytes of headers.") from None
        except asyncio.IncompleteReadError:
            return None

    def _request(self, method: bytes, address: str, headers: list[bytes]) -> bytes:
        forwarded = [header for header in headers if not header.lower().startswith(_HOP_BY_HOP)]
        if self.upstream and not is_socks(self.upstream):
            target = address
            forwarded += _credentials(self.upstream)
        else:
            parts = urlsplit(address)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        line = b"%s %s HTTP/1.1" % (method, target.encode("latin-1"))
        return b"\r\n".join([line, *forwarded, b"Connection: close", b"", b""])

    async def _reach(self, target: Target, tunnel: bool) -> Streams:
        """Connects to the target, or to the upstream proxy, which is asked for a tunnel where there is to be one."""
        if not self.upstream:
            return await self._connect(target)
        addresses = await self._resolve(target)
        if is_socks(self.upstream):
            opened = await open_socks_tunnel(self.upstream, target, addresses, policy=self.policy, lookup=self._resolve)
            return await asyncio.open_connection(sock=opened, limit=HEAD_MAX_BYTES)
        server = await self._connect(check_proxy(self.upstream, self.policy))
        if tunnel:
            await self._open_tunnel(target, server)
        return server

    async def _open_tunnel(self, target: Target, server: Streams) -> None:
        reader, writer = server
        authority = str(target).partition("://")[2]
        if not authority.rpartition(":")[2].isdecimal():
            authority = f"{authority}:{target.port}"
        request_line, host = f"CONNECT {authority} HTTP/1.1".encode(), f"Host: {authority}".encode()
        head = [request_line, host, *_credentials(self.upstream), b"", b""]
        writer.write(b"\r\n".join(head))
        try:
            async with asyncio.timeout(self.policy.connect_timeout):
                answer = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            writer.close()
            seconds = f"{self.policy.connect_timeout:.3g} seconds"
            raise Unreachable(f"{target} is not reached: the proxy did not answer within {seconds}.") from None
        if answer.split(b" ", 2)[1:2] != [b"200"]:
            writer.close()
            raise Unreachable(f"{target} is not reached through the proxy.")

    async def _resolve(self, target: Target) -> list[str]:
        """The target's addresses, all of which may be called. Raises `Refused` and `Unreachable`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            None, lambda: resolve(str(target.host), target.port, self.policy, resolver=self._resolver)
        )

    async def _connect(self, target: Target) -> Streams:
        """Connects to the first address that answers; all are allowed ones."""
        for address in await self._resolve(target):
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self.policy.connect_timeout):
                    return await asyncio.open_connection(address, target.port, limit=HEAD_MAX_BYTES)
        raise Unreachable(f"{target} does not take connections.")

    async def _relay(self, target: Target, client: Streams, server: Streams, *, length: int | None = None) -> None:
        """Copies both ways until the server has sent all; a browser that has sent its request waits.

        With a `length` it copies one request, whose body has so many bytes, and its answer; then the connection ends,
        for the next request could be meant for another server.
        """
        stalled = Unreachable(f"{target} stalled for {self.policy.read_timeout:.3g} seconds.")
        idle = Idle(self.policy.read_timeout)
        sending = asyncio.ensure_future(self._pump(client[0], server[1], idle, counted=False, most=length))
        try:
            if length is not None:
                try:
                    client[1].write(await idle.limit(self._answer_head(server[0])))
                except TimeoutError:
                    raise stalled from None
            try:
                await idle.limit(self._pump(server[0], client[1], idle, counted=True))
            except TimeoutError:  # the client has got some of the answer: no words can be added
                self.refused.append(stalled)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _answer_head(self, server: asyncio.StreamReader) -> bytes:
        """The head of the final response, with `Connection: close`. Interim ones (RFC 9110, 15.2) are skipped."""
        while True:
            status, *headers = (await server.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
            if not _INTERIM.match(status):
                forwarded = [header for header in headers if not header.lower().startswith(_HOP_BY_HOP)]
                return b"\r\n".join([status, *forwarded, b"Connection: close", b"", b""])

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        idle: "Idle",
        *,
        counted: bool,
        most: int | None = None,
    ) -> None:
        """Copies `most` bytes, or all until the end; `counted` ones count for `received`."""
        left = PIECE if most is None else most
        while left and (piece := await source.read(min(PIECE, left))):
            left -= len(piece) if most is not None else 0
            if counted:
                self.received += len(piece)
                if self.received > self.max_bytes:
                    self.refused.append(TooMuch(f"All answers together have more than {self.max_bytes} bytes."))
                    return
            sink.write(piece)
            await sink.drain()
            idle.reset()


class Idle:
    """The time for which nothing may move on a connection, in seconds; each `reset` begins it anew."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout: asyncio.Timeout | None = None

    async def limit(self, work: Awaitable[T]) -> T:
        """What the work gives. Raises `TimeoutError` when nothing has moved for so long."""
        async with asyncio.timeout(self._seconds) as self._timeout:
            return await work

    def reset(self) -> None:
        if self._timeout and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)


def _body_length(headers: list[bytes]) -> int:
    """The length of a request's body, in bytes. Raises `Refused` for chunks, which no browser sends."""
    fields = [header.partition(b":") for header in headers]
    lengths = {value.strip() for name, _, value in fields if name.strip().lower() == b"content-length"}
    if any(name.strip().lower() == b"transfer-encoding" for name, *_ in fields) or len(lengths) > 1:
        raise Refused("This request does not tell its length.")
    length = lengths.pop() if lengths else b"0"
    if not length.isdigit() or len(length) > 15:
        raise Refused("This request has a length that is none.")
    return int(length)


def _credentials(proxy: str) -> list[bytes]:
    """The header with the user name and password in a proxy's address, if it has them."""
    parts = urlsplit(proxy)
    if not parts.username:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return [b"Proxy-Authorization: Basic " + base64.b64encode(pair)]


async def _refuse(writer: asyncio.StreamWriter, status: int, detail: str) -> None:
    """Answers that a call is refused, or failed."""
    body = detail.encode()
    head = [
        f"HTTP/1.1 {status} Refused",
        f"{MARK[0]}: {MARK[1]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    with suppress(OSError):
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
