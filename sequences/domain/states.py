"""The state of strands as JSON, so that another worker can go on from there.

Values, which may be large and never change, are kept apart, by their place and a key there: so each is stored once. At
the places of `GROWING` they are lists to which more is only added. A key begins with where its strand is: with nothing
for the first one, and for those of a group with the number of the block that waits for them, and their own.
"""

from typing import Any

from sequences.domain.blocks import Block, Phase, StepProgress
from sequences.domain.budget import Persistence
from sequences.domain.errors import StepError
from sequences.domain.groups import BranchGroup, CallGroup, Group, ItemGroup
from sequences.domain.steps import CALL, PARALLEL
from sequences.domain.strands import Strand

VERSION, READABLE = 3, frozenset({1, 2, 3})

Values = dict[str, dict[str, Any]]
State = dict[str, Any]

CURRENT, ITEMS, BEFORE, ANSWER, PAGES, COLLECTED, SAVED, LAST, GATHERED, ERRORS = (
    "current", "items", "before", "answer", "pages", "collected", "saved", "last", "gathered", "errors"
)  # fmt: skip
GROWING = frozenset({PAGES, COLLECTED, GATHERED})


def strand_state(strand: Strand, key: str, values: Values) -> State:
    """The strand for `restore_strand`, without its persistence."""
    state: State = {
        "blocks": [_block_state(block, f"{key}{number}", values) for number, block in enumerate(strand.blocks)],
        "trouble": _error_state(strand.error, f"{key}error", values),
    }
    if strand.stage:
        state |= {"stage": strand.stage, "failure": _error_state(strand.failure, f"{key}failure", values)}
        _put(values, LAST, key, strand.last)
    return state


def restore_strand(strand: Strand, state: State, key: str, values: Values) -> None:
    """Brings a strand at its beginning to a stored state. Raises what a state of another sequence leads to."""
    strand.resumed = True
    strand.error = _restore_error(state["trouble"], f"{key}error", values)
    if stage := state.get("stage", 0):
        strand.failure = _restore_error(state["failure"], f"{key}failure", values)
        strand.last = values[LAST][key]
        strand.stage = int(stage)
        program = strand.program
        assert program
        strand.begin_stage(program.on_failure if stage == 1 else program.finally_)
    if not state["blocks"]:
        strand.blocks = []
    for number, block_state in enumerate(state["blocks"]):
        if number:
            strand.blocks.append(_reopen_inner_block(strand.blocks[-1], values, f"{key}{number - 1}"))
        _restore_block(strand, strand.blocks[-1], block_state, f"{key}{number}", values)


def _put(values: Values, place: str, key: str, value: Any) -> None:
    values.setdefault(place, {})[key] = value


def _error_state(error: StepError | None, key: str, values: Values) -> Any:
    if error is None:
        return None
    _put(values, ERRORS, key, [error.message, error.value])
    return [error.path, error.final]


def _restore_error(state: Any, key: str, values: Values) -> StepError | None:
    if not state:
        return None
    if len(state) == 4:  # of an older version, which kept the value here
        return StepError(*state)
    (path, final), (message, value) = state, values[ERRORS][key]
    return StepError(path, message, value, final)


def _block_state(block: Block, key: str, values: Values) -> State:
    """The block without values that are stored elsewhere already."""
    loop = block.step.loop if block.items is not None else None
    if loop and not loop.by_response:
        _put(values, ITEMS, key, block.items)
    state: State = {
        "at": block.step_index,
        "phase": int(block.phase),
        "next": block.next_item,
        "save_to": block.save_to,
        "items": True if loop and not loop.by_response else None,
        "looping": block.items is not None,
        "current": _value_state(block, block.current, CURRENT, key, values),
        "kept": block.saved_as,
    }
    if block.answer is not None:
        _put(values, ANSWER, key, block.answer)
        state["answer"] = True
    if block.progress is not None:
        state["progress"] = _progress_state(block, block.progress, key, values)
    if block.group is not None:
        state["group"] = _group_state(block.group, key, values)
    return state


def _value_state(block: Block, value: Any, place: str, key: str, values: Values) -> State:
    if value is block.persistence:
        return {"is": "persistence"}
    if value is block.item:
        return {"is": "item"}
    if block.saved_as is not None and block.persistence.get(block.saved_as) is value:
        return {"is": "saved"}
    _put(values, place, key, value)
    return {"is": "value"}


def _restore_value(block: Block, state: State, place: str, key: str, values: Values) -> Any:
    match state["is"]:
        case "persistence":
            return block.persistence
        case "item":
            return block.item
        case "saved":
            return block.persistence[block.saved_as or ""]
    return values[place][key]


def _progress_state(block: Block, progress: StepProgress, key: str, values: Values) -> State:
    _put(values, PAGES, key, progress.pages)
    _put(values, COLLECTED, key, progress.collected)
    return {
        "attempt": progress.attempt,
        "polls": progress.polls,
        "delay": progress.delay,
        "page": progress.page,
        "next_page": progress.next_page,
        "items": progress.items,
        "size": progress.size,
        "taken": progress.taken,
        "pages": len(progress.pages),
        "collected": len(progress.collected),
        "before": _value_state(block, progress.before, BEFORE, key, values),
    }


def _restore_progress(block: Block, state: State, key: str, values: Values) -> StepProgress:
    progress = StepProgress(_restore_value(block, state["before"], BEFORE, key, values))
    progress.attempt, progress.polls, progress.delay = int(state["attempt"]), int(state["polls"]), float(state["delay"])
    progress.page, progress.next_page = int(state["page"]), state["next_page"]
    progress.items, progress.size, progress.taken = int(state["items"]), int(state["size"]), int(state["taken"])
    progress.pages = _restore_list(values, PAGES, key, state["pages"])
    progress.collected = _restore_list(values, COLLECTED, key, state["collected"])
    return progress


def _restore_list(values: Values, place: str, key: str, count: int) -> list[Any]:
    """The first values of a list; it may have grown since the rest of the state was stored."""
    restored: list[Any] = values[place][key][:count] if count else []
    if len(restored) < count:
        raise ValueError("a list that is shorter than it was")
    return restored


def _restore_block(strand: Strand, block: Block, state: State, key: str, values: Values) -> None:
    block.start(int(state["at"]))
    block.phase = Phase(state["phase"])
    block.next_item = int(state["next"])
    block.save_to = state["save_to"]
    block.saved_as = state["kept"]
    block.current = _restore_value(block, state["current"], CURRENT, key, values)
    block.answer = values[ANSWER][key] if state.get("answer") else None
    if state["looping"]:
        loop = block.step.loop
        assert loop
        block.items = loop.items(block) if loop.by_response else values[ITEMS][key]
        if not isinstance(block.items, list):
            raise TypeError("no list to loop over")
    if progress := state.get("progress"):
        block.progress = _restore_progress(block, progress, key, values)
    if group := state.get("group"):
        block.group = _restore_group(strand, block, group, key, values)


def _reopen_inner_block(outer: Block, values: Values, key: str) -> Block:
    if outer.phase >= Phase.CATCHING:
        return outer.catch_block(None)
    if not outer.items or not outer.next_item:
        raise ValueError("a loop over nothing")
    outer.next_item -= 1  # it is already past the item whose block is open
    inner = outer.item_block(outer.items[outer.next_item])
    outer.next_item += 1
    return inner


# Groups


def _group_state(group: Group, key: str, values: Values) -> State:
    _put(values, GATHERED, key, group.values)
    failed = group.failed
    return {
        "drawn": group.drawn,
        "merged": group.merged,
        "failed": failed and [failed[0], _error_state(failed[1], f"{key}/failed", values)],
        "values": len(group.values),
        "saved": _saved_state(group.persistence, f"{key}/", values),
        "active": [_member_state(strand, key, values) for strand in group.active.values()],
        "ended": [_member_state(strand, key, values) for strand in group.ended.values()],
        "version": group.version if isinstance(group, CallGroup) else None,
    }


def _member_state(strand: Strand, key: str, values: Values) -> State:
    key = f"{key}/{strand.number}/"
    _put(values, LAST, key, strand.last)
    return {
        **strand_state(strand, key, values),
        "number": strand.number,
        "item": strand.item,
        "saved": _saved_state(strand.persistence, key, values),
    }


def _saved_state(persistence: Persistence, key: str, values: Values) -> list[Any]:
    """The names of what was saved, in their order, and whether nobody is shown it."""
    for name in persistence.saved:
        _put(values, SAVED, f"{key}{name}", persistence.values[name])
    return [[name, name in persistence.sensitive] for name in persistence.saved]


def _restore_saved(persistence: Persistence, state: Any, key: str, values: Values) -> None:
    for name, sensitive in state:
        persistence.save(name, values[SAVED][f"{key}{name}"], sensitive=bool(sensitive))


def _restore_group(strand: Strand, block: Block, state: State, key: str, values: Values) -> Group:
    group = _empty_group(strand, block, state["version"])
    group.drawn, group.merged = int(state["drawn"]), int(state["merged"])
    if GATHERED in values or not state["values"]:
        group.values = _restore_list(values, GATHERED, key, state["values"])
    else:  # of an older version
        group.values = [values[LAST][f"{key}/{number}"] for number in range(state["values"])]
    _restore_saved(group.persistence, state["saved"], f"{key}/", values)
    if state["failed"]:
        number, failure = state["failed"]
        error = _restore_error(failure, f"{key}/failed", values)
        assert error
        group.failed = (int(number), error)
    for members, states in ((group.active, state["active"]), (group.ended, state["ended"])):
        for member_state in states:
            member = _restore_member(group, member_state, key, values)
            members[member.number] = member
    return group


def _empty_group(strand: Strand, block: Block, version: Any) -> Group:
    step = block.step
    if step.action == PARALLEL:
        return BranchGroup(strand, block)
    if step.action == CALL:
        return strand.called(step, block, int(version), None)
    return ItemGroup(strand, block)


def _restore_member(group: Group, state: State, key: str, values: Values) -> Strand:
    number = int(state["number"])
    key = f"{key}/{number}/"
    member = group.strand_of(number, int(state["item"]))
    _restore_saved(member.persistence, state["saved"], key, values)
    restore_strand(member, state, key, values)
    member.last = values[LAST][key]
    return member
