"""Decides what comes of an answer: whether it is what was expected, asked for again, or one page of several."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

from sequences.domain.blocks import Block
from sequences.domain.errors import BudgetExceeded, ResponseFailure, status_failure
from sequences.domain.exchange import SendFailed, StepRecord, StepResponse
from sequences.domain.json_values import ValueTooLarge, kind, weigh
from sequences.domain.steps import REPEATABLE, Expect, Paginate, Retry, Until

_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;,="]+\s*(?:=\s*(?:"(?:[^"\\]++|\\.)*+"|[^\s;,"]*))?)*+)')
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?=\s|;|$))', re.IGNORECASE)


@contextmanager
def seeing(block: Block, value: Any) -> Iterator[None]:
    """Within it `$` is `value`."""
    before, block.current = block.current, value
    try:
        yield
    finally:
        block.current = before


def answer_value(response: StepResponse, duration_ms: int) -> dict[str, Any]:
    """What `^` stands for."""
    return {
        "status": response.status,
        "headers": dict(response.headers),
        "url": response.url,
        "duration_ms": duration_ms,
    }


def check_response(response: StepResponse, expect: Expect | None, block: Block) -> None:
    """Raises `StepFailure` for an answer that is an error, or not what was expected."""
    if expect is None or expect.statuses is None:
        if response.status >= 400:
            raise status_failure(response)
    elif response.status not in expect.statuses:
        raise status_failure(response, "expect.status", "Another status was expected.")
    if response.fault:
        raise ResponseFailure(response, response.fault)
    if expect is None:
        return
    for place, name, comparisons in expect.headers:
        value = response.headers.get(name)
        if not all(test(value, block) for test in comparisons):
            given = f"is {value[:200]!r}" if value is not None else "is not there"
            raise ResponseFailure(response, f"The header {name[:100]} of the answer {given}: not as expected.", place)
    with seeing(block, response.value):
        for place, holds in expect.filters:
            if not holds(block):
                raise ResponseFailure(response, "The filter does not hold of the answer.", place)
    if expect.schema is not None and (reason := expect.schema(response.value)):
        raise ResponseFailure(response, f"The answer does not match the schema. {reason}", "expect.schema")


def is_awaited(until: Until, response: StepResponse, block: Block) -> bool:
    """Whether the answer is the one that `until` waits for; else it is asked for again.

    Raises `StepFailure` when it has been asked for often enough.
    """
    with seeing(block, response.value):
        if until.holds(block):
            return True
    progress = block.begun()
    progress.polls += 1
    if progress.polls >= until.attempts:
        message = f"The filter did not hold of any of {until.attempts} answers."
        raise ResponseFailure(response, message, "until")
    progress.attempt, progress.delay = 1, until.delay
    return False


def may_retry(retry: Retry, method: str, error: Exception, response: StepResponse | None, block: Block) -> bool:
    """Whether a request that failed is to be sent again."""
    if block.begun().attempt >= retry.attempts or not (retry.unsafe or method in REPEATABLE):
        return False
    if isinstance(error, BudgetExceeded):
        return False
    if isinstance(error, SendFailed):
        return error.reason in retry.reasons
    return isinstance(error, ResponseFailure) and response is not None and response.status in retry.statuses


def take_page(
    paginate: Paginate, response: StepResponse, record: StepRecord, address: str, room: int, block: Block
) -> list[Any]:
    """The items of a page; the block's progress then tells of the next page, or of none, and the record of those that
    are left out."""
    progress = block.begun()
    with seeing(block, response.value):
        items = paginate.items(block)
        following = _next_page(paginate, response, address, block)
    if items is None:
        items = []
    if not isinstance(items, list):
        raise ResponseFailure(response, f"'items' gives {kind(items)}, and a page has an array.", "paginate.items")
    progress.page += 1
    progress.items += len(items)
    progress.next_page = following if items and progress.page < paginate.max_pages else None
    if items and following is not None and progress.next_page is None:
        left_out = f"There may be more pages: 'max_pages' is {paginate.max_pages}."
        record.note = f"{record.note} {left_out}".strip()
    try:
        progress.size += weigh(items, room - progress.size, "The pages")
    except ValueTooLarge:
        raise BudgetExceeded(f"The pages would be larger than {room} characters together.") from None
    return items


def _next_page(paginate: Paginate, response: StepResponse, address: str, block: Block) -> str | int | None:
    if paginate.param:
        return paginate.start + block.begun().page + 1
    here = response.url or address
    if paginate.next is None:
        links = _LINK.findall(response.headers.get("link", "")[:65_536])
        following = next((target for target, parameters in links if _NEXT.search(parameters)), None)
        return None if following is None else _joined(here, following, response)
    following = paginate.next(block)
    if following is None or following == "":
        return None
    if not isinstance(following, str):
        raise ResponseFailure(response, f"'next' gives {kind(following)}, and no address.", "paginate.next")
    return _joined(here, following, response)


def _joined(here: str, following: str, response: StepResponse) -> str:
    try:
        return urljoin(here, following)
    except ValueError:
        message = f"The next page would be at {following[:100]!r}, which is no address."
        raise ResponseFailure(response, message, "paginate.next") from None
