"""Samples: a page that is looked at while a payload is built. Previews try a payload, suggestions make some.

A sample is a process of one page, with credits and limits as all have. Its result is taken once, when it is over; then
nothing of it is kept but what it cost.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from extraction.domain.payload import Payload
from extraction.domain.preview_payload import TRIED, PreviewPayload
from extraction.domain.process_status import PageState, ProcessStatus
from extraction.domain.result_formats import PREVIEW, SUGGESTIONS
from extraction.domain.single_page_payload import PRODUCT
from extraction.domain.suggestion_payload import SuggestionPayload
from extraction.models import ExtractionPage, Process
from extraction.services import credits
from extraction.services.payloads import check_allowed, check_payload, load_payload, parse_task_payload
from extraction.services.processes import start_process
from extraction.services.result_export import ResultExport
from extraction.services.retention import discard_process
from taskhub.errors import Conflict, Failed

PAGES_MAX = 3  # a login, a sitemap, and the page


def start_preview(*, owner: Any, body: Mapping[str, Any]) -> Process:
    """Starts the process of a preview. Raises `Rejected`, `Forbidden`, and `Conflict` where credits are missing."""
    tried = parse_task_payload(body)
    check_allowed(payload=tried, owner=owner)
    return _start(owner, {PRODUCT: PREVIEW, TRIED: body}, PreviewPayload(tried))


def start_suggestions(*, owner: Any, body: Mapping[str, Any]) -> Process:
    """Starts the process of suggestions for a page. `body` has its `url`, and what else a request has.

    Raises as `start_preview` does.
    """
    value = {**body, PRODUCT: SUGGESTIONS}
    return _start(owner, value, check_payload(value, owner, single=True))


def _start(owner: Any, value: Mapping[str, Any], payload: Payload) -> Process:
    price = credits.page_price(chrome=payload.needs_chrome) * payload.pages_at_most(PAGES_MAX)
    balance = credits.credit_account(owner.pk).balance
    if balance < price:
        raise Conflict(f"It costs {price} credits, and {balance} are left.", missingCredits=price - balance)
    if payload.max_credits is not None and payload.max_credits < price:
        raise Conflict(f"It costs {price} credits, more than maxCredits.")
    return start_process(None, owner, value, payload, {})


def is_over(*, process: Process) -> bool:
    """Whether nothing more comes of a sample: it has ended, or waits for credits, or is removed."""
    return not Process.objects.filter(pk=process.pk, status=ProcessStatus.RUNNING).exists()


def take_result(*, process: Process) -> dict[str, Any]:
    """The result of a sample, which is discarded, whether it has ended or not: what `preview_page` gives, or
    `{suggestions: [{payload, records, score}]}`.

    Raises `Failed` with the reason where its page failed, or has not come yet, and `Conflict` where credits ran out.
    """
    try:
        return _read_result(process)
    finally:
        discard_process(process)


def _read_result(sample: Process) -> dict[str, Any]:
    process = Process.objects.filter(pk=sample.pk, removed_at__isnull=True).first()
    if process is None:
        raise Failed("It was removed before its page came.")
    if process.status == ProcessStatus.PENDING:
        raise Conflict("The credits do not suffice.", missingCredits=process.missing)
    if process.status == ProcessStatus.RUNNING:
        raise Failed("The page did not come in time.")
    product = b"".join(ResultExport(process).pieces(process.format, gzip=False))
    if process.status == ProcessStatus.FINISHED and product:
        return _complete(process, orjson.loads(product))
    failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED).order_by("id")
    reason = failed.values_list("error", flat=True).first() or process.error
    raise Failed(reason or "No page was read.")


def _complete(process: Process, result: dict[str, Any]) -> dict[str, Any]:
    """The result, where suggestions have the request that was sent: its secrets are kept in the process alone."""
    payload = load_payload(process)
    if isinstance(payload, SuggestionPayload):
        for suggestion in result["suggestions"]:
            suggested = suggestion["payload"]
            suggested["request"] = {**payload.sent_request, **suggested["request"]}
    return result
