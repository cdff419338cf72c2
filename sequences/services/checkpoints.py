"""Stores a run's state and loads it again: the values that it holds apart from its position.

Values never change while a run goes on, so each is stored once: a loop of ten thousand requests over a large list
costs no more than the list and ten thousand short states.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import connection

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

    def store(self, state: dict[str, Any]) -> None:
        """Stores a checkpoint of the interpreter."""
        values = values_of(state)
        position = {key: value for key, value in state.items() if key not in ("persistence", "values")}
        new = {key: value for key, value in values.items() if self._stored.get(key, _MISSING) is not value}
        CheckpointValue.objects.bulk_create(
            [_row(self._run, key, value) for key, value in new.items()],
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
    for row in CheckpointValue.objects.filter(run=run).order_by("pk"):
        values.setdefault(row.place, {})[row.key] = row.value
    return {**state, "persistence": values.pop(PERSISTENCE), "values": values}


def values_of(state: Mapping[str, Any]) -> dict[Key, Any]:
    """The values in a checkpoint of the interpreter, by their place and their key there."""
    places = {PERSISTENCE: state["persistence"], **state["values"]}
    return {(place, key): value for place, values in places.items() for key, value in values.items()}


def delete_state(run: Run) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, {"run": run.pk})


def as_json(value: Any) -> str:
    """Text, not `jsonb`: that would forget the order of keys."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
