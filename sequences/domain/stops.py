"""Where a run stopped, as JSON: before the step that failed, so that another run can go on from there."""

from typing import Any

from sequences.domain.blocks import Block, Phase
from sequences.domain.states import VERSION, State, Values, strand_state
from sequences.domain.strands import Strand

STOP = "stop"
_KEYS = f"{STOP}/"  # how the keys of its values begin
_POSITION = ("blocks", "trouble", "stage", "failure")


def stop_state(strand: Strand, values: Values) -> State:
    """The strand before the step that failed, which is the current one of its last block.

    A loop of which items go on at once begins anew, as do branches and stored sequences.
    """
    state = strand_state(strand, _KEYS, values)
    state["trouble"] = None
    state["blocks"][-1] |= _before_failure(strand, strand.blocks[-1], state["blocks"][-1])
    return state


def _before_failure(strand: Strand, block: Block, state: State) -> State:
    """What is different in the state of the failed step's block. Pages that came are not asked for again."""
    if block.items is not None:
        return {"next": 0} if block.step.loop and block.step.loop.parallel is not None else {}
    if strand.error and strand.error.path == f"{block.path}.break":
        return {"phase": int(Phase.ANSWERED)}
    ready: State = {"phase": int(Phase.READY)}
    if (progress := block.progress) is not None:
        again = {"attempt": 1, "polls": 0, "delay": 0.0} | ({} if progress.page else {"taken": 0, "collected": 0})
        ready["progress"] = {**state["progress"], **again}
    return ready


def values_of_stop(values: Values) -> Values:
    """Those of a checkpoint's values that belong to where the run stopped."""
    return {
        place: {key: value for key, value in members.items() if key.startswith(_KEYS)}
        for place, members in values.items()
    }


def continued(checkpoint: State) -> State:
    """The first checkpoint of a run that goes on from where one stopped, or was lost; its budgets begin anew."""
    position = checkpoint.get(STOP)
    values: Values = checkpoint["values"]
    if position is None:
        position = {key: checkpoint[key] for key in _POSITION if key in checkpoint}
    else:
        values = {
            place: {key.removeprefix(_KEYS): value for key, value in members.items()}
            for place, members in values_of_stop(values).items()
        }
    kept: dict[str, Any] = {key: checkpoint[key] for key in ("persistence", "sensitive")}
    return {"version": VERSION, "steps": 0, "items": 0, "elapsed": 0.0, **kept, **position, "values": values}
