"""Stores a run's state and loads it again: the values that it holds apart from its position.

Values never change while a run goes on, so each is stored once, and of lists that grow only what is new: a loop of ten
thousand requests over a large list costs no more than the list and ten thousand short states.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import connection

from sequences.domain.states import GROWING
from sequences.models import Checkpoint, CheckpointValue
from taskhub.runs.models import Run

Key = tuple[str, str]  # place and key
PERSISTENCE = "persistence"
HIDDEN = "hidden"  # texts that nobody is shown
_MISSING = object()
_DELETE = f"""
WITH gone AS (DELETE FROM {Checkpoint._meta.db_table} WHERE run_id = %(run)s)
DELETE FROM {CheckpointValue._meta.db_table} WHERE run_id = %(run)s
"""  # noqa: S608 (tables of our own)


class CheckpointStore:
    """Stores checkpoints of one run; it knows which values are stored. The same object is the same value."""

    def __init__(self, run: Run, stored: Mapping[Key, Any]) -> None:
        self._run = run
        self._stored = dict(stored)
        self._lists: dict[Key, tuple[list[Any], int]] = {}  # how much of them is stored

    def store(self, state: dict[str, Any]) -> None:
        """Stores a checkpoint of the interpreter."""
        values = values_of(state)
        position = {key: value for key, value in state.items() if key not in ("persistence", "values")}
        new = {key: value for key, value in values.items() if self._stored.get(key, _MISSING) is not value}
        grown: dict[Key, Any] = {}
        for (place, key), items in lists_of(state).items():
            known, count = self._lists.get((place, key), (None, 0))
            begin = count if known is items else 0
            grown |= {(place, f"{key}/{number}"): items[number] for number in range(begin, len(items))}
            self._lists[place, key] = items, len(items)
        CheckpointValue.objects.bulk_create(
            [_row(self._run, key, value) for key, value in (new | grown).items()],
            update_conflicts=True,
            unique_fields=["run", "digest"],
            update_fields=["value"],
        )
        Checkpoint.objects.bulk_create(
            [Checkpoint(run=self._run, state=as_json(position))],
            update_conflicts=True,
            unique_fields=["run"],
            update_fields=["state"],
        )
        self._stored |= new


def _row(run: Run, key: Key, value: Any) -> CheckpointValue:
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()
    return CheckpointValue(run=run, digest=digest, place=key[0], key=key[1], value=value)


def load_state(run: Run, persistence: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last checkpoint as the interpreter made it, or None; `persistence` is that of the run's arguments."""
    checkpoint = Checkpoint.objects.filter(run=run).first()
    if checkpoint is None:
        return None
    state: dict[str, Any] = json.loads(checkpoint.state)
    values: dict[str, dict[str, Any]] = {PERSISTENCE: dict(persistence)}
    members: dict[Key, dict[int, Any]] = {}
    for row in CheckpointValue.objects.filter(run=run).order_by("pk"):
        if row.place in GROWING:
            key, _, number = row.key.rpartition("/")
            members.setdefault((row.place, key), {})[int(number)] = row.value
        else:
            values.setdefault(row.place, {})[row.key] = row.value
    for (place, key), numbered in members.items():
        values.setdefault(place, {})[key] = [numbered[number] for number in sorted(numbered)]
    return {**state, "persistence": values.pop(PERSISTENCE), "values": values}


def values_of(state: Mapping[str, Any]) -> dict[Key, Any]:
    """The values in a checkpoint of the interpreter, by their place and their key there; without lists that grow."""
    places = {PERSISTENCE: state["persistence"], **state["values"]}
    return {
        (place, key): value for place, values in places.items() if place not in GROWING for key, value in values.items()
    }


def lists_of(state: Mapping[str, Any]) -> dict[Key, list[Any]]:
    """The lists in a checkpoint to which more is only added."""
    return {
        (place, key): items
        for place in GROWING & state["values"].keys()
        for key, items in state["values"][place].items()
    }


def delete_state(run: Run) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, {"run": run.pk})


def as_json(value: Any) -> str:
    """Text, not `jsonb`: that would forget the order of keys."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
