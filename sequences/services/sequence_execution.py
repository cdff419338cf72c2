"""The work of a run: its sequence carried out, step by step on record, from where the last worker was lost.

Safe requests (RFC 9110, section 9.2.1) wait to be recorded together. Before one that may change something is sent, what
waits is recorded; after it, it is recorded at once: so when a worker is lost, at most that one, or some safe ones, are
sent again, and they are marked.
"""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction

from sequences.domain.errors import Stopped
from sequences.domain.exchange import Limits, StepRecord
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.domain.steps import JAC, Program, Step
from sequences.http_client import Client
from sequences.in_process_client import Door
from sequences.services.checkpoints import PERSISTENCE, Shelf, stored_state, values_of
from sequences.services.step_recorder import Row, Scribe, store_steps
from taskhub.runs.domain import ResultTooLarge
from taskhub.runs.queue import confirm
from taskhub.runs.queue.execution import Execution
from walkers.http.registry import only_reads

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
BATCH_STEPS = 200
BATCH_SECONDS = 0.25


def limits() -> Limits:
    """Of one run, as the settings have them."""
    return Limits(
        steps=settings.SEQUENCE_STEPS_MAX,
        items=settings.SEQUENCE_ITEMS_MAX,
        persistence=settings.SEQUENCE_PERSISTENCE_MAX,
        seconds=settings.SEQUENCE_SECONDS_MAX,
    )


def perform(execution: Execution) -> None:
    """Carries a claimed run out. Its last steps and its ending are one commit."""
    run = execution.run
    program = parse(run.arguments)
    state = stored_state(run, program.persistence)
    with Client(lambda: carried.interpreter.remaining) as client:
        carried = Carried(execution, program, state, client)
        try:
            result = carried.interpreter.run()
            carried.end(execution.succeed, result)
        except Stopped as stop:
            carried.end(execution.fail, "SequenceStopped", carried.scribe.hidden(str(stop)), stop.persistence)
        except ResultTooLarge as error:
            carried.end(execution.fail, "ResultTooLarge", str(error))


class Carried:
    """One attempt of a run: its interpreter, and what of its steps is not on record yet."""

    def __init__(self, execution: Execution, program: Program, state: dict[str, Any] | None, client: Client) -> None:
        run = execution.run
        self._execution = execution
        self._waiting: list[Row] = []
        self._recorded_at = time.monotonic()
        self._doubts = BATCH_STEPS if run.attempt > 1 else 0  # the worker before may not have come to a checkpoint
        self.scribe = Scribe(run, [run.arguments, state])
        options: dict[str, Any] = {
            "send": client.send,
            "jac": Door(run.owner, run).call,
            "clock": time.monotonic,
            "announce": self._announced,
            "record": self._finished,
            "should_stop": execution.check,
            "limits": limits(),
        }
        if state:
            self._shelf = Shelf(run, values_of(state))
            self.interpreter = Interpreter.resume(program, state, **options)
        else:
            self._shelf = Shelf(run, {(PERSISTENCE, key): value for key, value in program.persistence.items()})
            self.interpreter = Interpreter(program, **options)
        self._first = self.interpreter.steps + 1

    def end(self, ending: Callable[..., None], *words: Any) -> None:
        """What waits, and the ending, in one transaction."""
        with transaction.atomic():
            store_steps(self._waiting)
            ending(*words)

    def _announced(self, step: Step) -> None:
        if self._waiting and not _is_safe(step.method, step.address.value if step.address.constant else ""):
            self._record()

    def _finished(self, record: StepRecord) -> None:
        safe = record.sent is None or _is_safe(record.method, record.sent.address)
        self._waiting.append(self.scribe.step(record, again=self._may_be_again(record, safe=safe)))
        self._execution.progress(record.number)
        late = time.monotonic() - self._recorded_at > BATCH_SECONDS
        if not safe or late or len(self._waiting) >= BATCH_STEPS:
            self._record()

    def _may_be_again(self, record: StepRecord, *, safe: bool) -> bool:
        """What changes something was recorded before anything followed it, and after all that came before it."""
        again = self._doubts > 0 and record.sent is not None and (safe or record.number == self._first)
        self._doubts = self._doubts - 1 if safe else 0
        return again

    def _record(self) -> None:
        """Raises `LeaseLost` when another has the run."""
        with transaction.atomic():
            confirm(run=self._execution.run)
            store_steps(self._waiting)
            self._shelf.store(self.interpreter.checkpoint())
        self._waiting = []
        self._recorded_at = time.monotonic()


def _is_safe(method: str, address: str) -> bool:
    return only_reads(address) if method == JAC else method in SAFE
