"""Submission: a run is created, or many are at once, and workers are notified of them after the commit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, repeat
from operator import attrgetter
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from taskhub.errors import Conflict
from taskhub.runs.domain import Concurrency, ConcurrencyPolicy
from taskhub.runs.models import Run
from taskhub.runs.queue.broker import notify_worker
from taskhub.runs.queue.signals import ask_for_admission
from taskhub.runs.run_kinds import kind_of
from taskhub.telemetry.log_context import current_request_id
from taskhub.telemetry.trace_context import current_traceparent

_FIELDS: Any = Run._meta.concrete_fields
_COPY = f"COPY runs_run ({', '.join(field.column for field in _FIELDS)}) FROM STDIN"
MESSAGES_MAX = 16  # for the runs of one kind that are offered at once: who is woken performs all that wait


class RunOptions(TypedDict, total=False):
    """What a run may have besides its kind, owner, name and arguments."""

    not_before: datetime | None  # when it may start
    parent: Run | None  # to which it belongs
    retry_of: Run | None
    schedule: str  # the name of what fired it
    schedule_id: int | None  # its id, and
    due_at: datetime | None  # for when: a second run for these two is an `IntegrityError`
    time_limit: float | None  # seconds of one attempt
    webhook: str  # the address that is told of the end
    alone_as: str  # of runs of a kind with the same text one goes on at a time
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    priority: int  # 1 to 9; the higher is first
    expires_at: datetime | None  # by when it must have begun
    concurrency: Concurrency | None
    attempts: int  # how many of them may fail


def submit(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """Creates a run, in the caller's transaction if there is one; a worker is notified after the commit.

    `arguments` is what the kind's work needs, as JSON. Raises what the kind's `check` raises of it.
    """
    kind_of(kind).check(arguments)
    run = create_run(kind=kind, owner=owner, name=name, arguments=arguments, **options)
    # Without a transaction this is at once: a run that is submitted alone costs one statement.
    transaction.on_commit(lambda: offer(run))
    return run


def create_run(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """Creates the row of a run whose arguments were checked. Its caller offers it after the commit."""
    run = new_run(kind=kind, owner=owner, name=name, arguments=arguments, **options)
    run.save(force_insert=True)
    return run


def new_run(*, kind: str, owner: Any, name: str, arguments: Mapping[str, Any], **options: Unpack[RunOptions]) -> Run:
    """A run whose arguments were checked, not stored yet. What its kind states counts where `options` say nothing."""
    run_kind = kind_of(kind)
    given: dict[str, Any] = {**run_kind.options_of(arguments), **options}
    not_before, concurrency = given.get("not_before"), given.pop("concurrency", None)
    is_due = not_before is None or not_before <= timezone.now()
    if concurrency is not None:
        given["concurrency_key"], given["concurrency_limit"] = concurrency.key, concurrency.limit
        given["concurrency_policy"] = concurrency.policy
    time_limit = given.pop("time_limit", None) or settings.RUN_TIME_LIMIT_SECONDS
    return Run(
        kind=kind,
        owner_id=owner.pk,
        name=name,
        arguments=arguments,
        ready=is_due and concurrency is None,
        blocked=is_due and concurrency is not None,
        attempts=given.pop("attempts", run_kind.attempts),
        time_limit=time_limit,
        request_id=current_request_id(),
        traceparent=current_traceparent(),
        **given,
    )


def store_runs(runs: Sequence[Run]) -> None:
    """Stores new runs, one at least, in one statement: all or none. Their caller offers them after the commit."""
    columns = [_column(field, runs) for field in _FIELDS]
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(_COPY) as copy:
        for row in zip(*columns, strict=True):
            copy.write_row(row)


def _column(field: Any, runs: Sequence[Run]) -> Iterator[Any]:
    """What the database gets of a field of each run. Most fields are the same in all: they are prepared once."""
    values = [getattr(run, field.attname) for run in runs]
    if all(value is values[0] for value in values):
        return repeat(field.get_db_prep_save(values[0], connection), len(values))
    return (field.get_db_prep_save(value, connection) for value in values)


def offer_all(runs: Sequence[Run]) -> None:
    """Notifies workers of accepted runs, after the commit, with a few messages for all of them; see `offer`."""
    blocked = sorted((run for run in runs if run.blocked), key=attrgetter("concurrency_key"))
    for _, group in groupby(blocked, attrgetter("concurrency_key")):
        of_key = list(group)
        ask_for_admission(of_key[0], run_ids=[run.pk for run in of_key if _must_not_wait(run)])
    now = Run.objects.filter(pk__in=[run.pk for run in blocked]).values_list("pk", "state", "ready", "blocked")
    states = {run_id: (state, ready, is_blocked) for run_id, state, ready, is_blocked in now}
    for run in blocked:
        if run.pk in states:  # else it was removed meanwhile
            run.state, run.ready, run.blocked = states[run.pk]
    for kind in dict.fromkeys(run.kind for run in runs):
        for run in [run for run in runs if run.kind == kind and run.ready][:MESSAGES_MAX]:
            notify_worker(run)


def _must_not_wait(run: Run) -> bool:
    return run.concurrency_policy != ConcurrencyPolicy.WAIT


def offer(run: Run) -> bool:
    """Notifies a worker of an accepted run, after the commit; False where it waits for one, and none would come.

    Of one that waits for its time, or that was revoked in the same transaction, nobody is notified. One with a
    concurrency key is admitted first, if it may be.
    """
    if run.blocked and not run.ended:
        ask_for_admission(run, run_ids=[run.pk])
        run.refresh_from_db()
    return not run.ready or run.ended or notify_worker(run)


def check_active(owner: Any) -> None:
    """Raises `Conflict`: nothing is started in the name of somebody whose account is not active."""
    if not owner.is_active:
        raise Conflict("The owner's account is not active.")
