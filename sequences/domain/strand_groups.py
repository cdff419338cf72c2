"""What a strand does in steps without a request, and in loops: it pauses, or waits for other strands."""

from typing import Any

from sequences.domain.blocks import Block, Phase, program_block
from sequences.domain.budget import Persistence
from sequences.domain.errors import BudgetExceeded, StepError
from sequences.domain.groups import BranchGroup, CallGroup, Group, ItemGroup
from sequences.domain.json_values import kind
from sequences.domain.rendered_requests import render_name, reset_allowances
from sequences.domain.steps import PARALLEL, SLEEP, Step
from sequences.domain.strand_requests import RequestStrand
from sequences.domain.validation_errors import StepFailure

CALLS_MAX = 10  # of stored sequences in each other


def _as_strand(strand: "GroupStrand") -> Any:
    """The strand for its group: of the class that puts all its parts together."""
    return strand


class GroupStrand(RequestStrand):
    __slots__ = ()

    def _act(self, step: Step, block: Block) -> bool:
        """Begins a step without a request."""
        reset_allowances(block, self.environment.limits)
        try:
            if step.action == SLEEP:
                seconds = step.sleep.render(block)
                if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
                    given = f"{seconds:g}" if kind(seconds) == "number" else kind(seconds)
                    raise StepFailure(f"'sleep' is a number of seconds, from 0 on, not {given}.")
                self._pause(seconds)
                return True
            block.save_to = render_name(step.save_to, block)
            block.group = BranchGroup(_as_strand(self), block) if step.action == PARALLEL else self._call(step, block)
        except StepFailure as error:
            self._end_in_error(block, self._new_record(block), error, self.environment.clock())
            return False
        return True

    def _call(self, step: Step, block: Block) -> Group:
        """The group of a stored sequence. Raises `StepFailure`."""
        if self.depth >= CALLS_MAX:
            raise StepFailure(f"Sequences call each other more than {CALLS_MAX} deep.")
        assert step.stored
        inputs = step.stored.inputs.render(block)
        if not isinstance(inputs, dict):
            raise StepFailure(f"Inputs are an object, not {kind(inputs)}.")
        return self.called(step, block, step.stored.version, inputs)

    def called(self, step: Step, block: Block, version: int | None, inputs: dict[str, Any] | None) -> Group:
        """The group of the stored sequence that a step calls; without `inputs` its persistence is empty."""
        assert step.stored
        environment = self.environment
        stored = environment.load(str(step.stored.sequence.render(block)), version, inputs)
        environment.keeps_answer |= stored.program.keeps_answer
        persistence = Persistence({}, environment.room)
        for key, value in stored.program.persistence.items() if inputs is not None else ():
            persistence.save(key, value)
        strand = type(self).of_program(
            environment, stored.program, persistence, prefix=f"{block.path}.call.", depth=self.depth + 1
        )
        strand.resumed = self.resumed
        return CallGroup(_as_strand(self), block, _as_strand(strand), stored.version)

    def next_item(self, block: Block) -> Block | None:
        """The block of the next item that passes the loop's filter, or None at the end of the loop.

        Raises `BudgetExceeded`, and `StepFailure` where the filter cannot be evaluated.
        """
        items, budget, loop = block.items or [], self.environment.budget, block.step.loop
        assert loop
        while (index := block.next_item) < len(items):
            budget.check_item()
            scope = block.item_scope(items[index])
            if loop.filter is None or loop.filter(scope):
                inner = Block(loop.steps, f"{block.item_path}.", scope)
                block.next_item = index + 1
                budget.items += 1
                return inner
            block.next_item = index + 1
            budget.items += 1
        return None

    def _loop(self, block: Block) -> bool:
        """Goes on to the next item that passes the filter, or to the end of the loop; whether it waits for a group."""
        loop = block.step.loop
        assert loop
        if loop.parallel is not None:
            block.group = ItemGroup(_as_strand(self), block)
            return True
        progress = block.begun() if loop.max_items is not None or loop.collect is not None else None
        try:
            inner = None if block.has_all_items else self.next_item(block)
            if inner is None:
                self._end_loop(block)
                return False
        except BudgetExceeded as error:
            self.error = StepError.of(block.path, error)
        except StepFailure as error:
            self.error = StepError.of(f"{block.item_path}.filter", error)
            self.record_error(self.error, block)
        else:
            if progress is not None:
                progress.taken += 1
            self.blocks.append(inner)
        return False

    def _end_loop(self, block: Block) -> None:
        """Saves what was collected, and goes on to the next page if there is one and more items are wanted."""
        step, progress = block.step, block.progress
        block.items = None
        if progress is None:
            return
        try:
            if progress.next_page is not None and not block.has_all_items:
                block.phase = Phase.READY
                return
            if step.loop and step.loop.collect is not None:
                reset_allowances(block, self.environment.limits)
                name = render_name(step.loop.collect, block) or ""
                self.persistence.save(name, progress.collected, sensitive=step.sensitive)
            if step.plan and step.plan.paginate:
                self._complete(step, block, {"pages": progress.page, "items": progress.items})
        except StepFailure as error:
            self.error = StepError.of(block.path, error)
            self.record_error(self.error, block)

    def _conclude(self, block: Block, group: Group) -> None:
        """Goes on with what the strands of a group have come to."""
        block.group = None
        self.persistence.adopt(group.persistence)
        if isinstance(group, ItemGroup):
            if group.failed:
                self.error = group.failed[1]
                return
            block.begun().collected += group.values
            block.begun().taken += group.drawn
            self._end_loop(block)
            return
        step, record, before = block.step, self._new_record(block), block.current
        block.phase = Phase.ANSWERED
        if isinstance(group, CallGroup):
            value = None if group.failed else self._outputs(step, block, group)
        else:
            value = group.values
        self.error = group.failed[1] if group.failed else self.error
        if not self.error:
            record.value = value
            try:
                self._complete(step, block, value)
            except StepFailure as error:
                self.error, block.current = StepError.of(block.path, error, sensitive=step.sensitive), before
        record.error = self.error.message if self.error else None
        self._store(record)

    def _outputs(self, step: Step, block: Block, group: CallGroup) -> Any:
        """The value of a call: the stored sequence's outputs, or its persistence."""
        strand = group.called
        values = strand.persistence.values
        strand.persistence.drop()
        try:
            assert step.stored
            assert strand.program
            outputs = self.environment.load(str(step.stored.sequence.render(block)), group.version, None).outputs
            if outputs is None:
                return values
            scope = program_block(strand.program, (), values, self.environment.context, "")
            scope.current = strand.last
            reset_allowances(scope, self.environment.limits)
            return {name: template.render(scope) for name, template in outputs.items()}
        except StepFailure as error:
            self.error = StepError.of(f"{block.path}.call", error, sensitive=step.sensitive)
            return None
