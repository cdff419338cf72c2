"""What an answer to a request for a page is: a page or not, packed, or leading on to another."""

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_refresh import meta_refresh_target, refresh_target
from extraction.domain.page_sources import JSON, XML, is_json_type
from extraction.domain.process_status import PageFailure, may_succeed_later
from extraction.domain.sitemaps import SITEMAP_RULE
from extraction.fetch.page_text import is_text, media_type, says_nothing
from taskhub.errors import Rejected, TooLarge
from taskhub.outbound.answer_bodies import AnswerBody
from taskhub.outbound.answers import redirect_address, retry_after
from taskhub.outbound.client import GateResponse

PAGES, DATA, ANYTHING = "pages", "data", "anything"  # kinds of answers that are taken
GZIP_MARK = b"\x1f\x8b"
SITEMAP_BYTES = 50 * 1024 * 1024  # as sitemaps.org allows
_PAGE_TYPES = ("text/", "application/xhtml", "application/xml")


def unpack_sitemap(body: bytes) -> bytes:
    """A sitemap, which may be packed by gzip. Raises `PageFailure`."""
    if not body.startswith(GZIP_MARK):
        return body
    unpacking = AnswerBody("gzip", SITEMAP_BYTES)
    try:
        pieces = list(unpacking.feed(body))
        unpacking.finish()
        return b"".join(pieces)
    except TooLarge:
        raise PageFailure(f"The sitemap has more than {SITEMAP_BYTES} bytes.") from None
    except Rejected as problem:
        raise PageFailure(f"The sitemap is packed in a way that is broken. {problem.detail}") from None
    finally:
        unpacking.close()


def kinds_of(rule: ExtractionRule) -> str:
    """Which answers a rule can read: one that says how it reads asks no server for that."""
    if rule.kind in {JSON, XML} or rule.number == SITEMAP_RULE:
        return ANYTHING
    return PAGES if rule.kind else DATA


def check_answer(answer: GateResponse, *, kinds: str = PAGES) -> None:
    """Raises `PageFailure` for an answer that is no page, of HTML or XML; with `kinds`, nor JSON, or of any type."""
    if answer.status >= 300:
        raise PageFailure(
            f"The server answers {answer.status}.",
            retry=may_succeed_later(answer.status),
            retry_after=retry_after(answer.headers),
            status=answer.status,
        )
    kind = media_type(answer.headers.get("Content-Type", ""))
    is_page = kind.startswith(_PAGE_TYPES) or kind.endswith("+xml") or says_nothing(kind)
    if not (is_page or kinds == ANYTHING or (kinds == DATA and is_json_type(kind))):
        raise PageFailure(f"It is no page, but {kind[:100]}.", status=answer.status)


def check_body(answer: GateResponse) -> None:
    """Raises `PageFailure` for an answer whose type says nothing, and whose bytes are no text."""
    kind = media_type(answer.headers.get("Content-Type", ""))
    is_told = kind.startswith(_PAGE_TYPES) or kind.endswith("+xml") or is_json_type(kind)
    if not is_told and not is_text(answer.body):
        raise PageFailure(f"It is no page, but {kind[:100] or 'data without a type'}.", status=answer.status)


def refresh_address(answer: GateResponse, text: str) -> str | None:
    """Where a page leads to in a moment, by its header `Refresh` or as it says itself; None for nowhere else."""
    target = refresh_target(answer.headers.get("Refresh", "")) or meta_refresh_target(text)
    if target is None:
        return None
    try:
        url = redirect_address(answer.url, target.encode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    is_page = url[:5].lower() == "http:" or url[:6].lower() == "https:"
    return url if is_page and url != answer.url.partition("#")[0] else None
