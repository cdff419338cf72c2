"""Kinds of runs, and targets of schedules. Each app registers its own in `AppConfig.ready()`; none is known here."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings

from taskhub.errors import Conflict
from taskhub.runs.domain import backoff
from taskhub.runs.models import Run
from taskhub.security.scopes import KeyScope


class RunKind:
    """How one kind of run is checked, sent, ended and shown. A subclass states the attributes and what differs.

    `task` is the registered name of the Celery task and `queue` where it is sent. `retry_delays` are the seconds after
    each failed attempt that may succeed later, so that there is one attempt more than delays; None for as many attempts
    as the settings say, with exponential back-off. `webhook_event` is the type of the message that tells of its end.
    Runs of a kind that `is_secondary` come of others, or of what a user has done: bulk changes that do not name the
    kind pass over them.
    `notifies`: notification rules may tell of such runs; what delivers their messages is told of by nobody.
    """

    name: ClassVar[str] = ""
    task: ClassVar[str] = ""
    queue: ClassVar[str] = ""
    retry_delays: ClassVar[tuple[float, ...] | None] = None
    webhook_event: ClassVar[str] = "run.finished"
    is_secondary: ClassVar[bool] = False
    notifies: ClassVar[bool] = True

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raises `Rejected` for arguments that cannot run."""

    def options_of(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the work itself states of such a run, such as its priority, where nothing is said of the run."""
        return {}

    def check_owner(self, arguments: Mapping[str, Any], owner: Any) -> None:
        """Raises `Forbidden` where the owner may no longer start such a run; it is asked when one is tried again."""

    def key_scopes(self, arguments: Mapping[str, Any]) -> frozenset[KeyScope]:
        """The scopes that an API key needs to try such a run again."""
        return frozenset({KeyScope.RUN})

    def on_retry(self, old: Run, new: Run) -> None:
        """Is called in the transaction that submits `new` to try `old` again."""

    def retry_with(self, run: Run, arguments: Mapping[str, Any]) -> Run:
        """Submits a new run in place of one that has ended, whose `retry_of` it is, with other arguments.

        What they do not name stays as it was. They are checked as those of a new call of the run's owner: raises its
        errors, whose places begin at the arguments, and `Conflict` where such runs take no others.
        """
        raise Conflict(f"A run of the kind {run.kind!r} is tried again as it was, without other arguments.")

    def on_end(self, run: Run) -> None:
        """Is called in the transaction that ends a run, with the state, result and error that it ends with."""

    def notifies_of(self, run: Run) -> bool:
        """Whether notification rules may tell of the end of one of its runs."""
        return self.notifies

    def failure_event(self, error: Mapping[str, Any]) -> str | None:
        """The event of notifications that says more of a failure than `run.failed`, if there is one."""
        return None

    def on_delete(self, run_ids: list[UUID]) -> None:
        """Is called before runs are deleted."""

    @property
    def attempts(self) -> int:
        return settings.RUN_ATTEMPTS if self.retry_delays is None else len(self.retry_delays) + 1

    def delay_after(self, failures: int) -> float:
        """Seconds from an attempt that failed to the next, where it may succeed later; so many have failed."""
        delays = self.retry_delays
        return backoff(failures) if delays is None else delays[min(failures, len(delays)) - 1]

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        """Labels and addresses of pages in the admin that show more of a run."""
        return []

    def webhook_data(self, run: Run) -> dict[str, Any] | None:
        """What the delivery of a run's end keeps, in the ending transaction; None for no delivery (yet)."""
        return {}

    def webhook_message(self, run: Run, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is sent of a run, made of `webhook_data` when it is sent; None for the run as `/runs` shows it."""
        return None

    def sweep(self) -> None:
        """Is called by the leader every second."""

    def detached_runs_with_work(self) -> list[UUID]:
        """Ids of detached runs that have work for a worker, some of them; asked after each `sweep`."""
        return []

    def seconds_untaken(self) -> float:
        """For how long work of detached runs has waited that a worker could take, while none took any; or 0."""
        return 0.0

    def slots_taken(self) -> int:
        """How many slots of workers have work of detached runs."""
        return 0

    def prune(self) -> int:
        """Removes one batch of what is past its retention and says how many rows; called by the leader every minute."""
        return 0


@dataclass(frozen=True)
class PlannedRun:
    """The run that a schedule submits when it is due."""

    owner: Any
    name: str
    arguments: Mapping[str, Any]
    time_limit: float | None = None
    webhook: str = ""


class ScheduleTarget(ABC):
    """What schedules may start, and how an operator selects it.

    `kind` is the name of the run kind. `tasks` are names of Celery tasks by which periodic tasks select the target: the
    first is offered, the others are older spellings. `example` are arguments as the documents print them.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    example: ClassVar[str]

    @abstractmethod
    def plan_run(self, arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
        """The run for arguments, which it checks: when the schedule, by name, is saved, and again when it is due.

        Raises `Problem`s for what cannot run, those for arguments with `errors` that have a `path` and a `detail` each.
        """


_kinds: dict[str, RunKind] = {}
_targets: list[ScheduleTarget] = []
_UNREGISTERED = RunKind()


def register(kind: RunKind) -> None:
    _kinds[kind.name] = kind


def kind_of(name: str) -> RunKind:
    """The registered kind; `LookupError` says what an operator must have removed."""
    try:
        return _kinds[name]
    except KeyError:
        raise LookupError(f"No installed app runs the kind {name!r}.") from None


def is_kind(name: str) -> bool:
    return name in _kinds


def kinds_of_queue(queue: str) -> list[str]:
    """Names of the kinds whose runs the workers of a queue carry out."""
    return [kind.name for kind in _kinds.values() if kind.queue == queue]


def kind_or_default(name: str) -> RunKind:
    """The registered kind, or one that does nothing: the runs of an app that was removed must still end."""
    return _kinds.get(name, _UNREGISTERED)


def all_kinds() -> list[RunKind]:
    return list(_kinds.values())


def register_target(target: ScheduleTarget) -> None:
    _targets.append(target)


def all_targets() -> list[ScheduleTarget]:
    return list(_targets)


def target_of(task: str) -> ScheduleTarget | None:
    """The target that the name of a Celery task selects; None when schedules cannot start it."""
    return next((target for target in _targets if task in target.tasks), None)
