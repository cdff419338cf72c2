"""Carries a sequence out. Pure: it is handed those who send, the clock and the door to calls in process.

A stack of blocks rather than recursion: after every step the whole state can be written down (`checkpoint`), and
another worker goes on from there (`resume`). Values are passed on as they are and never copied or changed: only
persistence itself gets new keys, so what reads `#` as a whole is given a copy of it.
"""

import re
from collections.abc import Callable
from typing import Any

from sequences.domain.blocks import Block, Phase, outermost, restored, stored
from sequences.domain.budget import Budget, Saved
from sequences.domain.errors import Refused, Spent, Stopped, Trouble, trouble
from sequences.domain.exchange import Answer, Jac, Limits, Outgoing, Send, SendFailed, StepRecord
from sequences.domain.json_values import kind, weigh
from sequences.domain.scope import VISITS_MAX
from sequences.domain.steps import JAC, Program, Step
from sequences.domain.templates import Template
from sequences.domain.validation_errors import Failure
from taskhub.errors import Rejected

VERSION = 1
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


class Interpreter:
    """One run of a program.

    `send(outgoing)` and `jac(name, arguments, master)` answer with an `Answer` or raise `SendFailed`; any other
    exception of theirs, of `record` or of `should_stop` passes through `run`, and the state stays as it was before
    the step. `clock()` gives seconds that only grow. `record(step)` is called for each finished step, when
    `checkpoint()` already tells what comes after it. `announce(step)` is called before each step, when `checkpoint()`
    still tells of this one. `should_stop()` is asked before each step and item.
    """

    def __init__(
        self,
        program: Program,
        *,
        send: Send,
        jac: Jac,
        clock: Callable[[], float],
        announce: Callable[[Step], None] = lambda step: None,
        record: Callable[[StepRecord], None] = lambda step: None,
        should_stop: Callable[[], bool | None] = lambda: False,
        limits: Limits = Limits(),  # noqa: B008  # frozen
    ) -> None:
        self._send, self._jac, self._clock = send, jac, clock
        self._announce, self._record = announce, record
        self._limits = limits
        self._budget = Budget(limits, clock, should_stop)
        self._saved = Saved(dict(program.persistence), limits.persistence)
        self._blocks = [outermost(program, self.persistence)]
        self._trouble: Trouble | None = None

    @classmethod
    def resume(cls, program: Program, state: dict[str, Any], **options: Any) -> "Interpreter":
        """Goes on from a `checkpoint`; `options` as for a new run. Raises `Rejected` for that of another sequence."""
        run = cls(program, **options)
        run._restore(program, state)
        return run

    @property
    def persistence(self) -> dict[str, Any]:
        return self._saved.values

    @property
    def steps(self) -> int:
        """How many were recorded."""
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
        """Goes on to the end and gives persistence. Raises `Stopped`."""
        while self._blocks:
            block = self._blocks[-1]
            if self._trouble:
                self._unwind(block, self._trouble)
            elif block.at >= len(block.steps):
                self._blocks.pop()
            elif block.phase is Phase.READY:
                self._step(block)
            elif block.items is not None:
                self._loop(block, block.items)
            else:
                self._leave(block)
        if self._trouble:
            raise Stopped(self._trouble.path, self._trouble.message, self.persistence)
        return self.persistence

    def checkpoint(self) -> dict[str, Any]:
        """The state as JSON. It holds the live persistence: write it down at once, before the run goes on.

        Keep it as text, or as `json`: `jsonb` forgets the order of keys, in which paths such as `$.*` list values.
        """
        stopping = self._trouble
        return {
            "version": VERSION,
            "steps": self.steps,
            "items": self._budget.items,
            "elapsed": self.elapsed,
            "persistence": self.persistence,
            "blocks": [stored(block) for block in self._blocks],
            "trouble": stopping and [stopping.path, stopping.message, stopping.value, stopping.final],
        }

    def _restore(self, program: Program, state: dict[str, Any]) -> None:
        if state.get("version") != VERSION:
            raise Rejected("The stored state is of another version.")
        self._saved = Saved(dict(state["persistence"]), self._limits.persistence)
        self._blocks = restored(program, self.persistence, state["blocks"])
        self._trouble = Trouble(*state["trouble"]) if state["trouble"] else None
        self._budget.begin(state["steps"], state["items"], state["elapsed"])

    def _step(self, block: Block) -> None:
        try:
            self._budget.check_step()
        except Spent as error:
            self._trouble = trouble(block.path, error)
            return
        self._announce(block.steps[block.at])
        record = self._new_record(block)
        started = self._clock()
        try:
            self._exchange(block.steps[block.at], block, record)
        except (Failure, SendFailed) as error:
            self._trouble = trouble(record.path, error)
            record.error = self._trouble.message
        record.duration_ms = round((self._clock() - started) * 1000)
        block.phase = Phase.ANSWERED
        self._budget.steps = record.number
        self._record(record)

    def _new_record(self, block: Block) -> StepRecord:
        return StepRecord(self.steps + 1, block.path, block.steps[block.at].method)

    def _exchange(self, step: Step, block: Block, record: StepRecord) -> None:
        """All that the step can see is what was there before it: so its names are made first."""
        self._refill(block)
        block.save_to = _name(step.save_to, block)
        request_name = _name(step.save_req_to, block)
        master = step.master.render(block)
        sent = Outgoing(step.method, step.address.render(block), step.headers.render(block), step.body.render(block))
        request = {"method": sent.method, "url": sent.address, "headers": sent.headers, "body": sent.body}
        weigh(request, self._limits.request, "The request")
        record.sent = sent
        if request_name is not None:
            self._saved.save(request_name, request)
        answer = self._call(sent, master) if step.method == JAC else self._send(sent)
        record.status, record.value = answer.status, answer.value
        if answer.status >= 400:
            raise Refused(answer)
        self._become(block, answer.value)
        if step.loop:
            block.items = step.loop.items(block)

    def _call(self, sent: Outgoing, master: Any) -> Answer:
        arguments = {} if sent.body is None else sent.body
        if not isinstance(arguments, dict):
            raise Failure(f"The body of a JAC request is an object, not {kind(arguments)}.")
        if master is not None and not isinstance(master, str):
            raise Failure(f"A master is a user's id, not {kind(master)}.")
        return self._jac(sent.address, arguments, master)

    def _become(self, block: Block, value: Any) -> None:
        """The step's value, which is saved before anything else is done with it."""
        block.current = value
        if block.save_to is not None:
            self._saved.save(block.save_to, value)
            block.kept = block.save_to

    def _loop(self, block: Block, items: list[Any]) -> None:
        """On to the next item that the filter takes, or to the end of the loop."""
        try:
            while block.next < len(items):
                self._budget.check_item()
                inner = block.inner(items[block.next])
                taken = self._takes(block, inner)
                block.next += 1
                self._budget.items += 1
                if taken:
                    self._blocks.append(inner)
                    return
        except Spent as error:
            self._trouble = trouble(block.path, error)
        except Failure as error:
            self._report(trouble(f"{block.inner_path}.filter", error), block)
        else:
            block.items = None

    def _takes(self, block: Block, inner: Block) -> bool:
        loop = block.steps[block.at].loop
        return loop is None or loop.filter is None or loop.filter(inner)

    def _leave(self, block: Block) -> None:
        """On to the next step, or past all of them where `break` holds."""
        step = block.steps[block.at]
        leaves = False
        if step.leave and block.phase is Phase.ANSWERED:
            self._refill(block)
            try:
                leaves = step.leave(block)
            except Failure as error:
                block.phase = Phase.OVER  # or it would be tried again where the step ignores errors
                self._report(trouble(f"{block.path}.break", error), block)
                return
        block.start(len(block.steps) if leaves else block.at + 1)

    def _unwind(self, block: Block, stopping: Trouble) -> None:
        """Trouble stops the block, and those it is in, up to the first step that ignores it."""
        if stopping.final or not block.steps[block.at].ignore_error:
            self._blocks.pop()
            return
        self._trouble = None
        block.items = None
        try:
            self._become(block, stopping.value)
        except Failure as error:
            self._trouble = trouble(block.path, error)

    def _refill(self, block: Block) -> None:
        block.room, block.visits = self._limits.request, VISITS_MAX

    def _report(self, stopping: Trouble, block: Block) -> None:
        """What went wrong after the step was recorded."""
        self._trouble = stopping
        record = self._new_record(block)
        record.path, record.error = stopping.path, stopping.message
        self._budget.steps = record.number
        self._record(record)


def _name(template: Template | None, block: Block) -> str | None:
    if template is None:
        return None
    name: str = _NOT_IN_NAMES.sub("_", template.render(block))
    if not name:
        raise Failure("The name to save under is empty.")
    return name
