"""A client for many requests at once behind the gate: aiohttp, made to connect to checked addresses only.

    async with GateClient() as client:
        answer = await client.get("https://example.com/")

Redirects are followed here, each address checked anew; bodies are decompressed piece by piece, within
`Policy.max_bytes`. Raises `Refused`, `Unreachable` and `TooMuch`, as `Session` does.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from taskhub.errors import Problem, Rejected, TooLarge, UnsupportedMedia
from taskhub.outbound.answer_bodies import AnswerBody
from taskhub.outbound.answer_heads import ContradictoryLength, GateConnector, OversizedHead
from taskhub.outbound.answers import HEADER_MAX_BYTES, HEADERS_MAX, redirect_address
from taskhub.outbound.cookie_store import CookieStore
from taskhub.outbound.errors import Refused, TooMuch, Unreachable
from taskhub.outbound.names import Resolver, resolve, system_resolver
from taskhub.outbound.policy import Policy, Target, check_proxy, check_url, configured_policy
from taskhub.outbound.session import CREDENTIALS, USER_AGENT
from taskhub.outbound.socks import SocksConnector, is_socks

ACCEPTED = "gzip, deflate, br, zstd"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DNS_SECONDS = 30
_LOOKUPS = 8  # names that are resolved at once; a slow name server holds a thread

_MEANINGS: list[tuple[type[BaseException], type[Problem], str]] = [
    (aiohttp.ClientConnectorCertificateError, Unreachable, "shows a certificate that is not valid for it"),
    (ssl.SSLError, Unreachable, "does not agree on TLS"),
    (aiohttp.ClientProxyConnectionError, Unreachable, "is not reached through the proxy"),
    (aiohttp.ClientHttpProxyError, Unreachable, "is not reached through the proxy"),
    (aiohttp.ConnectionTimeoutError, Unreachable, "did not answer within {policy.connect_timeout:.3g} seconds"),
    (TimeoutError, Unreachable, "sent nothing for {policy.read_timeout:.3g} seconds"),
    (aiohttp.ServerDisconnectedError, Unreachable, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, Unreachable, "ended its answer early"),
    (aiohttp.InvalidURL, Refused, "has an address that cannot be called"),
    (OversizedHead, TooMuch, "answers with headers that are too long"),
    (ContradictoryLength, Unreachable, "contradicts itself about the length of its answer"),
    (aiohttp.ClientConnectionError, Unreachable, "broke the connection off"),
    (aiohttp.ClientResponseError, Unreachable, "does not answer in HTTP"),
    (OSError, Unreachable, "broke the connection off"),
]


@dataclass
class GateResponse:
    """The final response of a call. `url` is where it came from; `wire` counts its bytes as they were sent."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    wire: int = 0


@dataclass
class GateRequest:
    """One request. `secret` headers go to the origin of `home` (by default of `url`) and to no other.

    An answer with more than `max_bytes` raises `TooMuch`, or is cut off where the request says so. A `sink` gets the
    body of the last answer piece by piece, as it comes; then the response has none.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    proxy: str = ""
    secret: frozenset[str] = frozenset()
    home: str = ""
    max_bytes: int | None = None
    cut_off: bool = False
    sink: Callable[[bytes], object] | None = None


#: Asked before each hop of a call: the address, and how many redirects led there. What it raises ends the call.
Permit = Callable[[str, int], Any]
#: Asked when the headers of the last answer are there, before its body is read. What it raises ends the call.
Judge = Callable[[GateResponse], None]


class GateResolver(AbstractResolver):
    """Resolves names for aiohttp, to addresses that the gate lets through; aiohttp connects to nothing else."""

    def __init__(self, policy: Policy, resolver: Resolver) -> None:
        self._policy, self._resolver = policy, resolver
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(
            self._threads, lambda: resolve(host, port, self._policy, resolver=self._resolver)
        )
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def lookup(self, target: Target) -> list[str]:
        """The addresses of a target, all of which may be called. Raises `Refused` and `Unreachable`."""
        return [result["host"] for result in await self.resolve(str(target.host), target.port)]

    async def close(self) -> None:
        self._threads.shutdown(wait=False)


class GateClient:
    """Makes requests of one user: it keeps connections, and cookies in a store. `limit` is of connections at once."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        resolver: Resolver = system_resolver,
        limit: int = 16,
        cookies: CookieStore | None = None,
    ) -> None:
        self.policy = policy or configured_policy()
        self._resolver, self._limit = GateResolver(self.policy, resolver), limit
        self.cookies = cookies or CookieStore()

    async def __aenter__(self) -> Self:
        self._sessions: dict[str, aiohttp.ClientSession] = {}  # by the SOCKS proxy that they go through, or none
        return self

    def _session_through(self, proxy: str) -> aiohttp.ClientSession:
        """The session whose connections go through a SOCKS proxy; without one, those that go straight."""
        if proxy not in self._sessions:
            self._sessions[proxy] = self._new_session(proxy)
        return self._sessions[proxy]

    def _new_session(self, proxy: str) -> aiohttp.ClientSession:
        options: dict[str, Any] = {
            "resolver": self._resolver,
            "limit": self._limit,
            "ttl_dns_cache": DNS_SECONDS,
        }
        if proxy:
            options |= {"proxy": proxy, "policy": self.policy, "lookup": self._resolver.lookup}
        return aiohttp.ClientSession(
            connector=SocksConnector(**options) if proxy else GateConnector(**options),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPTED},
            max_line_size=HEADER_MAX_BYTES,
            max_field_size=HEADER_MAX_BYTES,
            max_headers=HEADERS_MAX,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.policy.connect_timeout, sock_read=self.policy.read_timeout
            ),
        )

    async def __aexit__(self, *_: Any) -> None:
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()

    async def get(self, url: str, **options: Any) -> GateResponse:
        return await self.call(GateRequest(url, **options))

    async def call(
        self, call: GateRequest, *, permit: Permit | None = None, judge: Judge | None = None
    ) -> GateResponse:
        """Makes a request, and follows redirects, within `Policy.total_timeout`; the last answer."""
        target = check_url(call.url, self.policy)
        try:
            async with asyncio.timeout(self.policy.total_timeout):
                return await self._follow(call, target, permit, judge)
        except TimeoutError:
            raise Unreachable(f"{target} took longer than {self.policy.total_timeout:.3g} seconds.") from None

    async def _follow(
        self, call: GateRequest, target: Target, permit: Permit | None, judge: Judge | None
    ) -> GateResponse:
        """Calls `target`, where the request's address leads; then where redirects lead, each checked anew."""
        home = check_url(call.home, self.policy) if call.home else target
        for hop in range(self.policy.max_redirects + 1):
            if hop:
                target = check_url(call.url, self.policy)
            if permit:
                await permit(call.url, hop)
            answer = await self._hop(call, target, home, judge)
            if answer.status not in REDIRECTS or "Location" not in answer.headers:
                return answer
            try:
                location = answer.headers["Location"].encode("utf-8", "surrogateescape")
                call = replace(call, url=redirect_address(call.url, location))
            except ValueError:
                raise Refused(f"{target} redirects in a way that cannot be followed.") from None
            if answer.status == 303 or (answer.status in {301, 302} and call.method == "POST"):
                call = replace(call, method="GET", body=None, headers=_without_type(call.headers))
        raise TooMuch(f"{home} redirects more than {self.policy.max_redirects} times.")

    async def _hop(self, call: GateRequest, target: Target, home: Target, judge: Judge | None) -> GateResponse:
        address = _checked_address(call.url, target)
        headers = call.headers
        if target != home:
            secret = CREDENTIALS | call.secret
            headers = {name: value for name, value in headers.items() if name.lower() not in secret}
        headers = self._with_cookies(headers, call.url)
        socks = call.proxy if is_socks(call.proxy) else ""
        proxy = await self._proxy(call.proxy, target) if call.proxy and not socks else None
        try:
            async with self._session_through(socks).request(
                call.method, address, headers=headers, data=call.body, proxy=proxy, allow_redirects=False
            ) as response:
                answer = GateResponse(response.status, call.url, response.headers)
                if "Set-Cookie" in response.headers:
                    self.cookies.receive(call.url, response.headers.getall("Set-Cookie"))
                if response.status in REDIRECTS and "Location" in response.headers:
                    return answer
                if judge:
                    judge(answer)
                await self._read(response, answer, call, target)
                return answer
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _problem_of(error, target, self.policy) from None

    def _with_cookies(self, headers: Mapping[str, str], url: str) -> Mapping[str, str]:
        """Headers with the cookies for an address, behind those that were given as a header."""
        if not (kept := self.cookies.header_for(url)):
            return headers
        given = [value for name, value in headers.items() if name.lower() == "cookie"]
        others = {name: value for name, value in headers.items() if name.lower() != "cookie"}
        return others | {"Cookie": "; ".join([*given, kept])}

    async def _proxy(self, proxy: str, target: Target) -> URL:
        """Checks the proxy's address as any other, and resolves the target's name, as the proxy will, too."""
        check_proxy(proxy, self.policy)
        await self._resolver.resolve(str(target.host), target.port)
        try:
            return URL(proxy)
        except ValueError as error:
            raise Refused(f"The proxy's address cannot be read: {error}") from None

    async def _read(
        self, response: aiohttp.ClientResponse, answer: GateResponse, call: GateRequest, target: Target
    ) -> None:
        limit = call.max_bytes or self.policy.max_bytes
        if not call.cut_off and (response.content_length or 0) > limit:
            raise TooMuch(f"{target} answers with more than {limit} bytes.")
        if response.content_length is not None and not (call.sink or call.cut_off or _encoding_of(response)):
            answer.body = await response.content.read()  # it is no longer than it says
            answer.wire = len(answer.body)
            return
        body = _answer_body(response, limit, target)
        pieces: list[bytes] = []
        keep = call.sink or pieces.append
        try:
            async for chunk in response.content.iter_any():
                for piece in body.feed(chunk):
                    keep(piece)
            if not _tells_its_end(response):
                body.finish()  # else it ends where it says, and what is missing is the server's own affair
        except TooLarge:
            if not call.cut_off:
                raise TooMuch(f"{target} answers with more than {limit} bytes.") from None
        except Rejected as problem:
            raise Unreachable(f"{target} answers in an encoding that it breaks. {problem.detail}") from None
        finally:
            body.close()
        answer.body, answer.wire = b"".join(pieces), body.bytes_in


def _without_type(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers without that of a body, which is not sent on."""
    return {name: value for name, value in headers.items() if name.lower() != "content-type"}


def _checked_address(url: str, target: Target) -> URL:
    """The address as aiohttp reads it. Raises `Refused` where that is another server than the checked `target`."""
    try:
        address = URL(url, encoded=True)
        host, port = address.host, address.port
    except ValueError:
        raise Refused("The address cannot be written as HTTP.") from None
    if str(target.host) != (host or "").rstrip(".").lower() and str(target.host) != URL(url).raw_host:
        raise Refused("The address names its host in a way that can be read as another.")
    if port != target.port:
        raise Refused("The address names its port in a way that can be read as another.")
    return address


def _answer_body(response: aiohttp.ClientResponse, limit: int, target: Target) -> AnswerBody:
    try:
        return AnswerBody(_encoding_of(response), limit)
    except UnsupportedMedia:
        raise Unreachable(f"{target} answers in an encoding that is not read.") from None


def _encoding_of(response: aiohttp.ClientResponse) -> str:
    return ",".join(response.headers.getall("Content-Encoding", ()))


def _tells_its_end(response: aiohttp.ClientResponse) -> bool:
    """Whether a connection that breaks off is noticed; else a body ends with the connection (RFC 9112, 6.3)."""
    return response.content_length is not None or "Transfer-Encoding" in response.headers


def _problem_of(error: BaseException, target: Target, policy: Policy) -> Problem:
    """The problem that an error of aiohttp's stands for."""
    cause: BaseException | None = error
    while cause:  # what the gate raised, aiohttp wraps
        if isinstance(cause, Problem):
            return cause
        cause = cause.__cause__ or cause.__context__
    for kind, problem, meaning in _MEANINGS:
        if isinstance(error, kind):
            return problem(f"{target} {meaning.format(policy=policy)}.")
    return Refused(f"The request to {target} cannot be written as HTTP.")
