"""Strands: one thing after another. A strand goes on until it needs an answer or a pause, and is given that.

A stack of blocks rather than recursion: whatever waits, its whole state can be stored, and another worker goes on from
there. Values are passed on as they are and never copied or changed: only persistence itself gets new keys, so what
reads `#` as a whole is given a copy of it.
"""

from contextlib import suppress
from typing import Any

from sequences.domain.blocks import Block, Phase
from sequences.domain.errors import BudgetExceeded, StepError
from sequences.domain.exchange import SendFailed, StepResponse
from sequences.domain.groups import Group
from sequences.domain.rendered_requests import Outgoing, render_name, reset_allowances
from sequences.domain.steps import SLEEP, Step
from sequences.domain.strand_groups import GroupStrand
from sequences.domain.strand_records import StrandPause
from sequences.domain.validation_errors import StepFailure


class Strand(GroupStrand):
    __slots__ = ()

    def advance(self) -> Outgoing | StrandPause | Group | None:
        """Goes on until it waits for an answer, a pause or a group; None where it has ended."""
        while True:
            if not self.blocks:
                if not self._next_stage():
                    return None
                continue
            block = self.blocks[-1]
            if self.error:
                self._unwind(block, self.error)
            elif block.step_index >= len(block.steps):
                self._leave(block)
            elif block.group is not None:
                self._conclude(block, block.group)
            elif block.phase is Phase.READY:
                if self._begin(block):
                    return self.waiting or block.group
            elif block.items is not None:
                if self._loop(block):
                    return block.group
            else:
                self._finish_step(block)

    def take(self, outcome: StepResponse | SendFailed | StepFailure | None) -> None:
        """Goes on with the answer that it waits for, with why there is none, or after its pause."""
        waiting, self.waiting = self.waiting, None
        block = self.blocks[-1]
        if isinstance(waiting, Outgoing):
            self._take_answer(block, waiting, outcome)
        elif block.step.action == SLEEP:
            record = self._new_record(block)
            record.duration_ms = self._milliseconds(waiting.started if waiting else 0)
            block.phase = Phase.ANSWERED
            self._store(record)
        else:
            block.begun().delay = 0.0

    def _begin(self, block: Block) -> bool:
        """Begins the step, or goes on with it; whether it waits for something then."""
        step, progress = block.step, block.progress
        try:
            self.environment.budget.check_step()
            if progress is not None:
                if progress.delay:
                    self._pause(progress.delay)
                    return True
            elif step.when is not None and not self._applies(step, block):
                return False
        except BudgetExceeded as error:
            self.error = StepError.of(block.path, error)
            return False
        if step.action:
            return self._act(step, block)
        self.environment.announce(step)
        if progress is not None and progress.page:
            block.current = progress.before
        return self._send(step, block)

    def _applies(self, step: Step, block: Block) -> bool:
        """Whether `when` holds; else the step is left out."""
        assert step.when
        reset_allowances(block, self.environment.limits)
        try:
            if step.when(block):
                return True
        except StepFailure as error:
            block.phase = Phase.OVER
            with suppress(StepFailure):
                block.save_to = render_name(step.save_to, block)
            self.error = StepError.of(f"{block.path}.when", error)
            self.record_error(self.error, block)
            return False
        record = self._new_record(block)
        record.skipped = True
        block.start(block.step_index + 1)
        self._store(record)
        return False

    def _leave(self, block: Block) -> None:
        """Leaves a block that has ended: the value of its last step is that of what it belongs to."""
        self.blocks.pop()
        if not self.blocks:
            self.last = self.last if self.stage else block.current
            return
        outer = self.blocks[-1]
        if outer.phase >= Phase.CATCHING:
            self._end_catch(outer, block.current)
        elif (loop := outer.step.loop) is not None and loop.collect is not None:
            outer.begun().collected.append(block.current)

    def _end_catch(self, block: Block, value: Any) -> None:
        block.phase = Phase.ANSWERED if block.phase is Phase.CATCHING else Phase.OVER
        try:
            self._set_value(block, value)
        except StepFailure as failure:
            self.error = StepError.of(block.path, failure)

    def _finish_step(self, block: Block) -> None:
        """Goes on to the next step, or past all of them where `break` holds."""
        step = block.step
        breaks = False
        if step.break_when and block.phase is Phase.ANSWERED:
            reset_allowances(block, self.environment.limits)
            try:
                breaks = step.break_when(block)
            except StepFailure as error:
                block.phase = Phase.OVER  # or it would be tried again where the step ignores errors
                self.error = StepError.of(f"{block.path}.break", error)
                self.record_error(self.error, block)
                return
        block.start(len(block.steps) if breaks else block.step_index + 1)

    def _unwind(self, block: Block, error: StepError) -> None:
        """Ends the block, or goes on with the step's `catch`, or after the step where that ignores errors."""
        step = block.steps[block.step_index]
        if error.final or not block.takes_errors:
            if self._stops(error):
                self.environment.note_stop()
            self.blocks.pop()
            return
        self.error = None
        block.items = None
        if step.catch and block.phase < Phase.CATCHING:
            block.phase = Phase.CATCHING_LAST if block.phase is Phase.OVER else Phase.CATCHING
            self.blocks.append(block.catch_block(error.caught))
            return
        if block.phase >= Phase.CATCHING or block.phase is Phase.READY:
            block.phase = Phase.OVER if block.phase is Phase.CATCHING_LAST else Phase.ANSWERED
        try:
            self._set_value(block, error.value)
        except StepFailure as failure:
            self.error = StepError.of(block.path, failure)

    def _stops(self, error: StepError) -> bool:
        """Whether an error stops the whole run: no step takes it."""
        caught = not error.final and any(block.takes_errors for block in self.blocks)
        return self.group is None and self.stage == 0 and not caught

    def _next_stage(self) -> bool:
        """Begins the next list of steps of the strand's program; False when there is none."""
        program = self.program
        if program is None or self.stage == 2:
            if program is not None:
                self.error = self.failure
            return False
        self.stage += 1
        if self.stage == 1:
            self.failure = self.error
            if self.failure is not None and self.failure.final and (program.on_failure or program.finally_):
                self.environment.budget.grant_last_steps()
        self.error = None  # what fails in here changes nothing
        steps = program.finally_ if self.stage == 2 else program.on_failure if self.failure else ()
        if steps:
            self.begin_stage(steps)
        return True
