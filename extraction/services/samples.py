"""Samples: a page that is looked at while a payload is built. Previews try a payload, suggestions make some.

A sample is a process of one page, with credits and limits as all have. Its result is taken once; then nothing of it is
kept but what it cost. `preview` and `suggest` wait for it in the calling thread; calls over HTTP wait without one.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from extraction.domain.payload import Payload
from extraction.domain.preview_payload import TRIED, PreviewPayload
from extraction.domain.process_status import PageState, ProcessStatus
from extraction.domain.result_formats import PREVIEW, SUGGESTIONS
from extraction.domain.single_page_payload import PRODUCT
from extraction.models import ExtractionPage, Process
from extraction.services import credits
from extraction.services.payloads import check_allowed, check_payload, parse_task_payload
from extraction.services.processes import start_process
from extraction.services.result_export import ResultExport
from extraction.services.retention import discard_process
from taskhub.errors import Conflict, Failed
from taskhub.runs import queue as runs

WAIT_SECONDS = 60


def preview(*, owner: Any, body: Mapping[str, Any], seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """Tries a payload on its first page, see `preview_page`. Raises what `start_preview` and `take_result` raise."""
    return _wait_for(start_preview(owner=owner, body=body), seconds)


def suggest(*, owner: Any, body: Mapping[str, Any], seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """Suggests payloads for a page: `{suggestions: [{payload, records, score}]}`, the best first.

    `body` has its `url`, and what else a request has. Raises what `start_suggestions` and `take_result` raise.
    """
    return _wait_for(start_suggestions(owner=owner, body=body), seconds)


def start_preview(*, owner: Any, body: Mapping[str, Any]) -> Process:
    """Starts the process of a preview. Raises `Rejected`, `Forbidden`, and `Conflict` where credits are missing."""
    tried = parse_task_payload(body)
    check_allowed(payload=tried, owner=owner)
    return _start(owner, {PRODUCT: PREVIEW, TRIED: body}, PreviewPayload(tried))


def start_suggestions(*, owner: Any, body: Mapping[str, Any]) -> Process:
    """Starts the process of suggestions. Raises as `start_preview` does."""
    value = {**body, PRODUCT: SUGGESTIONS}
    return _start(owner, value, check_payload(value, owner, single=True))


def _start(owner: Any, value: Mapping[str, Any], payload: Payload) -> Process:
    price, balance = credits.page_price(chrome=payload.needs_chrome), credits.credit_account(owner.pk).balance
    if balance < price:
        raise Conflict(f"The page costs {price} credits, and {balance} are left.", missingCredits=price - balance)
    if payload.max_credits is not None and payload.max_credits < price:
        raise Conflict(f"The page costs {price} credits, more than maxCredits.")
    return start_process(None, owner, value, payload, {})


def _wait_for(process: Process, seconds: float) -> dict[str, Any]:
    if process.run:
        runs.wait(run_id=process.run.pk, user=process.owner, seconds=seconds)
    return take_result(process=process)


def take_result(*, process: Process) -> dict[str, Any]:
    """The result of a sample, which is discarded, whether it has ended or not.

    Raises `Failed` with the reason where its page failed, or has not come yet, and `Conflict` where credits ran out.
    """
    process.refresh_from_db()
    try:
        return _read_result(process)
    finally:
        discard_process(process)


def _read_result(process: Process) -> dict[str, Any]:
    if process.status == ProcessStatus.PENDING:
        raise Conflict("The credits do not suffice.", missingCredits=process.missing)
    if process.status == ProcessStatus.RUNNING:
        raise Failed("The page did not come in time.")
    product = b"".join(ResultExport(process).pieces(process.format, gzip=False))
    if process.status == ProcessStatus.FINISHED and product:
        result: dict[str, Any] = orjson.loads(product)
        return result
    failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED).order_by("id")
    reason = failed.values_list("error", flat=True).first() or process.error
    raise Failed(reason or "No page was read.")
