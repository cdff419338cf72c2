"""Blocks: the steps of a sequence, of an item of its loops, or of what catches an error; and where each of them is.

With persistence, the blocks are the whole state of a strand, so that another worker can go on from them.
"""

from enum import IntEnum
from typing import Any

from sequences.domain.scope import RunContext, Scope
from sequences.domain.steps import SequenceProgram, Step


class Phase(IntEnum):
    """How far the current step of a block is."""

    READY = 0  # nothing was sent, or it is to be sent again
    ANSWERED = 1  # its loop goes on, then comes its `break`
    OVER = 2
    CATCHING = 3  # then it is ANSWERED
    CATCHING_LAST = 4  # then it is OVER


class StepProgress:
    """How far a step is that does more than one thing.

    `attempt` counts the tries of the present request and `polls` the answers for which `until` did not hold; `delay` is
    the pause before the next one. `page` counts the pages that came and `next_page` is the address of the next, or its
    number; `pages` are their items, as far as they are kept, `items` how many there were, and `size` their characters.
    `before` is what `$` was before the step. `taken` counts the items of a loop, `collected` are their last values.
    """

    __slots__ = (
        "attempt", "before", "collected", "delay", "items", "next_page", "page", "pages", "polls", "size", "taken"
    )  # fmt: skip

    def __init__(self, before: Any) -> None:
        self.attempt = 1
        self.polls = 0
        self.delay = 0.0
        self.page = 0
        self.next_page: str | int | None = None
        self.pages: list[list[Any]] = []
        self.items = 0
        self.size = 0
        self.before = before
        self.taken = 0
        self.collected: list[Any] = []


class Block(Scope):
    """Steps of one level, and which of them is carried out.

    `step_index` is the index of the current step, `prefix` what comes before its name in its path. While the step
    loops, `items` are what it loops over and `next_item` is the index of the next of them. `saved_as` is the key under
    which `current` was saved last; `save_to` is the one that the step's value is to be saved under. `group` are the
    strands for which the step waits.
    """

    __slots__ = (
        "group", "items", "next_item", "phase", "prefix", "progress", "save_to", "saved_as", "step_index", "steps"
    )  # fmt: skip

    def __init__(self, steps: tuple[Step, ...], prefix: str, scope: Scope) -> None:
        self.current, self.persistence = scope.current, scope.persistence
        self.item, self.index = scope.item, scope.index
        self.answer, self.context = scope.answer, scope.context
        self.text_room, self.visits = scope.text_room, scope.visits
        self.steps = steps
        self.prefix = prefix
        self.start(0)
        self.saved_as: str | None = None

    @property
    def path(self) -> str:
        """The path of the current step, or of the last one at the block's end."""
        step = self.steps[min(self.step_index, len(self.steps) - 1)] if self.steps else None
        return f"{self.prefix}{step.name}" if step else self.prefix

    @property
    def step(self) -> Step:
        return self.steps[self.step_index]

    def start(self, step_index: int) -> None:
        """Goes to a step, of which nothing is done yet."""
        self.step_index = step_index
        self.phase = Phase.READY
        self.items: list[Any] | None = None
        self.next_item = 0
        self.save_to: str | None = None
        self.progress: StepProgress | None = None
        self.group: Any = None  # a `Group`, which knows blocks

    @property
    def takes_errors(self) -> bool:
        """Whether the current step ignores errors, or is still to catch one."""
        step = self.steps[self.step_index]
        return step.ignore_error or bool(step.catch and self.phase < Phase.CATCHING)

    def begun(self) -> StepProgress:
        """The progress of the current step."""
        if self.progress is None:
            self.progress = StepProgress(self.current)
        return self.progress

    @property
    def has_all_items(self) -> bool:
        """Whether the step's loop has taken as many items as it takes at most, on all pages together."""
        loop = self.steps[self.step_index].loop
        if loop is None or loop.max_items is None:
            return False
        return (self.progress.taken if self.progress else 0) + (self.group.drawn if self.group else 0) >= loop.max_items

    @property
    def item_path(self) -> str:
        """The path of the next item."""
        loop = self.steps[self.step_index].loop
        return f"{self.path}.{loop.name if loop else ''}[{self.next_item}]"

    def item_block(self, item: Any) -> "Block":
        """The block of this step's loop for `item`, which is the next one."""
        loop = self.steps[self.step_index].loop
        assert loop
        return Block(loop.steps, f"{self.item_path}.", self.item_scope(item))

    def item_scope(self, item: Any) -> Scope:
        """What the loop's filter sees for `item`, which is the next one."""
        return Scope(item, self.persistence, item, str(self.next_item), answer=self.answer, context=self.context)

    def branch_block(self, number: int) -> "Block":
        return Block(self.step.branches[number], f"{self.path}.parallel.branches[{number}]", self)

    def catch_block(self, caught: Any) -> "Block":
        """The block of this step's `catch`, with `caught` as what `$` stands for at first."""
        scope = Scope(caught, self.persistence, self.item, self.index, answer=self.answer, context=self.context)
        return Block(self.step.catch, f"{self.path}.", scope)


def program_block(
    program: SequenceProgram, steps: tuple[Step, ...], persistence: dict[str, Any], context: RunContext, prefix: str
) -> Block:
    """The outer block of a sequence's steps. `prefix` is empty, but for a sequence that another one calls."""
    presets = program.container
    current, item = presets.get("current", persistence), presets.get("parent_current")
    return Block(steps, prefix, Scope(current, persistence, item, presets["index"], context=context))
