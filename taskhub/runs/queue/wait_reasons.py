"""Why a run waits: for its time, for credits, for others with its concurrency key, or for a slot."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from taskhub.runs.domain import WAITING, State
from taskhub.runs.models import Run, worker_timeout
from taskhub.runs.queue.leases import SHARES
from taskhub.runs.run_kinds import is_kind, kind_of, kinds_of_queue

_SHARES_OF_OWNERS = f"""
{SHARES}
SELECT (SELECT count(*) FROM processes), (SELECT slots FROM free),
    ARRAY(SELECT alone_as FROM alone WHERE alone_as = ANY(%(alone_as)s)),
    coalesce((
        SELECT jsonb_object_agg(owner_id, jsonb_build_array(runs, slots)) FROM held WHERE owner_id = ANY(%(owners)s)
    ), '{{}}')
"""  # noqa: S608 (a statement of our own)


class WaitReason(StrEnum):
    """What a run waits for."""

    TIME = "time"  # its time to begin, or that of its next attempt
    CREDITS = "credits"
    CONCURRENCY = "concurrency"  # others with its concurrency key, or one that goes on alone
    OWNER_CAP = "owner_cap"  # other runs of its owner
    SLOT = "slot"


class Wait(NamedTuple):
    """What a run waits for, and the words for it."""

    reason: WaitReason
    detail: str


def waits_of(runs: Iterable[Run]) -> dict[UUID, Wait]:
    """What each of the runs waits for that wait. One statement for each queue of which a run is ready."""
    waiting = [run for run in runs if run.state in WAITING]
    queues: dict[str, list[Run]] = {}
    for run in waiting:
        if run.ready and is_kind(run.kind):
            queues.setdefault(kind_of(run.kind).queue, []).append(run)
    waits = {run.pk: _wait_of_unready(run) for run in waiting if not run.ready}
    for queue, ready in queues.items():
        waits |= _waits_for_slots(queue, ready)
    return waits


def _wait_of_unready(run: Run) -> Wait:
    if run.blocked:
        number = "1 run" if run.concurrency_limit == 1 else f"{run.concurrency_limit} runs"
        return Wait(
            WaitReason.CONCURRENCY, f"Of the runs with the key {run.concurrency_key!r} {number} may go on at a time."
        )
    if run.not_before is None:
        return Wait(WaitReason.CREDITS, str((run.error or {}).get("message", "Its owner's credits are used up.")))
    if run.not_before <= timezone.now():
        return Wait(WaitReason.TIME, "Its time has come: it is offered to the workers in a moment.")
    begins = f"{run.not_before:%Y-%m-%dT%H:%M:%SZ}"
    if run.state == State.RETRY:
        return Wait(WaitReason.TIME, f"Attempt {run.attempt} failed; the next one begins at {begins}.")
    return Wait(WaitReason.TIME, f"It begins at {begins} at the earliest.")


def _waits_for_slots(queue: str, runs: list[Run]) -> dict[UUID, Wait]:
    values: dict[str, Any] = {"queue": queue, "kinds": kinds_of_queue(queue), "silent": worker_timeout()}
    values |= {"owners": [run.owner_id for run in runs], "alone_as": [run.alone_as for run in runs if run.alone_as]}
    with connection.cursor() as cursor:
        cursor.execute(_SHARES_OF_OWNERS, values)
        slots, free, alone, held = cursor.fetchone()
    shares = _Shares(queue, slots, free or 0, frozenset(alone), _parsed(held))
    return {run.pk: shares.wait_of(run) for run in runs}


def _parsed(held: Any) -> dict[str, list[int]]:
    value: dict[str, list[int]] = json.loads(held) if isinstance(held, str) else held
    return value


class _Shares(NamedTuple):
    """The slots of a queue, and by their owners how many runs go on and how many slots these hold: see `leases`."""

    queue: str
    slots: int
    free: int
    alone: frozenset[str]
    held: dict[str, list[int]]

    def wait_of(self, run: Run) -> Wait:
        runs, slots = self.held.get(str(run.owner_id), [0, 0])
        if not self.slots:
            return Wait(WaitReason.SLOT, f"No worker serves the queue {self.queue!r}.")
        if run.alone_as and run.alone_as in self.alone:
            return Wait(WaitReason.CONCURRENCY, "Another run goes on beside which it may not.")
        if runs >= settings.RUN_CAP_PER_OWNER:
            return Wait(WaitReason.OWNER_CAP, f"{runs} runs of its owner go on in the queue, as many as may.")
        if self.free <= 0:
            return Wait(WaitReason.SLOT, f"All {self.slots} slots of the queue {self.queue!r} are taken.")
        if slots >= self.free:
            return Wait(
                WaitReason.OWNER_CAP,
                f"Its owner holds {slots} of {self.slots} slots and {self.free} are free: nobody gets one more while "
                "as few are free as he holds.",
            )
        return Wait(WaitReason.SLOT, f"{self.free} of {self.slots} slots are free: it is taken in its turn.")
