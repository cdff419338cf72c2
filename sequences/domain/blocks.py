"""Where a run stands: a block of steps for the sequence, and one more for each loop that goes on within it.

The blocks are all that there is to know beside persistence, so that another worker can go on from them.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from sequences.domain.scope import Scope
from sequences.domain.steps import Program, Step
from sequences.domain.validation_errors import Failure
from taskhub.errors import Rejected


class Phase(IntEnum):
    """Of the step at which a block stands."""

    READY = 0  # nothing was sent
    ANSWERED = 1  # its loop goes on, then comes its `break`
    OVER = 2


class Block(Scope):
    """`at` is the place of the step, `prefix` what stands before its name in its path.

    While the step loops, `items` are what it loops over and `next` is the place of the next of them. `kept` is the
    key under which `current` was saved last; `save_to` is the one that the step's value is to be saved under.
    """

    __slots__ = ("at", "items", "kept", "next", "phase", "prefix", "save_to", "steps")

    def __init__(self, steps: tuple[Step, ...], prefix: str, scope: Scope) -> None:
        super().__init__(scope.current, scope.persistence, scope.item, scope.index)
        self.steps = steps
        self.prefix = prefix
        self.start(0)
        self.kept: str | None = None

    @property
    def path(self) -> str:
        step = self.steps[min(self.at, len(self.steps) - 1)] if self.steps else None
        return f"{self.prefix}{step.name}" if step else self.prefix

    def start(self, at: int) -> None:
        self.at = at
        self.phase = Phase.READY
        self.items: list[Any] | None = None
        self.next = 0
        self.save_to: str | None = None

    @property
    def inner_path(self) -> str:
        """Of the next item."""
        loop = self.steps[self.at].loop
        return f"{self.path}.{loop.name if loop else ''}[{self.next}]"

    def inner(self, item: Any) -> "Block":
        """The block of this step's loop for `item`, which is the next."""
        loop = self.steps[self.at].loop
        assert loop
        return Block(loop.steps, f"{self.inner_path}.", Scope(item, self.persistence, item, str(self.next)))


def outermost(program: Program, persistence: dict[str, Any]) -> Block:
    presets = program.container
    scope = Scope(presets.get("current", persistence), persistence, presets.get("parent_current"), presets["index"])
    return Block(program.steps, "", scope)


def stored(block: Block) -> dict[str, Any]:
    """JSON from which `restored` makes the block again, without what stands elsewhere already."""
    loop = block.steps[block.at].loop if block.items is not None else None
    return {
        "at": block.at,
        "phase": int(block.phase),
        "next": block.next,
        "save_to": block.save_to,
        "items": block.items if loop and not loop.by_response else None,
        "looping": block.items is not None,
        "current": _stored_current(block),
        "kept": block.kept,
    }


def restored(program: Program, persistence: dict[str, Any], states: Any) -> list[Block]:
    """Raises `Rejected` for a state of another sequence."""
    try:
        return list(_restored(program, persistence, states))
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, Failure) as error:
        raise Rejected(f"The stored state is not one of this sequence: {error!r}.") from None


def _restored(program: Program, persistence: dict[str, Any], states: list[dict[str, Any]]) -> Iterator[Block]:
    outer: Block | None = None
    for state in states:
        block = _inner(outer) if outer else outermost(program, persistence)
        _restore(block, state)
        yield block
        outer = block


def _inner(outer: Block) -> Block:
    if not outer.items or not outer.next:
        raise ValueError("a loop over nothing")
    outer.next -= 1  # `next` is already past the item whose block is open
    inner = outer.inner(outer.items[outer.next])
    outer.next += 1
    return inner


def _restore(block: Block, state: dict[str, Any]) -> None:
    block.start(int(state["at"]))
    block.phase = Phase(state["phase"])
    block.next = int(state["next"])
    block.save_to = state["save_to"]
    block.kept = state["kept"]
    block.current = _restored_current(block, state["current"])
    if state["looping"]:
        loop = block.steps[block.at].loop
        assert loop
        block.items = loop.items(block) if loop.by_response else state["items"]
        if not isinstance(block.items, list):
            raise TypeError("no list to loop over")


def _stored_current(block: Block) -> dict[str, Any]:
    if block.current is block.persistence:
        return {"is": "persistence"}
    if block.current is block.item:
        return {"is": "item"}
    if block.kept is not None and block.persistence.get(block.kept) is block.current:
        return {"is": "saved"}
    return {"is": "value", "value": block.current}


def _restored_current(block: Block, state: dict[str, Any]) -> Any:
    match state["is"]:
        case "persistence":
            return block.persistence
        case "item":
            return block.item
        case "saved":
            return block.persistence[block.kept or ""]
    return state["value"]
