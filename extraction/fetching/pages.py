"""One page: asked for politely, and judged."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from aiohttp import CookieJar
from yarl import URL

from extraction.domain.decoding import decoded
from extraction.domain.payload import Payload
from extraction.domain.status import Failure, backoff, may_succeed_later
from extraction.fetching.hosts import Host, Hosts
from extraction.fetching.robots import Robots
from taskhub.outbound import Refused, TooMuch, Unreachable
from taskhub.outbound.client import Answer, Call, Client
from taskhub.secrets import is_secret

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.1"
COOKIES_MAX = 200
_TEXTS = ("text/", "application/xhtml", "application/xml")


@dataclass
class Fetched:
    """A page that came. `wire` are its bytes as they were sent."""

    text: str
    url: str
    status: int
    wire: int


class Pages:
    """Asks for the pages of one process. Only the first is asked for with the payload's method and form."""

    def __init__(self, client: Client, hosts: Hosts, payload: Payload) -> None:
        self._client, self._hosts, self._payload = client, hosts, payload
        self._robots = Robots(client, hosts, payload.request.proxy) if payload.robots else None
        self._headers = {"Accept": ACCEPT, **payload.request.headers}
        self._secret = frozenset(name.lower() for name in payload.request.headers if is_secret(name))

    async def fetch(self, url: str, *, first: bool) -> Fetched:
        """Raises `Failure`, and `hosts.Later` when its host is to be asked later."""
        visit = _Visit(self._hosts, self._robots, self._payload.delay)
        try:
            await visit.enter(url)  # while it waits for its place, its own time has not begun
            answer = await self._client.call(self._call(url, first), permit=visit.permit, judge=judge)
        except Refused as problem:
            raise Failure(problem.detail) from None
        except TooMuch as problem:
            raise Failure(problem.detail) from None
        except Unreachable as problem:
            raise Failure(problem.detail, again=True) from None
        except Failure as failure:
            await self._heed(visit.host, failure)
            raise
        finally:
            visit.leave()
        return Fetched(decoded(answer.body, answer.headers.get("Content-Type")), answer.url, answer.status, answer.wire)

    def _call(self, url: str, first: bool) -> Call:
        request = self._payload.request
        return Call(
            url,
            method=request.method if first else "GET",
            headers=self._headers,
            form=(request.form or None) if first else None,
            proxy=request.proxy,
            secret=self._secret,
            home=request.url,
        )

    async def _heed(self, host: str, failure: Failure) -> None:
        """A server that says it has too much to do is left alone by all."""
        if failure.status == 429 or (failure.status == 503 and failure.after):
            await self._hosts.pause(host, backoff(1, failure.after))


class _Visit:
    """The places that one call holds: at one host at a time."""

    def __init__(self, hosts: Hosts, robots: Robots | None, delay: float) -> None:
        self._hosts, self._robots, self._delay = hosts, robots, delay
        self._held: Host | None = None
        self.host = ""

    async def permit(self, url: str, hop: int) -> None:
        """Where a redirect leads, the rules and the place are another's."""
        if hop:
            await self.enter(url)

    async def enter(self, url: str) -> None:
        if self._robots and not await self._robots.allows(url):
            raise Failure("The site's robots.txt forbids it.")
        self.leave()
        self.host = urlsplit(url).netloc.rpartition("@")[2].lower()
        if self._delay:
            self._hosts.slow_down(self.host, self._delay)
        self._held = await self._hosts.enter(self.host)

    def leave(self) -> None:
        if self._held:
            self._hosts.leave(self._held)
            self._held = None


def judge(answer: Answer) -> None:
    """Raises `Failure` for an answer that is no page."""
    if answer.status >= 300:
        raise Failure(
            f"The server answers {answer.status}.",
            again=may_succeed_later(answer.status),
            after=retry_after(answer.headers),
            status=answer.status,
        )
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind and not (kind.startswith(_TEXTS) or kind.endswith("+xml")):
        raise Failure(f"It is no page, but {kind[:100]}.", status=answer.status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110, section 10.2.3); None where it is not told."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        until = parsedate_to_datetime(text)
        return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    return None


def jar_with(payload: Payload, kept: list[list[str]]) -> CookieJar:
    """The user's cookies, for the origin of the first page, and those that servers asked to keep."""
    jar = CookieJar(unsafe=True)
    jar.update_cookies(dict(payload.request.cookies), URL(payload.request.url))
    for domain, path, name, value in kept:
        cookies: SimpleCookie = SimpleCookie()
        cookies[name] = value
        cookies[name]["path"] = path
        jar.update_cookies(cookies, URL(f"http://{domain}{path}"))
    return jar


def cookies_in(jar: CookieJar) -> list[list[str]]:
    """As `jar_with` takes them."""
    cookies: list[Morsel[Any]] = list(jar)
    return [[one["domain"], one["path"] or "/", one.key, one.value] for one in cookies if one["domain"]][:COOKIES_MAX]
