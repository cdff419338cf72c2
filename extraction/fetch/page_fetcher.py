"""Fetches pages, as they come or rendered, and checks that an answer is a page."""

from dataclasses import dataclass
from typing import Any

from charset_normalizer import from_bytes
from django.conf import settings
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom, resolve_encoding

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, may_succeed_later, page_backoff
from extraction.domain.render_job import Pagination, RenderJob
from extraction.fetch.browser import browser_thread
from extraction.fetch.host_limits import HostLimits
from extraction.fetch.page_renderer import render
from extraction.fetch.politeness import HostSlot
from extraction.fetch.robots import RobotsRules
from taskhub.outbound import Refused, TooMuch, Unreachable, check_url
from taskhub.outbound.answers import retry_after
from taskhub.outbound.client import GateClient, GateRequest, GateResponse
from taskhub.security.masking import is_secret

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.1"
_GUESSED_BYTES = 32 * 1024  # of a page that does not say in which encoding it is
_PAGE_TYPES = ("text/", "application/xhtml", "application/xml")


@dataclass
class FetchedPage:
    """A page that was fetched. `wire` is how many bytes were sent.

    `texts` are several where its list goes on in the page itself; `data` is a picture or document of it.
    """

    texts: list[str]
    url: str
    status: int
    wire: int
    data: bytes = b""


class PageFetcher:
    """Fetches the pages of one process of an owner.

    The payload's method and form are those of its first page alone.
    """

    def __init__(self, client: GateClient, hosts: HostLimits, payload: Payload, owner: Any) -> None:
        self._client, self._hosts, self._payload, self._owner = client, hosts, payload, owner
        self._robots = RobotsRules(client, hosts, payload.first_request.proxy) if not payload.ignore_robots else None
        self._headers = {"Accept": ACCEPT, **payload.first_request.headers}
        self._secret = frozenset(name.lower() for name in payload.first_request.headers if is_secret(name))

    async def fetch(self, url: str, *, first: bool) -> FetchedPage:
        """Fetches a page as it comes. Raises `PageFailure`, and `HostBusy` when the host is to be asked later."""
        slot = HostSlot(self._hosts, self._robots, self._payload.delay)
        try:
            await slot.acquire(url)  # before the call: its time has not begun while it waits
            answer = await self._client.call(self._call(url, first), permit=slot.permit, judge=check_answer)
        except Refused as problem:
            raise PageFailure(problem.detail) from None
        except TooMuch as problem:
            raise PageFailure(problem.detail) from None
        except Unreachable as problem:
            raise PageFailure(problem.detail, retry=True) from None
        except PageFailure as failure:
            await self._pause_host(slot.host, failure)
            raise
        finally:
            slot.release()
        text = decode_page(answer.body, answer.headers.get("Content-Type"))
        return FetchedPage([text], answer.url, answer.status, answer.wire)

    async def render(self, url: str, rule: ExtractionRule, *, first: bool) -> FetchedPage:
        """Renders a page in a browser. Raises what `fetch` raises."""
        slot = HostSlot(self._hosts, self._robots, self._payload.delay)
        policy = self._client.policy
        try:
            await slot.acquire(url)
            check_url(url, policy)  # the browser's own calls are checked, too; this spares starting it
            rendered = await browser_thread.get().run(render(self._job(url, rule, first), policy, check_answer))
        except Refused as problem:
            raise PageFailure(problem.detail) from None
        except PageFailure as failure:
            await self._pause_host(slot.host, failure)
            raise
        finally:
            slot.release()
        if self._robots and not await self._robots.allows(rendered.url):
            raise PageFailure("The site's robots.txt forbids where the page leads.")
        self._client.cookies.apply(rendered.cookies)
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
            cookies=tuple(self._client.cookies.cookies()),
            proxy=request.proxy,
            actions=() if rule.number else tuple(action for action in request.actions if first or action.repeats),
            pagination=_pagination(rule),
            product=payload.product,
            options=payload.options,
            settle=payload.settle,
            owner=self._owner,
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

    async def _pause_host(self, host: str, failure: PageFailure) -> None:
        """Keeps all workers from a host for a while, if its answer says that it is overloaded."""
        if failure.status == 429 or (failure.status == 503 and failure.retry_after):
            await self._hosts.pause(host, page_backoff(1, failure.retry_after))


def _pagination(rule: ExtractionRule) -> Pagination | None:
    """How the list of a page is shown further in the page itself, within the limit of steps."""
    if rule.paginator is None:
        return None
    max_steps = settings.EXTRACTION_CHROME_STEPS
    paginator = rule.paginator
    return Pagination(paginator.type, paginator.selector, paginator.attr, min(max_steps, paginator.pages or max_steps))


def check_answer(answer: GateResponse) -> None:
    """Raises `PageFailure` for an answer that is no page."""
    if answer.status >= 300:
        raise PageFailure(
            f"The server answers {answer.status}.",
            retry=may_succeed_later(answer.status),
            retry_after=retry_after(answer.headers),
            status=answer.status,
        )
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind and not (kind.startswith(_PAGE_TYPES) or kind.endswith("+xml")):
        raise PageFailure(f"It is no page, but {kind[:100]}.", status=answer.status)


def decode_page(body: bytes, content_type: str | None) -> str:
    """Decodes the text of a page (WHATWG Encoding and HTML standards, as far as they suffice).

    The encoding is that of the byte order mark; or the first in which the page can be decoded of UTF-8, the header's,
    the page's own, and the likeliest. UTF-8 comes first since many servers say Latin-1, in which all bytes decode.
    """
    encoding, mark = read_bom(body)
    if encoding and mark:
        return body[len(mark) :].decode(encoding, "replace")
    if (
        b"\x1b" not in body and (text := _decode_strictly(body, "utf-8")) is not None
    ):  # ISO-2022-JP hides its letters in ASCII
        return text
    for name in (http_content_type_encoding(content_type), html_body_declared_encoding(body)):
        if name and (text := _decode_strictly(body, name)) is not None:
            return text
    return _guess(body, http_content_type_encoding(content_type) or html_body_declared_encoding(body))


def _decode_strictly(body: bytes, encoding: str) -> str | None:
    try:
        return body.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _guess(body: bytes, declared: str | None) -> str:
    """The text of a page that is broken in every encoding it declares, or declares none."""
    best = None if declared else from_bytes(body[:_GUESSED_BYTES]).best()
    name = declared or resolve_encoding(best.encoding if best else "utf-8") or "utf-8"
    return body.decode(name, "replace")
