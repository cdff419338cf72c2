"""Starts processes, estimates what they cost, shows and stops them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from extraction.domain.kind_names import EXTRACTION
from extraction.domain.payload import Payload
from extraction.domain.process_status import ProcessStatus
from extraction.domain.single_page_payload import PRODUCT
from extraction.models import CreditAccount, ExtractionTask, Process
from extraction.services import credits
from extraction.services.credits import AccountLimits
from extraction.services.moved_requests import check_moved_request
from extraction.services.payloads import check_payload
from taskhub.errors import Conflict, NotFound, Rejected, invalid
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.runs import queue as runs
from taskhub.runs.models import Run


def run_task(*, task: ExtractionTask, overrides: Mapping[str, Any] | None = None, **options: Any) -> Process:
    """Runs a task. `overrides` may have a `payload`, which is merged into the stored one, and `maxCredits`; `options`
    are those of the run.

    Raises `Rejected`, and `Refused` for a webhook's address.
    """
    runs.check_active(task.owner)
    value, payload = plan_run(task=task, overrides=overrides or {})
    return start_process(task, task.owner, value, payload, options)


def run_single_page(*, owner: Any, product: str, body: Mapping[str, Any], **options: Any) -> Process:
    """Makes a file of one page, in a process without a task. Raises `Rejected` or `Forbidden`."""
    value = {**body, PRODUCT: product}
    return start_process(None, owner, value, check_payload(value, owner, single=True), options)


def run_payload(*, owner: Any, body: Mapping[str, Any], **options: Any) -> Process:
    """Runs a payload in a process without a task. Raises `Rejected` or `Forbidden`."""
    return start_process(None, owner, body, check_payload(body, owner), options)


def start_process(
    task: ExtractionTask | None, owner: Any, value: Mapping[str, Any], payload: Payload, options: Mapping[str, Any]
) -> Process:
    """Starts a process of a payload, which is stored as `value`. Raises `Refused` for a webhook's address."""
    runs.checked_webhook(options.get("webhook", ""))
    with transaction.atomic():
        process = create_process(task, owner, value, payload, None)
        process.run = submit_run(process, **options)
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
        rendered=payload.needs_chrome,
        gzip=payload.gzip,
        max_credits=payload.max_credits,
        compares=bool(payload.changes),
        delivery=task.delivery if task else [],
    )


def retry_with(*, run: Run, overrides: Mapping[str, Any]) -> Run:
    """Runs the payload of a run's process again, changed by `overrides`, in a new process; its run.

    Raises `Conflict` where the process is deleted, or the run never had one, and otherwise as `run_task`.
    """
    process = Process.objects.filter(Q(run=run) | Q(id=run.arguments.get("process", "")), removed_at__isnull=True)
    old = process.select_related("task", "owner").first()
    if old is None or (old.task and old.task.removed_at):
        raise Conflict("The run's process or its task is deleted, or it never had one.")
    value, payload = _with_overrides(old.payload, old.owner, overrides, single=old.is_single_page)
    new = start_process(old.task, old.owner, value, payload, {"retry_of": run}).run
    assert new is not None
    return new


def plan_run(*, task: ExtractionTask, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], Payload]:
    """The payload that a run with these overrides would have: as it is stored, and as it is read. Raises `Rejected`."""
    return _with_overrides(task.payload, task.owner, overrides)


def _with_overrides(
    stored: Mapping[str, Any], owner: Any, overrides: Mapping[str, Any], *, single: bool = False
) -> tuple[dict[str, Any], Payload]:
    if unknown := [name for name in overrides if name not in {"payload", "maxCredits"}][:20]:
        errors = [{"pointer": f"/{name}", "detail": "There is no such name here."} for name in unknown]
        raise Rejected("Some values are not valid.", errors=errors)
    changes = overrides.get("payload") or {}
    if not isinstance(changes, Mapping):
        raise invalid("/payload", "Must be an object.", "The payload is no object.")
    if single and PRODUCT in changes:
        raise invalid("/payload/product", "Must stay as it is.")
    check_moved_request(stored, changes, "/payload")
    value = merge_patch(stored, changes)
    if overrides.get("maxCredits") is not None:
        value["maxCredits"] = overrides["maxCredits"]
    return value, check_payload(value, owner, "/payload", single=single)


def submit_run(process: Process, retry_of: Run | None = None, **options: Any) -> Run:
    """Submits a run for a process; what was said of the run that it tries again is said of it, too."""
    task = process.task
    kept: Mapping[str, Any] = runs.lasting_options(retry_of) if retry_of else {}
    return runs.submit(
        kind=EXTRACTION,
        owner=process.owner,
        name=(task.name or task.id) if task else str(process.payload.get("name") or process.format),
        arguments={"process": process.id},
        retry_of=retry_of,
        **{**kept, "webhook": task.webhook if task else "", **options},
    )


def cancel_process(*, process: Process) -> Process:
    """Cancels a process; what it has so far stays. Raises `Conflict` when it has ended."""
    if process.run is None:
        raise Conflict("The process has ended.", state=process.status)
    runs.cancel(run=process.run)
    return Process.objects.select_related("run", "owner").get(pk=process.pk)


def visible_process(*, id: str, user: Any) -> Process:
    """The process of an id. Raises `NotFound` for one that never was, is deleted, or is another's."""
    rows = Process.objects.visible_to(user).select_related("run", "owner", "task")
    process: Process | None = rows.filter(id=id).first()
    if process is None:
        raise NotFound(f"There is no process {id}, or it is not yours.")
    return process


def whole_or_broken(process: Process, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of what a process has. Raises `NotFound` behind the last, where it was deleted meanwhile."""
    yield from pieces
    if not Process.objects.filter(pk=process.pk, removed_at__isnull=True).exists():
        raise NotFound("The process was deleted meanwhile.")


def process_of_run(run: Run) -> Process | None:
    """The process that a run is of; None where it is deleted, or has a later run."""
    return Process.objects.filter(run=run, removed_at__isnull=True).select_related("owner", "task").first()


def estimate_cost(*, task: ExtractionTask, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What a run with these overrides would cost: at least and at most, as far as known, and what the last one cost."""
    _, payload = plan_run(task=task, overrides=overrides)
    account = credits.credit_account(task.owner_id)
    price, most_pages = credits.page_price(chrome=payload.needs_chrome), _most_pages(payload, account)
    last = Process.objects.filter(task=task, status=ProcessStatus.FINISHED).order_by("-seq").first()
    expected = last.cost if last else price
    return {
        "price": price,
        "atLeast": price,
        "atMost": min(most_pages * price, payload.max_credits or most_pages * price),
        "last": last.cost if last else None,
        "balance": account.balance,
        "enough": account.balance >= expected,
    }


def _most_pages(payload: Payload, account: CreditAccount) -> int:
    limit = AccountLimits.of(account).pages
    return payload.pages_at_most(min(limit, payload.max_pages or limit))


def process_summary(process: Process) -> dict[str, Any]:
    """A process as it is shown, but for the links, which are made when they are asked for."""
    return {
        "id": process.id,
        "status": process.status,
        "taskID": process.task.id if process.task else "",
        "startedAt": unix_time(process.started_at),
        "finishedAt": unix_time(process.finished_at),
        "requestCount": process.requests,
        "responseCount": process.responses,
        "results": process.results,
        "missingCredits": process.missing,
        "cost": process.cost,
    }


def unix_time(when: datetime | None) -> str | None:
    """A time as Unix time in whole seconds, as a text."""
    return str(int(when.timestamp())) if when else None
