"""The kinds of runs. An app registers its own in `AppConfig.ready()`; the ledger knows none of them by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskhub.runs.models import Run


def _nothing(*_: Any) -> None:
    return None


@dataclass(frozen=True)
class Kind:
    """How one kind of run is checked, sent and ended.

    `task` is the registered Celery name and `queue` where it is sent. `check` raises `Rejected` for arguments that
    cannot run. `copied(old, new)` is called in the transaction that accepts a retry; `ended(run)` in the one that ends
    a run, with the state it ends in; `removed(ids)` before runs are deleted.
    """

    name: str
    task: str
    queue: str
    check: Callable[[Mapping[str, Any]], None] = _nothing
    copied: Callable[["Run", "Run"], None] = _nothing
    ended: Callable[["Run"], None] = _nothing
    removed: Callable[[list[Any]], None] = _nothing


_kinds: dict[str, Kind] = {}


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
