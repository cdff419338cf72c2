"""What a strand is: where it stands, what it has saved, and how each of its steps comes to be on record."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from sequences.domain.blocks import Block, Phase, program_block
from sequences.domain.budget import Budget, Persistence, Room
from sequences.domain.errors import StepError
from sequences.domain.exchange import SequenceLimits, StepRecord
from sequences.domain.groups import Group
from sequences.domain.rendered_requests import Outgoing, render_name, reset_allowances
from sequences.domain.scope import RunContext
from sequences.domain.steps import SequenceProgram, Step
from sequences.domain.templates import Template


@dataclass(frozen=True, slots=True)
class StoredProgram:
    """A stored sequence as it is called: its persistence has its inputs. `outputs` None gives its persistence."""

    program: SequenceProgram
    version: int
    outputs: dict[str, Template] | None


# By name and version, None for the newest; without inputs it is a sequence that was called before.
LoadStored = Callable[[str, int | None, dict[str, Any] | None], StoredProgram]


@dataclass(slots=True)
class StrandEnvironment:
    """What all strands of a run share. `jitter()` gives a number from 0 to 1, `load` a stored sequence.

    `note_stop()` is called when an error is going to stop the run, while its strands still are where it happened.
    """

    limits: SequenceLimits
    budget: Budget
    room: Room
    context: RunContext
    clock: Callable[[], float]
    jitter: Callable[[], float]
    announce: Callable[[Step], None]
    record: Callable[[StepRecord], None]
    load: LoadStored
    note_stop: Callable[[], None]
    keeps_answer: bool = False


@dataclass(slots=True)
class StrandPause:
    """The strand goes on after these seconds."""

    seconds: float
    started: float


class RecordedStrand:
    """`number` is its place in its group, `item` the index of its item in the loop.

    `waiting` is what it waits for. `stage` counts the lists of steps of its program that have begun: its requests,
    `on_failure` and `finally`; `failure` is what failed in the first. `last` is the last value of its last block.
    `resumed` until it has recorded a step, after it was resumed.
    """

    __slots__ = (
        "blocks", "depth", "environment", "error", "failure", "group", "item", "last", "number", "persistence",
        "prefix", "program", "resumed", "stage", "waiting",
    )  # fmt: skip

    def __init__(self, environment: StrandEnvironment, persistence: Persistence, depth: int = 0) -> None:
        self.environment, self.persistence, self.depth = environment, persistence, depth
        self.blocks: list[Block] = []
        self.error: StepError | None = None
        self.failure: StepError | None = None
        self.program: SequenceProgram | None = None
        self.prefix = ""
        self.stage = 0
        self.last: Any = None
        self.group: Group | None = None
        self.number = self.item = 0
        self.waiting: Outgoing | StrandPause | None = None
        self.resumed = False

    @classmethod
    def of_program(
        cls,
        environment: StrandEnvironment,
        program: SequenceProgram,
        persistence: Persistence,
        *,
        prefix: str = "",
        depth: int = 0,
    ) -> Self:
        """A strand at the beginning of a sequence."""
        strand = cls(environment, persistence, depth)
        strand.program, strand.prefix = program, prefix
        strand.begin_stage(program.steps)
        return strand

    def child(self, group: Group, number: int, persistence: Persistence, blocks: list[Block]) -> Self:
        strand = type(self)(self.environment, persistence, self.depth)
        strand.group, strand.number, strand.blocks = group, number, blocks
        strand.resumed = self.resumed  # it may have begun before this strand was resumed
        return strand

    @property
    def wanted(self) -> bool:
        """Whether what it does still counts: no strand before it, or before one that it belongs to, has failed."""
        strand: Any = self
        while strand.group is not None:
            if not strand.group.wants(strand):
                return False
            strand = strand.group.parent
        return True

    def drop(self) -> None:
        """Gives back the room of what it saved, and of what its groups did: nobody takes it over."""
        self.persistence.drop()
        for block in self.blocks:
            if block.group is not None:
                block.group.persistence.drop()

    def begin_stage(self, steps: tuple[Step, ...]) -> None:
        assert self.program
        context = self.environment.context
        self.blocks = [program_block(self.program, steps, self.persistence.values, context, self.prefix)]
        if self.stage:
            self.blocks[0].current = self.last if self.failure is None else self.failure.caught

    def record_error(self, error: StepError, block: Block) -> None:
        """Records what went wrong after the step was recorded."""
        record = self._new_record(block)
        record.path, record.error = error.path, error.message
        self._store(record)

    def _complete(self, step: Step, block: Block, value: Any) -> None:
        """Gives the step its value; then come `assign` and its loop."""
        self._set_value(block, value)
        if step.assign:
            reset_allowances(block, self.environment.limits)
            assigned = [(render_name(name, block), value.render(block)) for name, value in step.assign]
            for name, new in assigned:
                self.persistence.save(name or "", new, sensitive=step.sensitive)
                if step.sensitive:
                    block.context.hide_all(new)
        if step.loop and not (step.plan and step.plan.paginate):
            block.items = step.loop.items(block)

    def _set_value(self, block: Block, value: Any) -> None:
        """Gives the step its value, which is saved before anything else is done with it."""
        block.current = value
        if block.save_to is not None:
            self.persistence.save(block.save_to, value, sensitive=block.step.sensitive)
            block.saved_as = block.save_to

    def _end_in_error(self, block: Block, record: StepRecord, error: Exception, started: float) -> None:
        """Ends the step's attempt in an error that is not tried again."""
        self.error = StepError.of(block.path, error, sensitive=block.step.sensitive)
        place = getattr(error, "place", "")
        record.error = f"{place}: {self.error.message}" if place else self.error.message
        record.duration_ms = self._milliseconds(started)
        block.phase = Phase.ANSWERED
        self._store(record)

    def _milliseconds(self, started: float) -> int:
        return round((self.environment.clock() - started) * 1000)

    def _new_record(self, block: Block) -> StepRecord:
        step, progress = block.step, block.progress
        record = StepRecord(0, block.path, step.constant_method, title=step.title, sensitive=step.sensitive)
        if progress is not None:
            record.attempt = progress.attempt + progress.polls
        return record

    def _store(self, record: StepRecord) -> None:
        budget = self.environment.budget
        budget.steps += 1
        record.number = budget.steps
        if self.resumed:
            record.resumed = True
            self._end_resumption()
        self.environment.record(record)

    def _end_resumption(self) -> None:
        """From now on what it does was not done before, and neither is what begins after it."""
        strand = self
        strand.resumed = False
        while strand.group is not None:
            strand = strand.group.parent
            strand.resumed = False
