"""A `requests` session behind the gate."""

import http.client
import re
import ssl
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import (
    get_encoding_from_headers,
    prepend_scheme_if_needed,
    select_proxy,
    stream_decode_response_unicode,
)
from urllib3 import Timeout as PoolTimeout
from urllib3 import exceptions as urllib3_errors

from taskhub import __version__
from taskhub.errors import Problem
from taskhub.interruption import before_waiting
from taskhub.outbound.answers import escaped_address
from taskhub.outbound.connections import POOLS, Clock, Exchange, Timeout, current
from taskhub.outbound.errors import Refused, TimedOut, TooMuch, Unreachable
from taskhub.outbound.names import Resolver, resolve, system_resolver
from taskhub.outbound.policy import Policy, Target, check_characters, check_url, configured_policy
from taskhub.telemetry.spans import span

USER_AGENT = f"taskhub/{__version__}"
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
TRACEPARENT = "traceparent"
CREDENTIALS = frozenset({"authorization", "cookie", "x-api-key"})

CONNECTIONS_MAX = 100  # to one server, that stay open between calls of several threads
POOL_KEYS_MAX = 1000
_CHUNK = 64 * 1024
# An address that requests leaves as it is, when it has read it, taken it to pieces and put it together again.
PLAIN_ADDRESS = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*(?::[1-9][0-9]{0,4})?"
    r"(?:/(?:[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_~!$&'()*+,;=:@.-]*+)?)++(?:\?[A-Za-z0-9_~!$&'()*+,;=:@./?-]+)?"
)

# What requests and urllib3 raise, by the innermost cause that is listed here; the first line that fits speaks.
_MEANINGS: list[tuple[type[BaseException], type[Problem], str]] = [
    (ssl.SSLCertVerificationError, Unreachable, "shows a certificate that is not valid for it"),
    (ssl.SSLError, Unreachable, "does not agree on TLS"),
    (urllib3_errors.ProxyError, Unreachable, "is not reached through the proxy"),
    (TimeoutError, TimedOut, "did not answer within {seconds:.3g} seconds"),
    (http.client.RemoteDisconnected, Unreachable, "closed the connection without an answer"),
    (http.client.BadStatusLine, Unreachable, "does not answer in HTTP"),
    (http.client.UnknownProtocol, Unreachable, "does not answer in HTTP"),
    (http.client.LineTooLong, TooMuch, "answers with a line that is too long"),
    (http.client.IncompleteRead, Unreachable, "ended its answer early"),
    (urllib3_errors.DecodeError, Unreachable, "answers in an encoding that it breaks"),
    (urllib3_errors.InvalidHeader, Unreachable, "contradicts itself about the length of its answer"),
    (http.client.HTTPException, TooMuch, "answers with too many headers"),
    (urllib3_errors.ProtocolError, Unreachable, "broke the connection off"),
    (OSError, Unreachable, "broke the connection off"),
]


class Response(requests.Response):
    """An answer of `Session`, whose body is limited however it is read, `raw` excepted."""

    exchange: Exchange

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        # None would unpack a whole body at once, before it can be measured.
        chunks = self._limited(super().iter_content(min(chunk_size or _CHUNK, self.exchange.policy.max_bytes + 1)))
        return stream_decode_response_unicode(chunks, self) if decode_unicode else chunks  # type: ignore[no-untyped-call]

    def read_whole(self) -> None:
        """Reads the body: at once where its length is told and it is not packed, else part by part."""
        length = self.raw.length_remaining
        if not length or length > self.exchange.policy.max_bytes or "content-encoding" in self.raw.headers:
            self.content  # noqa: B018 (reads it)
            return
        try:
            self._content = self.raw.read()
        except urllib3_errors.HTTPError as error:
            self.close()
            raise _problem_of(error, self.exchange.target, self.exchange.clock.read) from None
        self._content_consumed = True

    def _limited(self, chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
        limit = self.exchange.policy.max_bytes
        if (self.raw.length_remaining or 0) > limit:
            raise self._too_much()  # as it announces; not even begun
        try:
            for chunk in chunks:
                limit -= len(chunk)
                if limit < 0:
                    raise self._too_much()
                yield chunk
        except (requests.RequestException, urllib3_errors.HTTPError) as error:
            self.close()
            raise _problem_of(error, self.exchange.target, self.exchange.clock.read) from None

    def _too_much(self) -> TooMuch:
        self.close()
        return TooMuch(f"{self.exchange.target} answers with more than {self.exchange.policy.max_bytes} bytes.")


class Adapter(HTTPAdapter):
    """Checks each address that is called, and connects through gated connections."""

    def __init__(self, policy: Policy, resolver: Resolver) -> None:
        self.policy, self.resolver = policy, resolver
        self._pool_keys: dict[Target, tuple[Any, dict[str, Any]]] = {}
        super().__init__(pool_maxsize=CONNECTIONS_MAX)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, *, timeout: Clock, proxies: Any = None, **options: Any
    ) -> requests.Response:
        target = check_url(request.url or "", self.policy)
        before_waiting()
        token = current.set(Exchange(self.policy, self.resolver, target, timeout))
        try:
            if proxies:
                self._check_proxy(request.url or "", proxies)
            elif options["verify"] is True and options["cert"] is None:
                return self._send_directly(request, target, timeout)
            return super().send(request, timeout=(timeout.connect, timeout.read), proxies=proxies, **options)
        except (requests.RequestException, urllib3_errors.HTTPError, ValueError) as error:
            raise _problem_of(error, target, timeout.connect) from None
        finally:
            current.reset(token)

    def _send_directly(self, request: Any, target: Target, clock: Clock) -> Response:
        """Does what requests does for a request without a proxy, but looks at its address once."""
        if (known := self._pool_keys.get(target)) is None:
            host, options = self.build_connection_pool_key_attributes(request, True)
            context = self.poolmanager.connection_pool_kw | host | options | {"port": target.port}
            if len(self._pool_keys) >= POOL_KEYS_MAX:
                self._pool_keys.clear()
            known = self._pool_keys[target] = self.poolmanager.key_fn_by_scheme[target.scheme](context), context
        pool: Any = self.poolmanager.connection_from_pool_key(*known)
        self.cert_verify(pool, request.url, True, None)  # type: ignore[no-untyped-call]
        raw = pool.urlopen(
            request.method,
            request.path_url,
            body=request.body,
            headers=request.headers,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            retries=self.max_retries,
            timeout=PoolTimeout(connect=clock.connect, read=clock.read),
            chunked=not (request.body is None or "Content-Length" in request.headers),
        )
        return self.build_response(request, raw)

    def _check_proxy(self, url: str, proxies: Any) -> None:
        """Resolves the target's name, as the proxy will; its own address is resolved when it is connected to."""
        if proxy := select_proxy(url, proxies):
            proxy = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
            check_url(proxy, self.policy, userinfo=True)
            exchange = current.get()
            host, port = str(exchange.target.host), exchange.target.port
            timeout = min(exchange.clock.connect, exchange.left())
            resolve(host, port, self.policy, resolver=self.resolver, timeout=timeout)

    def build_response(self, request: requests.PreparedRequest, raw: Any) -> Response:
        response = Response()
        response.exchange, response.request, response.connection = current.get(), request, self
        response.raw, response.status_code, response.reason = raw, raw.status, raw.reason
        response.headers = CaseInsensitiveDict(raw.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.url = request.url or ""
        if "set-cookie" in raw.headers:
            extract_cookies_to_jar(response.cookies, request, raw)  # type: ignore[no-untyped-call]
        return response


class Session(requests.Session):
    """A session of requests that reads nothing from the environment, keeps to `policy` (by default that of the
    settings) and raises `Refused`, `Unreachable` and `TooMuch` only, while calling and while a body is read.

    It is requests' session otherwise: `timeout`, `allow_redirects=False`, `proxies`, `stream` and `verify` are a call's
    own. It keeps cookies, so people do not share one. Credentials, and the headers named by `secret_headers`, go to the
    origin that was called and to no other that it redirects to.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        resolver: Resolver = system_resolver,
        secret_headers: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.policy = policy or configured_policy()
        self.secret_headers = CREDENTIALS.union(secret_headers)
        self.trust_env = False
        self.headers["User-Agent"] = USER_AGENT
        self._own_headers, self._no_cookies = dict(self.headers), RequestsCookieJar()
        self.adapters.clear()
        self.mount("", Adapter(self.policy, resolver))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        check_characters(str(request.url))  # requests would escape them and call something else
        try:
            return super().prepare_request(request)
        except requests.exceptions.InvalidHeader:
            raise Refused("A header has characters that no header can have.") from None
        except (requests.RequestException, ValueError):
            raise Refused("The address or the body cannot be written as HTTP.") from None

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: Timeout = None,
        seconds: float | None = None,
        follow_redirects: bool = True,
    ) -> requests.Response:
        """Does what `request` does in half its time, for callers with a whole address, headers and bytes.

        `seconds` are for the whole call, redirects included, within the policy's.
        """
        check_characters(url)
        request: Any = requests.PreparedRequest()
        try:
            request.prepare_method(method)
            if PLAIN_ADDRESS.fullmatch(url):
                request.url = url
            else:
                request.prepare_url(url, None)
            request.prepare_headers({**self._own_headers, **headers})
        except requests.exceptions.InvalidHeader:
            raise Refused("A header has characters that no header can have.") from None
        except (requests.RequestException, ValueError):
            raise Refused("The address cannot be written as HTTP.") from None
        if body is not None or method not in BODILESS:
            request.headers["Content-Length"] = str(len(body or b""))
        request.body, request._cookies = body, self._no_cookies
        request.prepare_hooks({})
        clock = Clock.start(self.policy, timeout, seconds)
        return self.send(request, timeout=clock, proxies={}, allow_redirects=follow_redirects)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        timeout = options.get("timeout")
        options["timeout"] = timeout if isinstance(timeout, Clock) else Clock.start(self.policy, timeout)
        options = {"stream": self.stream, "verify": self.verify, "cert": self.cert, "proxies": self.proxies} | options
        follow = options.pop("allow_redirects", True)
        is_traced = TRACEPARENT not in request.headers  # else that of the caller is sent
        response = self._hop(request, options, is_traced)
        history: list[requests.Response] = []
        while follow and (onward := response.next):
            history.append(response)
            if len(history) > self.policy.max_redirects:
                raise TooMuch(f"{_origin(request, self.policy)} redirects more than {self.policy.max_redirects} times.")
            if _origin(onward, self.policy) != _origin(request, self.policy):
                for name in self.secret_headers:
                    onward.headers.pop(name, None)
            response = self._hop(onward, options, is_traced)
        response.history = history
        return response

    def get_redirect_target(self, response: requests.Response) -> str | None:
        """Where an answer redirects to; requests takes a `Location` in UTF-8 only."""
        location = response.headers["location"] if response.is_redirect else None
        return None if location is None else escaped_address(location.encode("latin-1"))

    def _hop(self, request: requests.PreparedRequest, options: dict[str, Any], is_traced: bool) -> requests.Response:
        """One request, in a span of its own. That has no path or query, which may hold secrets."""
        method = request.method or ""
        with span(method, "CLIENT") as hop_span:
            if is_traced and hop_span.traceparent:
                request.headers[TRACEPARENT] = hop_span.traceparent
            if hop_span.is_recorded:
                origin = _origin(request, self.policy)
                hop_span.describe(
                    http__request__method=method, server__address=str(origin.host), server__port=origin.port
                )
            try:
                response = self._exchange(request, options)
            except (requests.RequestException, urllib3_errors.HTTPError, ValueError):
                raise Refused(f"{_origin(request, self.policy)} redirects in a way that cannot be followed.") from None
            hop_span.describe(http__response__status_code=response.status_code)
            if response.status_code >= 400:
                hop_span.fail(str(response.status_code))
            return response

    def _exchange(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        """One request and its answer, without the hooks and measurements of requests' own `send`."""
        response: Any = self.get_adapter(cast(str, request.url)).send(request, **options)
        if "set-cookie" in response.headers:
            extract_cookies_to_jar(self.cookies, request, response.raw)  # type: ignore[no-untyped-call]
        if response.is_redirect:
            onward = self.resolve_redirects(response, request, yield_requests=True, **options)
            response._next = next(onward, None)
        if not options["stream"]:
            response.read_whole()
        return cast(requests.Response, response)


def _origin(request: requests.PreparedRequest, policy: Policy) -> Target:
    return check_url(cast(str, request.url), policy)


def _problem_of(error: BaseException, target: Target, seconds: float) -> Problem:
    """The problem that an error of requests' or urllib3's stands for; `seconds` is the time-out that may be over."""
    causes = list(_causes(error))
    for kind, problem, meaning in _MEANINGS:
        if any(isinstance(cause, kind) for cause in causes):
            return problem(f"{target} {meaning.format(seconds=seconds)}.")
    return Refused(f"The request to {target} cannot be written as HTTP.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
