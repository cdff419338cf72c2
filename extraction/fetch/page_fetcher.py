"""Fetches one page: asks politely, as it comes or in a browser, and checks that the answer is a page."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any

from aiohttp import CookieJar
from aiohttp.abc import AbstractCookieJar
from charset_normalizer import from_bytes
from django.conf import settings
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom, resolve_encoding
from yarl import URL

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, may_succeed_later, page_backoff
from extraction.domain.render_job import Pagination, RenderJob
from extraction.fetch.browser import browser_thread
from extraction.fetch.page_renderer import render
from extraction.fetch.politeness import HostLimits, HostSlot, RobotsRules
from taskhub.outbound import Refused, TooMuch, Unreachable, check_url
from taskhub.outbound.client import GateClient, GateRequest, GateResponse
from taskhub.security.masking import is_secret

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.1"
COOKIES_MAX = 200
_GUESSED_BYTES = 32 * 1024  # of a page that does not say in which encoding it is
_TEXTS = ("text/", "application/xhtml", "application/xml")


@dataclass
class FetchedPage:
    """A page that came. `wire` is how many bytes were sent.

    `texts` are several where its list went on in the page itself; `data` is a picture or document that was made of it.
    """

    texts: list[str]
    url: str
    status: int
    wire: int
    data: bytes = b""


class PageFetcher:
    """Fetches the pages of one process. The payload's method and form are those of its first page alone."""

    def __init__(self, client: GateClient, hosts: HostLimits, payload: Payload) -> None:
        self._client, self._hosts, self._payload = client, hosts, payload
        self._robots = RobotsRules(client, hosts, payload.first_request.proxy) if not payload.ignore_robots else None
        self._headers = {"Accept": ACCEPT, **payload.first_request.headers}
        self._secret = frozenset(name.lower() for name in payload.first_request.headers if is_secret(name))

    async def fetch(self, url: str, *, first: bool) -> FetchedPage:
        """Raises `PageFailure`, and `HostBusy` when the host is to be asked later."""
        slot = HostSlot(self._hosts, self._robots, self._payload.delay)
        try:
            await slot.acquire(url)  # before the call: its time has not begun while it waits
            answer = await self._client.call(self._call(url, first), permit=slot.permit, judge=check_answer)
        except Refused as problem:
            raise PageFailure(problem.detail) from None
        except TooMuch as problem:
            raise PageFailure(problem.detail) from None
        except Unreachable as problem:
            raise PageFailure(problem.detail, again=True) from None
        except PageFailure as failure:
            await self._leave_alone(slot.host, failure)
            raise
        finally:
            slot.release()
        text = decode_page(answer.body, answer.headers.get("Content-Type"))
        return FetchedPage([text], answer.url, answer.status, answer.wire)

    async def render(self, url: str, rule: ExtractionRule, *, first: bool) -> FetchedPage:
        """As `fetch`, in a browser."""
        slot = HostSlot(self._hosts, self._robots, self._payload.delay)
        policy = self._client.policy
        try:
            await slot.acquire(url)
            check_url(url, policy)  # the browser's own calls are checked, too; this spares starting it
            rendered = await browser_thread.get().run(render(self._job(url, rule, first), policy, check_answer))
        except Refused as problem:
            raise PageFailure(problem.detail) from None
        except PageFailure as failure:
            await self._leave_alone(slot.host, failure)
            raise
        finally:
            slot.release()
        if self._robots and not await self._robots.allow(rendered.url):
            raise PageFailure("The site's robots.txt forbids where the page leads.")
        if self._client.jar is not None:
            keep_cookies(self._client.jar, rendered.cookies)
        return FetchedPage(rendered.texts, rendered.url, rendered.status, rendered.wire, rendered.data)

    def _job(self, url: str, rule: ExtractionRule, first: bool) -> RenderJob:
        request, payload = self._payload.first_request, self._payload
        return RenderJob(
            url,
            seconds=settings.EXTRACTION_PAGE_SECONDS,
            max_bytes=self._client.policy.max_bytes,
            method=request.method if first else "GET",
            form=request.form if first else {},
            headers=request.headers,
            home=request.url,
            cookies=tuple((domain, path, name, value) for domain, path, name, value in cookies_in(self._client.jar)),
            proxy=request.proxy,
            actions=() if rule.number else tuple(action for action in request.actions if first or action.repeats),
            pagination=_pagination(rule),
            product=payload.product,
            options=payload.options,
            settle=payload.settle,
        )

    def _call(self, url: str, first: bool) -> GateRequest:
        request = self._payload.first_request
        return GateRequest(
            url,
            method=request.method if first else "GET",
            headers=self._headers,
            form=(request.form or None) if first else None,
            proxy=request.proxy,
            secret=self._secret,
            home=request.url,
        )

    async def _leave_alone(self, host: str, failure: PageFailure) -> None:
        """Where the server says that it has too much to do: no worker asks it for a while."""
        if failure.status == 429 or (failure.status == 503 and failure.after):
            await self._hosts.pause(host, page_backoff(1, failure.after))


def _pagination(rule: ExtractionRule) -> Pagination | None:
    if rule.paginator is None:
        return None
    most = settings.EXTRACTION_CHROME_STEPS
    paginator = rule.paginator
    return Pagination(paginator.type, paginator.selector, paginator.attr, min(most, paginator.pages or most))


def check_answer(answer: GateResponse) -> None:
    """Raises `PageFailure` for an answer that is no page."""
    if answer.status >= 300:
        raise PageFailure(
            f"The server answers {answer.status}.",
            again=may_succeed_later(answer.status),
            after=retry_after(answer.headers),
            status=answer.status,
        )
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind and not (kind.startswith(_TEXTS) or kind.endswith("+xml")):
        raise PageFailure(f"It is no page, but {kind[:100]}.", status=answer.status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110, section 10.2.3); None where it is not told."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        until = parsedate_to_datetime(text)
        return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    return None


def decode_page(body: bytes, content_type: str | None) -> str:
    """The text of a page (WHATWG Encoding and HTML standards, as far as they suffice).

    What the byte order mark says holds; then what the header says, the page says, or looks likely: the first in which
    the page can be read. Many servers say Latin-1, in which everything can be read: what is good UTF-8 is that.
    """
    encoding, mark = read_bom(body)
    if encoding and mark:
        return body[len(mark) :].decode(encoding, "replace")
    if b"\x1b" not in body and (text := _strict(body, "utf-8")) is not None:  # ISO-2022-JP hides its letters in ASCII
        return text
    for name in (http_content_type_encoding(content_type), html_body_declared_encoding(body)):
        if name and (text := _strict(body, name)) is not None:
            return text
    return _guessed(body, http_content_type_encoding(content_type) or html_body_declared_encoding(body))


def _strict(body: bytes, encoding: str) -> str | None:
    try:
        return body.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _guessed(body: bytes, declared: str | None) -> str:
    """The text of a page that is broken in every encoding it declares, or declares none."""
    best = None if declared else from_bytes(body[:_GUESSED_BYTES]).best()
    name = declared or resolve_encoding(best.encoding if best else "utf-8") or "utf-8"
    return body.decode(name, "replace")


def jar_with(payload: Payload, kept: list[list[str]]) -> CookieJar:
    """A jar with the user's cookies, for the origin of the first page, and with those that servers set before."""
    jar = CookieJar(unsafe=True)
    jar.update_cookies(dict(payload.first_request.cookies), URL(payload.first_request.url))
    keep_cookies(jar, kept)
    return jar


def keep_cookies(jar: AbstractCookieJar, kept: list[list[str]]) -> None:
    for domain, path, name, value in kept:
        cookies: SimpleCookie = SimpleCookie()
        cookies[name] = value
        cookies[name]["path"] = path
        jar.update_cookies(cookies, URL(f"http://{domain.lstrip('.')}{path}"))


def cookies_in(jar: AbstractCookieJar | None) -> list[list[str]]:
    """[domain, path, name, value] of each cookie, as `keep_cookies` takes them."""
    morsels: list[Morsel[Any]] = [morsel for morsel in jar or () if morsel["domain"]]
    return [[morsel["domain"], morsel["path"] or "/", morsel.key, morsel.value] for morsel in morsels[:COOKIES_MAX]]
