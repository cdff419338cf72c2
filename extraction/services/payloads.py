"""Checks payloads when they are sent, loads them as they were stored, and checks what their owner may ask for."""

from collections.abc import Mapping
from typing import Any

from extraction.domain.pages_payload import PagesPayload
from extraction.domain.payload import Payload
from extraction.domain.preview_payload import TRIED, PreviewPayload
from extraction.domain.result_formats import PREVIEW, SUGGESTIONS
from extraction.domain.search_payload import ENGINE, SearchPayload
from extraction.domain.single_page_payload import PRODUCT, parse_single_page
from extraction.domain.suggestion_payload import SuggestionPayload
from extraction.engines import engines
from extraction.fetch.browser import why_no_browser
from extraction.models import Process
from extraction.services.credits import AccountLimits, credit_account
from taskhub.errors import Forbidden, invalid

MAY_IGNORE_ROBOTS = "extraction.ignore_robots"


def parse_payload(value: Any, at: str = "", *, single: bool = False, stored: bool = False) -> Payload:
    """Reads the payload of a task, which may be a search, or of a `single` page. What is `stored` was checked before.

    Raises `Rejected` with every fault's place, under `at`.
    """
    if single and value.get(PRODUCT) == PREVIEW:
        return PreviewPayload(parse_task_payload(value.get(TRIED), at, stored=stored))
    if single and value.get(PRODUCT) == SUGGESTIONS:
        return SuggestionPayload.parse(value, at, stored=stored)
    return parse_single_page(value, at, stored=stored) if single else parse_task_payload(value, at, stored=stored)


def parse_task_payload(value: Any, at: str = "", *, stored: bool = False) -> PagesPayload | SearchPayload:
    """Reads the payload of a task, see `parse_payload`."""
    if isinstance(value, Mapping) and ENGINE in value:
        return SearchPayload.parse(value, at, stored=stored, engines=engines())
    return PagesPayload.parse(value, at, stored=stored)


def check_payload(value: Any, owner: Any, at: str = "", *, single: bool = False) -> Payload:
    """Reads a payload, and checks that this user may ask for it. Raises `Rejected` or `Forbidden`."""
    payload = parse_payload(value, at, single=single)
    check_allowed(payload=payload, owner=owner, at=at)
    return payload


def check_allowed(*, payload: Payload, owner: Any, at: str = "") -> None:
    """Raises `Rejected` or `Forbidden` for what this user may not ask for."""
    limits = AccountLimits.of(credit_account(owner.pk))
    for pointer, detail in payload.limit_faults(pages=limits.pages, depth=limits.depth):
        raise invalid(f"{at}{pointer}", detail)
    if payload.needs_chrome and (detail := why_no_browser()):
        raise invalid(f"{at}{payload.TYPE_PLACE}", detail)
    if payload.ignore_robots and not owner.has_perm(MAY_IGNORE_ROBOTS):
        detail = "robots.txt may be ignored by those who have the permission only."
        raise Forbidden(detail, errors=[{"pointer": f"{at}/ignoreRobots", "detail": detail}])


def load_payload(process: Process) -> Payload:
    """Loads the payload of a process as it was stored. Raises `Rejected` where its search engine is gone."""
    return parse_payload(process.payload, single=process.is_single_page, stored=True)


def allowed_payload(process: Process) -> Payload:
    """The payload of a process. Raises `Rejected` or `Forbidden` for what its owner may no longer ask for."""
    payload = load_payload(process)
    check_allowed(payload=payload, owner=process.owner)
    return payload
