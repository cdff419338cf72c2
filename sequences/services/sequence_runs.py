"""Checks sequences, submits runs of them, and finds these."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from sequences.domain.program import parse
from taskhub.errors import NotFound
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun

KIND = "sequence"


def check(arguments: Mapping[str, Any]) -> None:
    """Raises `InvalidSequence`, which names each fault's place."""
    parse(arguments)


def submit_sequence(*, arguments: Mapping[str, Any], owner: Any, webhook: str = "") -> Run:
    """Submits a run of a sequence. Raises `InvalidSequence`, and `Refused` for a webhook's address."""
    runs.checked_webhook(webhook)
    return runs.submit(kind=KIND, owner=owner, name=KIND, arguments=arguments, time_limit=time_limit(), webhook=webhook)


def planned_run(arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
    """The run that a schedule, by name, starts. Raises `InvalidSequence`."""
    check(arguments)
    return PlannedRun(owner, schedule, arguments, time_limit())


def time_limit() -> float:
    """Seconds. The sequence's own budget ends first, which keeps what was saved so far."""
    return float(settings.SEQUENCE_SECONDS_MAX + 60)


def sequence_run(*, run_id: UUID, user: Any) -> Run:
    """Raises `NotFound` for what is no run of a sequence, or another's."""
    run = runs.visible_run(run_id=run_id, user=user)
    if run.kind != KIND:
        raise NotFound(f"The run {run_id} is not one of a sequence.")
    return run
