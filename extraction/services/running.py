"""Processes: run, carried to workers, ended, taken up again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from extraction.domain.payload import Payload
from extraction.domain.status import Status, outcome
from extraction.models import Account, Note, Process, Slice, Task
from extraction.services import crediting, ledger
from extraction.services.defining import checked
from extraction.services.limits import Limits
from taskhub.errors import Conflict, NotFound, Rejected
from taskhub.runs import services as runs
from taskhub.runs.domain import State
from taskhub.runs.execution import Execution
from taskhub.runs.models import Run

KIND = "extraction"
QUIET = timedelta(minutes=10)  # for which a process may have nothing to tell, as while a server wants to be left alone
RESUMED_AT_ONCE = 100
_STATES = {State.REVOKED: Status.CANCELED, State.FAILURE: Status.FAILED}


def merged(value: Any, over: Any) -> Any:
    """`over` laid over a JSON value: objects are merged, null takes a name away (RFC 7396), lists are replaced."""
    if not isinstance(over, Mapping):
        return over
    whole = dict(value) if isinstance(value, Mapping) else {}
    for name, inner in over.items():
        if inner is None:
            whole.pop(name, None)
        else:
            whole[name] = merged(whole.get(name), inner)
    return whole


def run_task(*, task: Task, given: Mapping[str, Any] | None = None) -> Process:
    """A new process. `given` may hold a `payload`, which lies over the stored one for this run, and `maxCredits`.

    Raises `Rejected`. Call `runs.enqueue(process.run)` after the commit.
    """
    value, payload = planned(task=task, given=given or {})
    with transaction.atomic():
        process = _create(task, value, payload, None)
        process.run = _accept(process)
        process.save(update_fields=["run"])
        return process


def _create(task: Task, value: Mapping[str, Any], payload: Payload, run: Run | None) -> Process:
    return Process.objects.create(
        task=task,
        owner=task.owner,
        run=run,
        payload=value,
        format=payload.format,
        gzip=payload.gzip,
        max_credits=payload.credits,
    )


def planned(*, task: Task, given: Mapping[str, Any]) -> tuple[dict[str, Any], Payload]:
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
    value = merged(task.payload, over)
    if given.get("maxCredits") is not None:
        value["maxCredits"] = given["maxCredits"]
    return value, checked(value, task.owner, "/payload")


def _accept(process: Process, retry_of: Run | None = None) -> Run:
    return runs.accept(
        kind=KIND,
        owner=process.owner,
        name=process.task.name or process.task.id,
        arguments={"process": process.id},
        retry_of=retry_of,
    )


def begin(execution: Execution) -> None:
    """Puts the first page of a process into the ledger; its pages are then fetched in slices, by whoever has time."""
    process = process_of(execution.run) or _scheduled(execution.run)
    if process is None:
        execution.fail("ProcessGone", "Its process is deleted.")
        return
    with transaction.atomic():
        runs.confirm(run=execution.run)
        row = ledger.locked(process.pk)
        if row and row.main is None:
            _note(row, f"started: {row.payload['request']['url']}")
            ledger.seed(process=row, payload=checked(row.payload, process.owner))
            Process.objects.filter(pk=row.pk).update(started_at=Now())
        execution.hand_over(timezone.now() + QUIET)


def _scheduled(run: Run) -> Process | None:
    """The new process of a run that a schedule started."""
    task = Task.objects.filter(id=run.arguments.get("task"), removed_at__isnull=True).select_related("owner").first()
    if task is None:
        return None
    value, payload = planned(task=task, given=run.arguments.get("given", {}))
    with transaction.atomic():
        runs.confirm(run=run)
        return _create(task, value, payload, run)


def process_of(run: Run) -> Process | None:
    """The process that a run is of, if it is there."""
    return Process.objects.filter(run=run, removed_at__isnull=True).select_related("owner").first()


def run_ended(run: Run) -> None:
    """In the transaction that ends a run: its process has ended, too; what it has so far is written to a file."""
    found = Process.objects.filter(run_id=run.pk).first()
    process = ledger.locked(found.pk) if found else None
    if process is None or process.ended:
        return
    process.status = _STATES.get(State(run.state), Status.FINISHED)
    process.error = (run.error or {}).get("message", "")
    process.unwritten = True
    process.missing = 0
    process.finished_at = timezone.now()
    process.save(update_fields=("status", "error", "unwritten", "missing", "finished_at"))
    ledger.release_all(process=process)
    _note(process, process.status + (f": {process.error}" if process.error else ""))


def run_copied(old: Run, new: Run) -> None:
    """In the transaction that accepts a retry of a run: its process goes on. Raises `Conflict`."""
    process = Process.objects.filter(run=old, removed_at__isnull=True).first()
    if process is None:
        raise Conflict("The run's process is deleted, or has a later run.")
    _go_on(process, new)


def retry_process(*, process: Process, max_credits: int | None = None) -> Process:
    """Goes on with an ended process: its failed pages, and those that were never asked for, under a new run.

    One that waits for credits goes on, too, where it can. `max_credits` is a new cap. Raises `Conflict`. Call
    `runs.enqueue(process.run)` after the commit.
    """
    with transaction.atomic():
        if max_credits is not None:
            Process.objects.filter(pk=process.pk).update(max_credits=max_credits)
        if process.status == Status.PENDING:
            if not resume(process_id=process.pk):
                raise Conflict("The process waits for credits.", state=process.status)
        else:
            new = _accept(process, process.run)
            _go_on(process, new)
        return Process.objects.select_related("run", "owner").get(pk=process.pk)


def _go_on(process: Process, run: Run) -> None:
    row = ledger.locked(process.pk)
    if row is None or not row.ended:
        raise Conflict("The process has not ended.", state=row.status if row else "")
    if row.main is not None and not ledger.open_again(process=row):
        raise Conflict("No page of the process failed, and none is left.", state=row.status)
    Process.objects.filter(pk=row.pk).update(
        run=run, status=Status.RUNNING, finished_at=None, unwritten=False, error="", results="", missing=0
    )
    _note(row, "taken up again")


def settle(*, process: Process, results: str, size: int) -> bool:
    """Ends a process whose pages have all ended and whose result is written; False when it has ended otherwise."""
    with transaction.atomic():
        _hold_run(process)
        row = ledger.locked(process.pk)
        if row is None or not row.unwritten or (row.status == Status.RUNNING and row.open):
            return False
        Process.objects.filter(pk=row.pk).update(unwritten=False, results=results, size=size)
        if row.status == Status.RUNNING:
            _end(row, results)
        return True


def _end(process: Process, results: str) -> None:
    status = outcome(main_failed=process.main_failed, pages=process.pages, failed=process.failed)
    process.error = _words(process) if status == Status.FAILED else ""
    Process.objects.filter(pk=process.pk).update(status=status, error=process.error, finished_at=Now())
    _note(process, f"{status}: {process.pages} pages, {process.failed} failed, {process.records} records")
    told = {"process": process.id, "results": results, **counts(process)}
    if process.run_id:
        error = {"type": "PagesFailed", "message": process.error} if status == Status.FAILED else None
        state = State.FAILURE if error else State.SUCCESS
        runs.settle(run_id=process.run_id, state=state, result=told, error=error)


def _words(process: Process) -> str:
    if process.main_failed:
        return "A page of the main list failed, and with it what follows it; GET /v1/process/{id}/pages tells why."
    return f"{process.failed} of {process.pages} pages failed; GET /v1/process/{{id}}/pages tells why."


def counts(process: Process) -> dict[str, int]:
    return {name: getattr(process, name) for name in ("pages", "failed", "records", "requests", "responses", "cost")}


def fetched_all(*, process: Process) -> None:
    """Says that all pages have ended: the result is to be written next."""
    Process.objects.filter(pk=process.pk, open=0, status__in=(Status.RUNNING, Status.PENDING)).update(
        unwritten=True, status=Status.RUNNING, missing=0
    )


def wait_for_credits(*, process: Process) -> None:
    """Sets a process aside whose owner has no credits left, or that may cost no more."""
    with transaction.atomic():
        _hold_run(process)
        row = ledger.locked(process.pk)
        if row is None or row.status != Status.RUNNING or not row.open:
            return
        capped = row.max_credits is not None and row.cost + crediting.price() > row.max_credits
        missing = max(1, row.open * crediting.price())
        Process.objects.filter(pk=row.pk).update(status=Status.PENDING, missing=missing, capped=capped, unwritten=True)
        message = f"{'The cap of this run is reached' if capped else 'The credits ran out'}; {missing} more are needed."
        _note(row, f"pending: {message}")
        if row.run_id:
            runs.set_aside(run_id=row.run_id, error={"type": "CreditsMissing", "message": message})


def resume(*, process_id: int) -> bool:
    """Takes a process up again that waits for credits, if it can go on now."""
    with transaction.atomic():
        found = Process.objects.filter(pk=process_id).first()
        run = _hold_run(found) if found else None
        row = ledger.locked(process_id)
        if row is None or row.status != Status.PENDING or not _affordable(row):
            return False
        Process.objects.filter(pk=row.pk).update(status=Status.RUNNING, missing=0, capped=False, unwritten=False)
        _note(row, "goes on")
        if run and runs.take_up(run_id=run.pk):
            transaction.on_commit(lambda: runs.enqueue(Run.objects.get(pk=run.pk)))
        return True


def _affordable(process: Process) -> bool:
    if process.max_credits is not None and process.cost + crediting.price() > process.max_credits:
        return False
    return crediting.account_of(process.owner_id).balance >= crediting.price()


def resume_waiting(owner_id: UUID | None = None) -> int:
    """Takes up what waited for credits and can be paid now; how many processes."""
    rich = Account.objects.filter(balance__gte=max(1, crediting.price()))
    waiting = Process.objects.filter(status=Status.PENDING, capped=False, owner__in=rich.values("owner"))
    if owner_id:
        waiting = waiting.filter(owner_id=owner_id)
    ids = list(waiting.order_by("seq").values_list("pk", flat=True)[:RESUMED_AT_ONCE])
    return sum(resume(process_id=pk) for pk in ids)


def sweep() -> None:
    """What the leader does every second: frees slices of lost workers, goes on where credits came,
    ends what is overdue."""
    for slice in ledger.lapsed():
        with transaction.atomic():
            if process := ledger.locked(slice.process_id):
                _note(process, f"worker lost: {slice.worker}")
                ledger.release(slice=slice, process=process, lost=True)
                fetched_all(process=process)
    resume_waiting()
    for process in _overdue():
        fail(process=process, error={"type": "TimeLimitExceeded", "message": "Its time is over."})


def _overdue() -> list[Process]:
    shortest = Account.objects.filter(max_seconds__isnull=False).order_by("max_seconds").first()
    limits = [Limits.of(account).seconds for account in (shortest, Account()) if account]
    old = Process.objects.filter(
        status=Status.RUNNING, started_at__lt=timezone.now() - timedelta(seconds=min(limits)), run__isnull=False
    ).select_related("owner")
    return [one for one in old[:100] if _age(one) > Limits.of(crediting.account_of(one.owner_id)).seconds]


def _age(process: Process) -> float:
    return (timezone.now() - (process.started_at or timezone.now())).total_seconds()


def tell(*, process: Process, run: Run) -> None:
    """The counts of a process as its run's progress."""
    message = f"{process.records} records, {process.failed} pages failed"
    progress = {"done": process.pages - process.open, "total": process.pages, "message": message}
    runs.tell_progress(run=run, progress=progress, until=timezone.now() + QUIET)


def _hold_run(process: Process) -> Run | None:
    """The run, held by the caller's transaction: it is locked before its process."""
    return Run.objects.select_for_update(of=("self",)).filter(pk=process.run_id).first() if process.run_id else None


def cancel(*, process: Process) -> Process:
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


def estimate(*, task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a run would cost: at least and at most, as far as that is known, and what the last one did cost."""
    _, payload = planned(task=task, given=given)
    account = crediting.account_of(task.owner_id)
    price, most = crediting.price(), _most_pages(payload, account)
    last = Process.objects.filter(task=task, status=Status.FINISHED).order_by("-seq").first()
    expected = last.cost if last else price
    return {
        "price": price,
        "atLeast": price,
        "atMost": min(most * price, payload.credits or most * price),
        "last": last.cost if last else None,
        "balance": account.balance,
        "enough": account.balance >= expected,
    }


def _most_pages(payload: Payload, account: Account) -> int:
    limit = min(Limits.of(account).pages, payload.pages or Limits.of(account).pages)
    rule = payload.rule
    if any(one.details for one in rule.fields):
        return limit
    return min(limit, (rule.next.pages or limit) if rule.next else 1)


def fail(*, process: Process, error: Mapping[str, str]) -> None:
    """Ends a process that cannot go on."""
    with transaction.atomic():
        if process.run_id:
            runs.settle(run_id=process.run_id, state=State.FAILURE, error=dict(error))


def _note(process: Process, text: str) -> None:
    Note.objects.create(process=process, text=text[:1000])


def leave(*, slice: Slice, rest_until: datetime | None = None) -> None:
    """Ends a worker's own turn; what it had claimed and reserved is free again, and processes may go on with it.

    `rest_until` is when the process's servers can be asked again.
    """
    with transaction.atomic():
        process = ledger.locked(slice.process_id)
        if process and rest_until:
            Process.objects.filter(pk=process.pk).update(rest_until=rest_until)
        rest = ledger.release(slice=slice, process=process, lost=False) if process else 0
    if rest and process:
        resume_waiting(process.owner_id)
