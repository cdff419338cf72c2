"""Carries a sequence out. Pure: it is given the functions that send requests, the clock and calls in process.

A stack of blocks rather than recursion: after every step the whole state can be stored (`checkpoint`), and another
worker goes on from there (`resume`). Values are passed on as they are and never copied or changed: only persistence
itself gets new keys, so what reads `#` as a whole is given a copy of it.
"""

import re
from collections.abc import Callable
from typing import Any

from sequences.domain.blocks import Block, Phase, block_state, outer_block, restore_blocks
from sequences.domain.budget import Budget, Persistence
from sequences.domain.errors import BudgetExceeded, SequenceStopped, StatusError, StepError
from sequences.domain.exchange import Jac, Send, SendFailed, SequenceLimits, StepRecord, StepRequest, StepResponse
from sequences.domain.json_values import kind, weigh
from sequences.domain.scope import VISITS_MAX
from sequences.domain.steps import JAC, METHODS, SequenceProgram, Step
from sequences.domain.templates import Template
from sequences.domain.validation_errors import StepFailure
from taskhub.errors import Rejected

VERSION = 1
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


class Interpreter:
    """One run of a program.

    `send(outgoing)` and `jac(name, arguments, master)` answer with an `StepResponse` or raise `SendFailed`; any other
    exception of theirs, of `record` or of `should_stop` passes through `run`, and the state stays as it was before
    the step. `clock()` gives seconds that only grow. `record(step)` is called for each finished step, when
    `checkpoint()` already tells what comes after it. `announce(step)` is called before each step, when `checkpoint()`
    still tells of this one. `should_stop()` is asked before each step and item.
    """

    def __init__(
        self,
        program: SequenceProgram,
        *,
        send: Send,
        jac: Jac,
        clock: Callable[[], float],
        announce: Callable[[Step], None] = lambda step: None,
        record: Callable[[StepRecord], None] = lambda step: None,
        should_stop: Callable[[], bool | None] = lambda: False,
        limits: SequenceLimits = SequenceLimits(),  # noqa: B008  # frozen
    ) -> None:
        self._send, self._jac, self._clock = send, jac, clock
        self._announce, self._record = announce, record
        self._limits = limits
        self._budget = Budget(limits, clock, should_stop)
        self._persistence = Persistence(dict(program.persistence), limits.persistence)
        self._blocks = [outer_block(program, self.persistence)]
        self._error: StepError | None = None

    @classmethod
    def resume(cls, program: SequenceProgram, state: dict[str, Any], **options: Any) -> "Interpreter":
        """Goes on from a `checkpoint`; `options` as for a new run. Raises `Rejected` for that of another sequence."""
        run = cls(program, **options)
        run._restore(program, state)
        return run

    @property
    def persistence(self) -> dict[str, Any]:
        return self._persistence.values

    @property
    def steps(self) -> int:
        """How many steps were recorded."""
        return self._budget.steps

    @property
    def elapsed(self) -> float:
        """Seconds spent on this run, by this worker and those before it."""
        return self._budget.elapsed

    @property
    def remaining(self) -> float:
        """Seconds that may still be spent: no request need be waited for any longer."""
        return max(0.0, self._limits.seconds - self.elapsed)

    def run(self) -> dict[str, Any]:
        """Goes on to the end and gives persistence. Raises `SequenceStopped`."""
        while self._blocks:
            block = self._blocks[-1]
            if self._error:
                self._unwind(block, self._error)
            elif block.step_index >= len(block.steps):
                self._blocks.pop()
            elif block.phase is Phase.READY:
                self._step(block)
            elif block.items is not None:
                self._loop(block, block.items)
            else:
                self._finish_step(block)
        if self._error:
            raise SequenceStopped(self._error.path, self._error.message, self.persistence)
        return self.persistence

    def checkpoint(self) -> dict[str, Any]:
        """The state as JSON. It holds the live persistence: store it at once, before the run goes on.

        Keep it as text, or as `json`: `jsonb` forgets the order of keys, in which paths such as `$.*` list values.
        """
        error = self._error
        return {
            "version": VERSION,
            "steps": self.steps,
            "items": self._budget.items,
            "elapsed": self.elapsed,
            "persistence": self.persistence,
            "blocks": [block_state(block) for block in self._blocks],
            "trouble": error and [error.path, error.message, error.value, error.final],
        }

    def _restore(self, program: SequenceProgram, state: dict[str, Any]) -> None:
        if state.get("version") != VERSION:
            raise Rejected("The stored state is of another version.")
        self._persistence = Persistence(dict(state["persistence"]), self._limits.persistence)
        self._blocks = restore_blocks(program, self.persistence, state["blocks"])
        self._error = StepError(*state["trouble"]) if state["trouble"] else None
        self._budget.begin(state["steps"], state["items"], state["elapsed"])

    def _step(self, block: Block) -> None:
        try:
            self._budget.check_step()
        except BudgetExceeded as error:
            self._error = StepError.of(block.path, error)
            return
        self._announce(block.steps[block.step_index])
        record = self._new_record(block)
        started = self._clock()
        try:
            self._exchange(block.steps[block.step_index], block, record)
        except (StepFailure, SendFailed) as error:
            self._error = StepError.of(record.path, error)
            record.error = self._error.message
        record.duration_ms = round((self._clock() - started) * 1000)
        block.phase = Phase.ANSWERED
        self._budget.steps = record.number
        self._record(record)

    def _new_record(self, block: Block) -> StepRecord:
        return StepRecord(self.steps + 1, block.path, block.steps[block.step_index].constant_method)

    def _exchange(self, step: Step, block: Block, record: StepRecord) -> None:
        """Sends the step's request. Its names are rendered first: a step sees only what was there before it."""
        self._reset_allowances(block)
        block.save_to = _render_name(step.save_to, block)
        request_name = _render_name(step.save_req_to, block)
        record.method = record.method or _render_method(step.method, block)
        is_call = record.method == JAC
        request = StepRequest(
            record.method,
            (step.call if is_call else step.address).render(block),
            {} if is_call else step.headers.render(block),
            step.body.render(block),
        )
        master = step.master.render(block) if is_call else None
        weigh([request.method, request.address, request.headers, request.body], self._limits.request, "The request")
        record.sent = request
        if request_name is not None:
            self._persistence.save(request_name, _saved_request(request))
        response = self._call(request, master) if is_call else self._send(request)
        record.status, record.value, record.note = response.status, response.value, response.note
        if response.status >= 400:
            raise StatusError(response)
        if response.fault:
            raise StepFailure(response.fault)
        self._set_value(block, response.value)
        if step.loop:
            block.items = step.loop.items(block)

    def _call(self, request: StepRequest, master: Any) -> StepResponse:
        arguments = {} if request.body is None else request.body
        if not isinstance(arguments, dict):
            raise StepFailure(f"The body of a JAC request is an object, not {kind(arguments)}.")
        if master is not None and not isinstance(master, str):
            raise StepFailure(f"A master is a user's id, not {kind(master)}.")
        return self._jac(request.address, arguments, master)

    def _set_value(self, block: Block, value: Any) -> None:
        """Gives the step its value, which is saved before anything else is done with it."""
        block.current = value
        if block.save_to is not None:
            self._persistence.save(block.save_to, value)
            block.saved_as = block.save_to

    def _loop(self, block: Block, items: list[Any]) -> None:
        """Goes on to the next item that passes the filter, or to the end of the loop."""
        try:
            while block.next_item < len(items):
                self._budget.check_item()
                inner = block.inner_block(items[block.next_item])
                loop = block.steps[block.step_index].loop
                passes = loop is None or loop.filter is None or loop.filter(inner)
                block.next_item += 1
                self._budget.items += 1
                if passes:
                    self._blocks.append(inner)
                    return
        except BudgetExceeded as error:
            self._error = StepError.of(block.path, error)
        except StepFailure as error:
            self._record_error(StepError.of(f"{block.item_path}.filter", error), block)
        else:
            block.items = None

    def _finish_step(self, block: Block) -> None:
        """Goes on to the next step, or past all of them where `break` holds."""
        step = block.steps[block.step_index]
        breaks = False
        if step.break_when and block.phase is Phase.ANSWERED:
            self._reset_allowances(block)
            try:
                breaks = step.break_when(block)
            except StepFailure as error:
                block.phase = Phase.OVER  # or it would be tried again where the step ignores errors
                self._record_error(StepError.of(f"{block.path}.break", error), block)
                return
        block.start(len(block.steps) if breaks else block.step_index + 1)

    def _unwind(self, block: Block, error: StepError) -> None:
        """Ends the block, or goes on after its step where that ignores errors."""
        if error.final or not block.steps[block.step_index].ignore_error:
            self._blocks.pop()
            return
        self._error = None
        block.items = None
        try:
            self._set_value(block, error.value)
        except StepFailure as failure:
            self._error = StepError.of(block.path, failure)

    def _reset_allowances(self, block: Block) -> None:
        """Lets the expressions of the step look at, and put together, as much as those of any step."""
        block.text_room, block.visits = self._limits.request, VISITS_MAX

    def _record_error(self, error: StepError, block: Block) -> None:
        """Records what went wrong after the step was recorded."""
        self._error = error
        record = self._new_record(block)
        record.path, record.error = error.path, error.message
        self._budget.steps = record.number
        self._record(record)


def _render_method(template: Template, block: Block) -> str:
    method = template.render(block)
    if method.upper() not in (*METHODS, JAC):
        raise StepFailure(f"The method would be {method[:40]!r}; there are {', '.join((*METHODS, JAC))}.")
    return str(method.upper())


def _saved_request(request: StepRequest) -> dict[str, Any]:
    """What `save_req_to` saves. It can be read in both spellings, whichever its sequence is written in."""
    address, headers = request.address, request.headers
    return {
        "method": request.method,
        "url": address,
        "api": address,
        "headers": headers,
        "header": headers,
        "body": request.body,
    }


def _render_name(template: Template | None, block: Block) -> str | None:
    if template is None:
        return None
    name: str = _NOT_IN_NAMES.sub("_", template.render(block))
    if not name:
        raise StepFailure("The name to save under is empty.")
    return name
