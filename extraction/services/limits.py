"""What a user's processes may be: the account's limits, or else those of the settings."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from extraction.domain.payload import Payload
from extraction.fetch.browser import missing
from extraction.models import Account
from extraction.services.credits import account_of
from taskhub.errors import Forbidden, refused

MAY_IGNORE_ROBOTS = "extraction.ignore_robots"


@dataclass(frozen=True)
class Limits:
    pages: int
    depth: int
    seconds: int
    page_bytes: int

    @classmethod
    def of(cls, account: Account) -> "Limits":
        return cls(
            pages=account.max_pages or settings.EXTRACTION_MAX_PAGES,
            depth=account.max_depth or settings.EXTRACTION_MAX_DEPTH,
            seconds=account.max_seconds or settings.EXTRACTION_MAX_SECONDS,
            page_bytes=account.max_page_bytes or settings.EXTRACTION_PAGE_MAX_BYTES,
        )


def check_allowed(*, payload: Payload, owner: Any, at: str = "") -> None:
    """Raises `Rejected` or `Forbidden` for what this user may not ask for."""
    limits = Limits.of(account_of(owner.pk))
    if payload.rule.depth() > limits.depth:
        raise refused(f"{at}/fields", f"Details nest {payload.rule.depth()} deep; {limits.depth} are allowed.")
    if payload.pages and payload.pages > limits.pages:
        raise refused(f"{at}/maxPages", f"Must be at most {limits.pages}.")
    if payload.search and len(payload.search.keywords) * payload.search.pages > limits.pages:
        raise refused(f"{at}/keywords", f"Keywords times pages are more than the {limits.pages} that are allowed.")
    if payload.chrome and (words := missing()):
        raise refused(f"{at}/search_engine" if payload.search else f"{at}/request/type", words)
    if not payload.robots and not owner.has_perm(MAY_IGNORE_ROBOTS):
        detail = "robots.txt may be ignored by those who have the permission only."
        raise Forbidden(detail, errors=[{"pointer": f"{at}/ignoreRobots", "detail": detail}])
