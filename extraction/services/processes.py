"""Processes: run, estimated, shown, stopped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from extraction.domain.payload import Payload
from extraction.domain.process_status import ProcessStatus
from extraction.domain.single_page_payload import PRODUCT
from extraction.models import CreditAccount, ExtractionTask, Process
from extraction.services import credits
from extraction.services.credits import AccountLimits
from extraction.services.payloads import check_payload
from taskhub.errors import Conflict, NotFound, Rejected
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.runs import queue as runs
from taskhub.runs.models import Run

KIND = "extraction"


def run_task(*, task: ExtractionTask, given: Mapping[str, Any] | None = None) -> Process:
    """A new process. `given` may hold a `payload`, which lies over the stored one for this run, and `maxCredits`.

    Raises `Rejected`.
    """
    value, payload = plan_run(task=task, given=given or {})
    with transaction.atomic():
        process = create_process(task, task.owner, value, payload, None)
        process.run = submit_run(process)
        process.save(update_fields=["run"])
        return process


def run_single(*, owner: Any, product: str, given: Mapping[str, Any]) -> Process:
    """A new process. Raises `Rejected` or `Forbidden`."""
    value = {**given, PRODUCT: product}
    payload = check_payload(value, owner, single=True)
    with transaction.atomic():
        process = create_process(None, owner, value, payload, None)
        process.run = submit_run(process)
        process.save(update_fields=["run"])
        return process


def create_process(
    task: ExtractionTask | None, owner: Any, value: Mapping[str, Any], payload: Payload, run: Run | None
) -> Process:
    return Process.objects.create(
        task=task,
        owner=owner,
        run=run,
        payload=value,
        format=payload.format,
        price=credits.page_price(chrome=payload.needs_chrome),
        gzip=payload.gzip,
        max_credits=payload.max_credits,
        delivery=task.delivery if task else [],
    )


def plan_run(*, task: ExtractionTask, given: Mapping[str, Any]) -> tuple[dict[str, Any], Payload]:
    """The payload as a run would have it, and what it means. Raises `Rejected`."""
    strange = [name for name in given if name not in {"payload", "maxCredits"}][:20]
    if strange:
        raise Rejected(
            "Some values are not valid.",
            errors=[{"pointer": f"/{name}", "detail": "There is no such name here."} for name in strange],
        )
    over = given.get("payload") or {}
    if not isinstance(over, Mapping):
        raise Rejected("The payload is no object.", errors=[{"pointer": "/payload", "detail": "Must be an object."}])
    value = merge_patch(task.payload, over)
    if given.get("maxCredits") is not None:
        value["maxCredits"] = given["maxCredits"]
    return value, check_payload(value, task.owner, "/payload")


def submit_run(process: Process, retry_of: Run | None = None) -> Run:
    task = process.task
    return runs.submit(
        kind=KIND,
        owner=process.owner,
        name=(task.name or task.id) if task else process.format,
        arguments={"process": process.id},
        retry_of=retry_of,
        webhook=task.webhook if task else "",
    )


def cancel_process(*, process: Process) -> Process:
    """Stops a process; what it has so far stays. Raises `Conflict` when it has ended."""
    if process.run is None:
        raise Conflict("The process has ended.", state=process.status)
    runs.cancel(run=process.run)
    return Process.objects.select_related("run", "owner").get(pk=process.pk)


def visible_process(*, id: str, user: Any) -> Process:
    """Raises `NotFound` for one that never was, is deleted, or is another's."""
    row: Process | None = Process.objects.visible_to(user).select_related("run", "owner", "task").filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no process {id}, or it is not yours.")
    return row


def estimate(*, task: ExtractionTask, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a run would cost: at least and at most, as far as that is known, and what the last one did cost."""
    _, payload = plan_run(task=task, given=given)
    account = credits.credit_account(task.owner_id)
    price, most = credits.page_price(chrome=payload.needs_chrome), _most_pages(payload, account)
    last = Process.objects.filter(task=task, status=ProcessStatus.FINISHED).order_by("-seq").first()
    expected = last.cost if last else price
    return {
        "price": price,
        "atLeast": price,
        "atMost": min(most * price, payload.max_credits or most * price),
        "last": last.cost if last else None,
        "balance": account.balance,
        "enough": account.balance >= expected,
    }


def _most_pages(payload: Payload, account: CreditAccount) -> int:
    limit = AccountLimits.of(account).pages
    return payload.pages_at_most(min(limit, payload.max_pages or limit))


def process_summary(process: Process) -> dict[str, Any]:
    """As it is shown, but for the links, which are made when they are asked for."""
    return {
        "id": process.id,
        "status": process.status,
        "taskID": process.task.id if process.task else "",
        "startedAt": unix(process.started_at),
        "finishedAt": unix(process.finished_at),
        "requestCount": process.requests,
        "responseCount": process.responses,
        "results": process.results,
        "missingCredits": process.missing,
        "cost": process.cost,
    }


def unix(when: datetime | None) -> str | None:
    """Unix time in whole seconds, as a text."""
    return str(int(when.timestamp())) if when else None
