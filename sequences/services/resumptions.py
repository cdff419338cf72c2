"""Resumption: a new run goes on from the step at which another failed, with what that had saved."""

from typing import Any

from django.db import transaction

from sequences.domain.exchange import StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.json_values import weigh
from sequences.domain.steps import SequenceProgram
from sequences.domain.stops import continued
from sequences.domain.validation_errors import StepFailure
from sequences.services.checkpoints import HIDDEN, CheckpointStore, load_state
from sequences.services.sequence_execution import configured_limits, program_of
from taskhub.errors import Conflict, invalid
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import Run


def resume(*, run: Run, persistence: dict[str, Any]) -> Run:
    """Submits the run that goes on, whose `retry_of` is the old one; `persistence` replaces what that had saved.

    Raises `Conflict` for one that has not failed, and otherwise as `retry`: what its owner needed to start it is asked
    again.
    """
    if run.state != State.FAILURE:
        raise Conflict(f"Only a run that failed can be resumed; it is {run.state}.", state=run.state)
    with transaction.atomic():
        new = runs.retry(run=run)
        program, _ = program_of(run)
        stored = load_state(run, program.persistence) or _beginning(program)
        state = continued(stored)
        state["values"][HIDDEN] = stored["values"].get(HIDDEN, {})
        state["persistence"] = {**state["persistence"], **persistence}
        _check_size(state["persistence"])
        CheckpointStore(new, {}).store(state)
    return new


def _beginning(program: SequenceProgram) -> dict[str, Any]:
    """The first checkpoint of a run that was lost before it had stored one."""
    return Interpreter(program, send=_send_nothing, jac=_send_nothing, clock=lambda: 0.0).checkpoint()


def _send_nothing(*_: Any) -> StepResponse:
    raise AssertionError("Nothing is sent before the run")


def _check_size(persistence: dict[str, Any]) -> None:
    try:
        weigh(persistence, configured_limits().persistence, "Persistence")
    except StepFailure as error:
        raise invalid("/persistence", str(error)) from None
