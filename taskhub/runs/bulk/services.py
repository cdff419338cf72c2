"""Bulk changes: all runs that a filter matches, or that somebody has chosen, are cancelled or tried again by one run in
the background.

What is left to do is always what still matches: runs that have not ended, or those that nobody has tried again yet. So
a bulk change whose worker was lost goes on where it was, and one that is made twice changes each run once. Chosen runs
may have been tried again before: of them those are left that nobody has tried again since they were chosen.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from uuid_utils.compat import uuid7

from taskhub.accounts.roles import admit, reaches_all
from taskhub.audit.services import record_change
from taskhub.db.plans import TimeIsUp, time_limit
from taskhub.errors import Forbidden, Problem, Rejected
from taskhub.runs import queue
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution
from taskhub.runs.run_filter import RunFilter
from taskhub.runs.run_kinds import all_kinds, kind_or_default
from taskhub.security.scopes import ALL_SCOPES, KeyScope, require_scopes

KIND = "bulk"
BATCH = 100  # runs that are looked up at once
REFUSALS_MAX = 100  # that the result names
TIME_LIMIT = 24 * 3600.0
COUNT_SECONDS = 2.0  # for which a call counts


class Action(StrEnum):
    CANCEL = "cancel"
    RETRY = "retry"


@dataclass(frozen=True)
class BulkChange:
    """What is done to which runs: those that were chosen; or those of its user that were accepted before it, and match
    the filter.

    Only staff name another user, by the filter's `owner`. Without `kind` runs that only belong to others, such as
    deliveries, are left alone; without `state` a retry is for those that failed. Staff alone choose runs, of any owner.
    """

    action: Action
    filter: RunFilter
    before: UUID
    user: Any
    scopes: frozenset[str]  # of the API key that asked for it
    chosen: tuple[UUID, ...] = ()

    @classmethod
    def of(cls, arguments: Mapping[str, Any], user: Any) -> "BulkChange":
        """The bulk change of a run's arguments. Raises `Rejected` for what its owner may not, or no longer, ask for."""
        filter = RunFilter.read(arguments["filter"], at="/filter")
        filter.check_viewer(user, at="/filter")
        scopes = frozenset(arguments.get("scopes", ALL_SCOPES))
        chosen = tuple(map(UUID, arguments.get("runs", ())))
        if chosen and not reaches_all(user, KeyScope.RUN):
            raise Forbidden("Only staff who may cancel and retry the runs of others choose some.")
        return cls(Action(arguments["action"]), filter, UUID(arguments["before"]), user, scopes, chosen)

    def runs(self) -> QuerySet[Run]:
        """The runs that it still has to change; where some were chosen, any that it would change if they had been."""
        rows = self.filter.narrow(Run.objects.filter(pk__lt=self.before))
        if not self.filter.owner and not self.chosen:
            rows = rows.filter(owner=self.user)
        if not self.filter.kind and not self.chosen:
            rows = rows.exclude(kind__in=[kind.name for kind in all_kinds() if kind.is_secondary])
        if self.action is Action.CANCEL:
            return rows.filter(finished_at__isnull=True)
        if not self.filter.state and not self.chosen:
            rows = rows.filter(state=State.FAILURE)
        tried_again = Run.objects.filter(retry_of=OuterRef("pk"))
        if self.chosen:
            tried_again = tried_again.filter(pk__gt=self.before)
        return rows.filter(~Exists(tried_again), finished_at__lt=self._asked_at)

    def ids(self) -> Iterator[UUID]:
        """Those of the runs that it still has to change, looked up batch by batch; by a filter the oldest first."""
        for begin in range(0, len(self.chosen), BATCH):
            yield from self.runs().filter(pk__in=self.chosen[begin : begin + BATCH]).values_list("pk", flat=True)
        ids: list[UUID] = [] if self.chosen else [UUID(int=0)]
        while ids:
            ids = list(self.runs().filter(pk__gt=ids[-1]).order_by("pk").values_list("pk", flat=True)[:BATCH])
            yield from ids

    @property
    def _asked_at(self) -> datetime:
        """When it was asked for, by the milliseconds of its id; what has ended since does not count."""
        return datetime.fromtimestamp((self.before.int >> 80) / 1000, UTC) + timedelta(milliseconds=1)

    def count(self) -> int:
        """How many runs it still has to change."""
        return (self.runs().filter(pk__in=self.chosen) if self.chosen else self.runs()).count()

    def count_in_time(self) -> int | None:
        """How many runs it still has to change; None where it takes long to count them."""
        try:
            with time_limit(COUNT_SECONDS):
                return self.count()
        except TimeIsUp:
            return None

    def apply(self, run_id: UUID) -> bool:
        """Changes one run, in the caller's transaction; False where somebody else has meanwhile. Raises `Problem`s."""
        run = Run.objects.select_for_update(of=("self",), no_key=True).filter(pk=run_id).first()
        if run is None or not self.runs().filter(pk=run_id).exists():  # asked under the lock
            return False
        if self.action is Action.CANCEL:
            queue.cancel(run=run)
        else:
            require_scopes(self, kind_or_default(run.kind).key_scopes(run.arguments))
            queue.retry(run=run)
        return True


def submit_bulk_change(*, action: Action, filter: Mapping[str, Any], user: Any, key: Any, **options: Any) -> Run:
    """Submits the run of a bulk change. `key` is the API key of the call, whose scopes hold for it, too."""
    queue.checked_webhook(options.get("webhook", ""))
    return _submit(action, user, new_arguments(action, filter, key), **options)


def submit_chosen_change(*, action: Action, runs: Collection[UUID], user: Any) -> Run:
    """Submits the run of a bulk change of these runs. Raises `Forbidden` for who may not change those of others."""
    return _submit(action, user, {**new_arguments(action, {}), "runs": list(map(str, runs))})


def _submit(action: Action, user: Any, arguments: dict[str, Any], **options: Any) -> Run:
    arguments["matched"] = BulkChange.of(arguments, user).count_in_time()
    what = {"runs": len(arguments["runs"])} if "runs" in arguments else {"matched": arguments["matched"]}
    with transaction.atomic():
        run = queue.submit(
            kind=KIND, owner=user, name=str(action), arguments=arguments, time_limit=TIME_LIMIT, **options
        )
        values = {"filter": arguments["filter"], **what}
        record_change(f"{action} all", "run", run.pk, f"{KIND} {action}", owner_id=user.pk, after=values)
    return run


def count_matched(*, action: Action, filter: Mapping[str, Any], user: Any) -> int:
    """How many runs a bulk change would change now. Raises `Rejected`, also where it takes long to count them."""
    matched = BulkChange.of(new_arguments(action, filter), user).count_in_time()
    if matched is None:
        raise Rejected(
            f"There are too many runs to be counted in {COUNT_SECONDS:g} seconds: ask for fewer of them, such as by "
            "`name`, `tag` or `since`. Without `dry_run` they are changed, however many there are."
        )
    return matched


def new_arguments(action: Action, filter: Mapping[str, Any], key: Any = None) -> dict[str, Any]:
    """The arguments of a bulk change of the runs that have been accepted by now."""
    scopes = {"scopes": sorted(key.scopes)} if hasattr(key, "scopes") else {}
    return {"action": str(action), "filter": dict(filter), "before": str(uuid7()), **scopes}


def perform_bulk_change(execution: Execution) -> None:
    """The work of the run: changes one run after the other, each in a transaction of its own."""
    run, refusals, refused = execution.run, list[dict[str, str]](), 0
    admit(run.owner, KeyScope.RUN)
    change, matched = BulkChange.of(run.arguments, run.owner), run.arguments["matched"]
    left = change.count()
    matched = left if matched is None else matched
    done = max(0, matched - left)  # by an attempt before this one; or before the first, by themselves
    changed = done if run.attempt > 1 else 0
    for run_id in change.ids():
        execution.set_progress(done, matched)
        done += 1
        try:
            with transaction.atomic():
                queue.confirm(run=run)  # one that was cancelled changes nothing more
                changed += change.apply(run_id)
        except Problem as problem:
            refused += 1
            refusals = [*refusals, {"run": str(run_id), "detail": problem.detail}][:REFUSALS_MAX]
            execution.log_line(logging.WARNING, f"{run_id}: {problem.detail}")
    with transaction.atomic():
        execution.set_progress(done, matched)
        execution.succeed({"matched": matched, "changed": changed, "refused": refused, "refusals": refusals})
