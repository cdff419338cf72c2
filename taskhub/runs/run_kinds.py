"""The kinds of runs. An app registers its own in `AppConfig.ready()`; the ledger knows none of them by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.runs.domain import backoff

if TYPE_CHECKING:
    from taskhub.runs.models import Run


def _nothing(*_: Any) -> None:
    return None


def _none(*_: Any) -> list[Any]:
    return []


def _no_rows() -> int:
    return 0


def _no_more(_: "Run") -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Kind:
    """How one kind of run is checked, sent and ended.

    `task` is the registered Celery name and `queue` where it is sent. `check` raises `Rejected` for arguments that
    cannot run. `copied(old, new)` is called in the transaction that accepts a retry; `ended(run)` in the one that ends
    a run, with the state it ends in; `removed(ids)` before runs are deleted. `pages(run)` are words and addresses of
    pages in the admin that show more of a run.

    A run that names a webhook tells its end: an `event` with the data of `told(run)`, asked for in the ending
    transaction; None where there is nothing to tell yet. `message(run, data)` is what is sent, made when it is sent; by
    default the run as `/runs` shows it, with its result.

    `attempts` are those of one run, by default as many as the settings say; `wait(attempt)` gives the seconds after one
    that may succeed later.

    The leader calls `sweep()` every second, and rings for what `waiting()` then names: runs that were handed over and
    have work for a worker. It calls `prune()` every minute, which removes one batch and says how many rows.
    """

    name: str
    task: str
    queue: str
    check: Callable[[Mapping[str, Any]], None] = _nothing
    copied: Callable[["Run", "Run"], None] = _nothing
    ended: Callable[["Run"], None] = _nothing
    removed: Callable[[list[Any]], None] = _nothing
    pages: Callable[["Run"], list[tuple[str, str]]] = _none
    sweep: Callable[[], None] = _nothing
    waiting: Callable[[], list[Any]] = _none
    prune: Callable[[], int] = _no_rows
    event: str = "run.finished"
    told: Callable[["Run"], dict[str, Any] | None] = _no_more
    message: Callable[["Run", Mapping[str, Any]], dict[str, Any]] | None = None
    attempts: int | None = None
    wait: Callable[[int], float] = backoff


@dataclass(frozen=True)
class Work:
    """What is to be accepted when a schedule is due: a run of this owner, with this name."""

    owner: Any
    name: str
    arguments: Mapping[str, Any]
    time_limit: float | None = None
    webhook: str = ""


@dataclass(frozen=True)
class Schedulable:
    """What schedules may start, and how an operator selects it.

    `tasks` are names of Celery tasks by which periodic tasks select it: the first is offered, the others are older
    spellings. `example` are arguments as the documents print them. `work(arguments, owner, schedule)` is asked when a
    schedule, by name, is saved and again when it is due; it raises `Problem`s for what cannot run, those for arguments
    with `errors` that have a `path` and a `detail` each.
    """

    kind: str
    title: str
    tasks: tuple[str, ...]
    example: str
    work: Callable[[Mapping[str, Any], Any, str], Work]


_kinds: dict[str, Kind] = {}
_schedulables: list[Schedulable] = []


def register(kind: Kind) -> None:
    _kinds[kind.name] = kind


def kind_of(name: str) -> Kind:
    """The registered kind; `LookupError` says what an operator must have removed."""
    try:
        return _kinds[name]
    except KeyError:
        raise LookupError(f"No installed app runs the kind {name!r}.") from None


def is_kind(name: str) -> bool:
    return name in _kinds


def hooks_of(name: str) -> Kind:
    """The registered kind, or one that does nothing: the runs of an app that was removed must still end."""
    return _kinds.get(name) or Kind(name, "", "")


def all_kinds() -> list[Kind]:
    return list(_kinds.values())


def register_schedulable(schedulable: Schedulable) -> None:
    _schedulables.append(schedulable)


def all_schedulables() -> list[Schedulable]:
    return list(_schedulables)


def schedulable_of(task: str) -> Schedulable | None:
    """What the name of a Celery task selects; None when nothing that schedules may start has it."""
    return next((one for one in _schedulables if task in one.tasks), None)
