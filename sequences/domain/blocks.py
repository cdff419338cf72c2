"""The position of a run: a block of steps for the sequence, and one more for each loop that goes on within it.

With persistence, the blocks are the whole state of a run, so that another worker can go on from them.
"""

from enum import IntEnum
from typing import Any

from sequences.domain.scope import Scope
from sequences.domain.steps import SequenceProgram, Step
from sequences.domain.validation_errors import StepFailure
from taskhub.errors import Rejected


class Phase(IntEnum):
    """How far the current step of a block is."""

    READY = 0  # nothing was sent
    ANSWERED = 1  # its loop goes on, then comes its `break`
    OVER = 2


class Block(Scope):
    """Steps of one level, and which of them is carried out.

    `step_index` is the index of the current step, `prefix` what comes before its name in its path. While the step
    loops, `items` are what it loops over and `next_item` is the index of the next of them. `saved_as` is the key under
    which `current` was saved last; `save_to` is the one that the step's value is to be saved under.
    """

    __slots__ = ("items", "next_item", "phase", "prefix", "save_to", "saved_as", "step_index", "steps")

    def __init__(self, steps: tuple[Step, ...], prefix: str, scope: Scope) -> None:
        super().__init__(scope.current, scope.persistence, scope.item, scope.index)
        self.steps = steps
        self.prefix = prefix
        self.start(0)
        self.saved_as: str | None = None

    @property
    def path(self) -> str:
        """The path of the current step, or of the last one at the block's end."""
        step = self.steps[min(self.step_index, len(self.steps) - 1)] if self.steps else None
        return f"{self.prefix}{step.name}" if step else self.prefix

    def start(self, step_index: int) -> None:
        """Goes to a step, of which nothing is done yet."""
        self.step_index = step_index
        self.phase = Phase.READY
        self.items: list[Any] | None = None
        self.next_item = 0
        self.save_to: str | None = None

    @property
    def item_path(self) -> str:
        """The path of the next item."""
        loop = self.steps[self.step_index].loop
        return f"{self.path}.{loop.name if loop else ''}[{self.next_item}]"

    def inner_block(self, item: Any) -> "Block":
        """The block of this step's loop for `item`, which is the next one."""
        loop = self.steps[self.step_index].loop
        assert loop
        return Block(loop.steps, f"{self.item_path}.", Scope(item, self.persistence, item, str(self.next_item)))


def outer_block(program: SequenceProgram, persistence: dict[str, Any]) -> Block:
    presets = program.container
    scope = Scope(presets.get("current", persistence), persistence, presets.get("parent_current"), presets["index"])
    return Block(program.steps, "", scope)


def block_state(block: Block) -> dict[str, Any]:
    """The block as JSON for `restore_blocks`, without values that are stored elsewhere already."""
    loop = block.steps[block.step_index].loop if block.items is not None else None
    return {
        "at": block.step_index,
        "phase": int(block.phase),
        "next": block.next_item,
        "save_to": block.save_to,
        "items": block.items if loop and not loop.by_response else None,
        "looping": block.items is not None,
        "current": _current_state(block),
        "kept": block.saved_as,
    }


def restore_blocks(program: SequenceProgram, persistence: dict[str, Any], states: Any) -> list[Block]:
    """The blocks of stored states, the outer one first. Raises `Rejected` for a state of another sequence."""
    blocks: list[Block] = []
    try:
        for state in states:
            block = _reopen_inner_block(blocks[-1]) if blocks else outer_block(program, persistence)
            _restore(block, state)
            blocks.append(block)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, StepFailure) as error:
        raise Rejected(f"The stored state is not one of this sequence: {error!r}.") from None
    return blocks


def _reopen_inner_block(outer: Block) -> Block:
    if not outer.items or not outer.next_item:
        raise ValueError("a loop over nothing")
    outer.next_item -= 1  # it is already past the item whose block is open
    inner = outer.inner_block(outer.items[outer.next_item])
    outer.next_item += 1
    return inner


def _restore(block: Block, state: dict[str, Any]) -> None:
    block.start(int(state["at"]))
    block.phase = Phase(state["phase"])
    block.next_item = int(state["next"])
    block.save_to = state["save_to"]
    block.saved_as = state["kept"]
    block.current = _restore_current(block, state["current"])
    if state["looping"]:
        loop = block.steps[block.step_index].loop
        assert loop
        block.items = loop.items(block) if loop.by_response else state["items"]
        if not isinstance(block.items, list):
            raise TypeError("no list to loop over")


def _current_state(block: Block) -> dict[str, Any]:
    if block.current is block.persistence:
        return {"is": "persistence"}
    if block.current is block.item:
        return {"is": "item"}
    if block.saved_as is not None and block.persistence.get(block.saved_as) is block.current:
        return {"is": "saved"}
    return {"is": "value", "value": block.current}


def _restore_current(block: Block, state: dict[str, Any]) -> Any:
    match state["is"]:
        case "persistence":
            return block.persistence
        case "item":
            return block.item
        case "saved":
            return block.persistence[block.saved_as or ""]
    return state["value"]
