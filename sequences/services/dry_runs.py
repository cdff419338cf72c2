"""Dry runs: what a sequence would send, with its owner's secrets and stored sequences. Nothing is sent or stored."""

import time
from typing import Any

from sequences.domain.dry_run import DryRun, read_answers
from sequences.domain.errors import SequenceStopped
from sequences.domain.program import parse_stored
from sequences.services.run_context import run_context
from sequences.services.sequence_execution import configured_limits
from sequences.services.sequence_runs import KIND
from sequences.services.step_recorder import StepRecorder
from sequences.services.stored_sequences import Library
from taskhub.db.connections import give_back_connection
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.runs.models import Run

PATIENCE_SECONDS = 5.0
# In one web process: they compute, and hold up whatever else it does.
_dry_runs = FairSemaphore(4, "Too many dry runs are under way.", waiting=16)


def dry_run(*, owner: Any, sequence: Any, answers: Any) -> dict[str, Any]:
    """`{requests, errors, nothing_found, unused_answers, stopped}`, secrets masked; `owner` is None for nobody's.

    `answers` are `{path: {status?, headers?, body?}}`, or lists of these. Raises `InvalidSequence` for a sequence or
    for answers that are none.
    """
    given = read_answers(answers)
    found_nothing: dict[tuple[str, str], int] = {}

    def note(place: str, expression: str) -> None:
        found_nothing[place, expression] = found_nothing.get((place, expression), 0) + 1

    program, _ = parse_stored(sequence, None, note)
    run = Run(kind=KIND, owner=owner, arguments=sequence, attempt=1)  # never saved
    recorder = StepRecorder(run, [sequence, answers])
    dry = DryRun(
        program,
        given,
        clock=time.monotonic,
        limits=configured_limits(),
        context=run_context(run, recorder),
        load=Library(run.owner_id, note).load,
    )
    stopped = None
    give_back_connection()  # while it computes, others need one
    try:
        dry.run()
    except SequenceStopped as stop:
        stopped = {"path": stop.path, "detail": stop.message}
    for record in dry.records:
        recorder.note_secrets(record)
    hidden = recorder.without_secrets
    return {
        "requests": [
            {"path": record.path, "title": record.title, "attempt": record.attempt, **recorder.shown_request(record)}
            for record in dry.records
            if record.sent
        ],
        "errors": [
            {"path": record.path, "detail": recorder.shown_error(record)} for record in dry.records if record.error
        ],
        "nothing_found": [
            {"path": place, "expression": hidden(text), "times": times}
            for (place, text), times in found_nothing.items()
        ],
        "unused_answers": given.unused,
        "stopped": stopped and {"path": stopped["path"], "detail": hidden(stopped["detail"])},
    }


def dry_run_in_turn(*, owner: Any, sequence: Any, answers: Any) -> dict[str, Any]:
    """The same for who asks over HTTP, beside a few others. Raises `Unavailable`, too."""
    with _dry_runs.acquire(owner.pk, PATIENCE_SECONDS):
        return dry_run(owner=owner, sequence=sequence, answers=answers)
