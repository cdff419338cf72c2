"""Carries out the runs of sequences and records their steps; after a lost worker from the last checkpoint.

Quick safe requests (RFC 9110, section 9.2.1) wait to be recorded together. Before a request that may change something
is sent, what waits is recorded; after it, it is recorded at once: so when a worker is lost, at most the one of each
strand that was under way, or some safe ones, are sent again, and they are marked.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.functional import SimpleLazyObject

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import SequenceLimits, StepRecord
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.domain.steps import JAC, SequenceProgram, Step
from sequences.domain.strand_records import StoredProgram
from sequences.domain.validation_errors import StepFailure
from sequences.exchange_threads import ExchangeThreads
from sequences.http_client import HttpClient
from sequences.in_process_client import InProcessClient
from sequences.services.answer_files import AnswerFiles
from sequences.services.checkpoints import HIDDEN, PERSISTENCE, CheckpointStore, load_state, values_of
from sequences.services.run_context import run_context
from sequences.services.step_recorder import Row, StepRecorder, steps_topic, store_steps
from sequences.services.stored_sequences import Library, load_stored, outputs_of, read_call
from taskhub.runs.domain import ResultTooLarge
from taskhub.runs.models import Run
from taskhub.runs.queue import confirm, publish
from taskhub.runs.queue.execution import Execution
from walkers.http.registry import only_reads

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
BATCH_STEPS = 200
BATCH_SECONDS = 1.0
# What takes longer is recorded at once: who follows the run sees it, and it costs little beside. Of what goes on at
# once, many steps may come to their end in this time: these are recorded together.
SLOW_MS = 250


def configured_limits() -> SequenceLimits:
    """The limits of one sequence, from the settings."""
    return SequenceLimits(
        steps=settings.SEQUENCE_STEPS_MAX,
        items=settings.SEQUENCE_ITEMS_MAX,
        persistence=settings.SEQUENCE_PERSISTENCE_MAX,
        seconds=settings.SEQUENCE_SECONDS_MAX,
        at_once=settings.SEQUENCE_AT_ONCE_MAX,
    )


def perform_sequence(execution: Execution) -> None:
    """Carries out a claimed run. Its last steps and its end are one commit."""
    run = execution.run
    program, stored = program_of(run)
    continues = run.attempt > 1 or run.retry_of_id is not None
    state = load_state(run, program.persistence) if continues else None
    with (
        HttpClient(lambda: sequence_run.interpreter.remaining, AnswerFiles(run)) as client,
        ExchangeThreads(
            settings.SEQUENCE_AT_ONCE_MAX, execution.check, lambda: sequence_run.record_waiting()
        ) as threads,
    ):
        sequence_run = SequenceRun(execution, program, state, client, threads)
        recorder = sequence_run.recorder
        try:
            result = sequence_run.interpreter.run()
            sequence_run.end(execution.succeed, sequence_run.shown_outputs(stored, result))
        except SequenceStopped as stop:
            shown = recorder.shown_result(stop.persistence, sequence_run.interpreter.sensitive)
            sequence_run.fail(recorder.without_secrets(str(stop)), shown)
        except ResultTooLarge as error:
            sequence_run.end(execution.fail, "ResultTooLarge", str(error))


def program_of(run: Run) -> tuple[SequenceProgram, StoredProgram | None]:
    """The program of a run, and the stored sequence that it calls, if it does. Raises `NotFound` and `Rejected`."""
    call = read_call(run.arguments)
    stored = load_stored(run.owner_id, call.name, call.version, call.inputs) if call else None
    return stored.program if stored else parse(run.arguments), stored


class SequenceRun:
    """One attempt at a run: its interpreter, and the steps that are not recorded yet."""

    def __init__(
        self,
        execution: Execution,
        program: SequenceProgram,
        state: dict[str, Any] | None,
        client: HttpClient,
        threads: ExchangeThreads,
    ) -> None:
        run = execution.run
        owner: Any = SimpleLazyObject(lambda: run.owner)  # most sequences call nothing as a user
        self._execution = execution
        self._waiting: list[Row] = []
        self._recorded_at = time.monotonic()
        # Safe steps that the worker before may have sent without recording them.
        self._uncertain_steps = BATCH_STEPS if run.attempt > 1 else 0
        self.recorder = StepRecorder(run, [run.arguments, state])
        options: dict[str, Any] = {
            "send": client.send,
            "jac": InProcessClient(owner, run).call,
            "clock": time.monotonic,
            "announce": self._before_step,
            "record": self._after_step,
            "should_stop": execution.check,
            "limits": configured_limits(),
            "performer": threads,
            "context": run_context(run, self.recorder),
            "jitter": random.random,
            "load": Library(run.owner_id).load,
        }
        if state:
            self._checkpoints = CheckpointStore(run, values_of(state))
            self.interpreter = Interpreter.resume(program, state, **options)
            self.recorder.hide_values(state["persistence"], self.interpreter.sensitive)
            self.recorder.hide_again(state["values"].get(HIDDEN, {}).get("", ()))
        else:
            self._checkpoints = CheckpointStore(
                run, {(PERSISTENCE, key): value for key, value in program.persistence.items()}
            )
            self.interpreter = Interpreter(program, **options, resumed=run.attempt > 1)

    def shown_outputs(self, stored: StoredProgram | None, persistence: dict[str, Any]) -> Any:
        """The result as its owner is shown it. Raises `SequenceStopped` where an output cannot be evaluated."""
        sensitive = self.interpreter.sensitive
        shown = self.recorder.shown_result(persistence, sensitive)
        if stored is None or stored.outputs is None:
            return shown
        self.recorder.hide_values(persistence, sensitive)
        try:
            outputs = outputs_of(stored, persistence, self.interpreter.last)
        except StepFailure as error:
            raise SequenceStopped("outputs", str(error), persistence) from None
        return self.recorder.shown_result(outputs, ())

    def end(self, end_run: Callable[..., None], *arguments: Any) -> None:
        """Records the last steps and ends the run, in one transaction."""
        self._execution.begin_log_flush()
        with transaction.atomic():
            store_steps(self._waiting)
            end_run(*arguments)

    def fail(self, message: str, shown: Any) -> None:
        """Ends a run that stopped, and keeps where, so that another can go on from there."""
        with transaction.atomic():
            self._store_checkpoint()
            self.end(self._execution.fail, "SequenceStopped", message, shown)

    def _before_step(self, step: Step) -> None:
        if self._waiting and not _is_safe(step.constant_method, step.call.value if step.call.constant else ""):
            self._record()

    def _after_step(self, record: StepRecord) -> None:
        safe = record.sent is None or _is_safe(record.method, record.sent.address)
        self._waiting.append(self.recorder.row(record, again=self._may_be_again(record, safe=safe)))
        level = logging.WARNING if record.error else logging.INFO
        self._execution.log_line(level, self.recorder.log_line(record), {"step": record.number})
        self._execution.set_progress(record.number)
        since = time.monotonic() - self._recorded_at
        late = since > BATCH_SECONDS or (record.duration_ms > SLOW_MS and since * 1000 > SLOW_MS)
        if not safe or late or len(self._waiting) >= BATCH_STEPS:
            self._record()

    def record_waiting(self) -> None:
        """Records the steps that wait, before the run itself waits for a while."""
        if self._waiting:
            self._record()

    def _may_be_again(self, record: StepRecord, *, safe: bool) -> bool:
        """A request that changes something was recorded before the next one, and after all that came before it."""
        again = record.sent is not None and (record.resumed or (safe and self._uncertain_steps > 0))
        self._uncertain_steps = self._uncertain_steps - 1 if safe else 0
        return again

    def _record(self) -> None:
        """Stores the steps that wait, and a checkpoint. Raises `LeaseLost` when another worker has the run."""
        with transaction.atomic():
            confirm(run=self._execution.run)
            store_steps(self._waiting)
            self._store_checkpoint()
            transaction.on_commit(lambda: publish(steps_topic(self._execution.run.pk)))
        self._waiting = []
        self._recorded_at = time.monotonic()

    def _store_checkpoint(self) -> None:
        state = self.interpreter.checkpoint()
        if self.recorder.hidden:
            state["values"][HIDDEN] = {"": self.recorder.hidden}
        self._checkpoints.store(state)


def _is_safe(method: str, address: str) -> bool:
    return only_reads(address) if method == JAC else method in SAFE
