"""Carries a sequence out. Pure: it is given the functions that send requests, the clock and calls in process.

One strand goes on at a time; what goes on at once are the requests for whose answers they wait. So there is nothing to
lock, and after every step the whole state can be stored (`checkpoint`), from which another worker goes on (`resume`).
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Protocol

from sequences.domain.budget import Budget, Persistence, Room
from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import Jac, Send, SendFailed, SequenceLimits, StepRecord, StepResponse
from sequences.domain.groups import Group
from sequences.domain.rendered_requests import Outgoing
from sequences.domain.scope import NO_CONTEXT, RunContext
from sequences.domain.states import READABLE, VERSION, State, Values, restore_strand, strand_state
from sequences.domain.steps import JAC, SequenceProgram, Step
from sequences.domain.stops import STOP, stop_state, values_of_stop
from sequences.domain.strand_records import LoadStored, StoredProgram, StrandEnvironment, StrandPause
from sequences.domain.strands import Strand
from sequences.domain.validation_errors import StepFailure
from taskhub.errors import Rejected

Outcome = StepResponse | SendFailed | StepFailure


class Performer(Protocol):
    """Has requests wait for their answers at once."""

    def start(self, token: Any, exchange: Callable[[], Any]) -> None:
        """Begins an exchange, or keeps it until others have ended."""

    def next(self, seconds: float | None) -> tuple[Any, Any] | None:
        """Waits for an exchange that has ended: its token, and what it gave, or the exception that it raised is raised
        here. None when as many seconds have passed."""


class InTurn:
    """A performer that carries exchanges out one after the other, and does not wait for a pause."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Any, Callable[[], Any]]] = deque()

    def start(self, token: Any, exchange: Callable[[], Any]) -> None:
        self._waiting.append((token, exchange))

    def next(self, seconds: float | None) -> tuple[Any, Any] | None:
        if not self._waiting:
            return None
        token, exchange = self._waiting.popleft()
        return token, exchange()


def _nothing_stored(name: str, version: int | None, inputs: dict[str, Any] | None) -> StoredProgram:
    raise StepFailure(f"There is no stored sequence {name[:100]!r}.")


class Interpreter:
    """One run of a program.

    `send(outgoing)` and `jac(name, arguments, master)` answer with an `StepResponse` or raise `SendFailed`; any other
    exception of theirs, of `record` or of `should_stop` passes through `run`, and the state stays as it was before
    the step. `clock()` gives seconds that only grow. `record(step)` is called for each finished step, when
    `checkpoint()` already tells what comes after it. `announce(step)` is called before each request, when
    `checkpoint()` still tells of this one. `should_stop()` is asked before each step and item. `performer` waits for
    several answers at once, and for pauses; `load` gives stored sequences, `jitter` numbers from 0 to 1. `resumed`:
    some worker may have begun before, and has left no checkpoint.
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
        performer: Performer | None = None,
        context: RunContext = NO_CONTEXT,
        load: LoadStored = _nothing_stored,
        jitter: Callable[[], float] = lambda: 1.0,
        resumed: bool = False,
    ) -> None:
        self._send, self._jac, self._clock = send, jac, clock
        self._announce, self._record = announce, record
        self._performer = performer or InTurn()
        self._budget = Budget(limits, clock, should_stop)
        self._environment = StrandEnvironment(
            limits,
            self._budget,
            Room(limits.persistence),
            context,
            clock,
            jitter,
            lambda step: self._announce(step),
            lambda step: self._record(step),
            load,
            self._keep_stop,
            program.keeps_answer,
        )
        persistence = Persistence(dict(program.persistence), self._environment.room)
        self._root = Strand.of_program(self._environment, program, persistence)
        self._root.resumed = resumed
        self._stop: tuple[State, Values] | None = None

    @classmethod
    def resume(cls, program: SequenceProgram, state: dict[str, Any], **options: Any) -> "Interpreter":
        """Goes on from a `checkpoint`; `options` as for a new run. Raises `Rejected` for that of another sequence."""
        run = cls(program, **options)
        run._restore(program, state)
        return run

    @property
    def persistence(self) -> dict[str, Any]:
        return self._root.persistence.values

    @property
    def last(self) -> Any:
        """The value of the last step."""
        return self._root.last

    @property
    def sensitive(self) -> set[str]:
        """The keys of persistence whose values nobody is to be shown."""
        return self._root.persistence.sensitive

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
        return self._budget.remaining

    def run(self) -> dict[str, Any]:
        """Goes on to the end and gives persistence. Raises `SequenceStopped`."""
        ready = deque(_runnable(self._root))
        pauses: list[tuple[float, int, Strand]] = []
        order, waiting = count(), 0
        while True:
            while ready:
                strand = ready.popleft()
                effect = strand.advance() if strand.group is None or strand.wanted else None
                if effect is None:
                    ready += _end(strand)
                elif isinstance(effect, Group):
                    ready += effect.fill() or [strand]
                elif isinstance(effect, StrandPause):
                    heappush(pauses, (self._clock() + effect.seconds, next(order), strand))
                elif waiting or ready or pauses:
                    self._performer.start(strand, partial(self.answer, effect))
                    waiting += 1
                else:
                    strand.take(self.answer(effect))
                    ready.append(strand)
            if unwanted := [pause for pause in pauses if not pause[2].wanted]:
                pauses = [pause for pause in pauses if pause[2].wanted]
                heapify(pauses)
                ready += [strand for _, _, strand in unwanted]
                continue
            if not waiting and not pauses:
                break
            seconds = max(0.0, pauses[0][0] - self._clock()) if pauses else None
            if ended := self._performer.next(seconds):
                strand, outcome = ended
                waiting -= 1
                strand.take(outcome)
            else:
                strand = heappop(pauses)[2]
                strand.take(None)
            ready.append(strand)
        if error := self._root.error:
            raise SequenceStopped(error.path, error.message, self.persistence)
        return self.persistence

    def checkpoint(self) -> dict[str, Any]:
        """The state as JSON. It holds the live persistence: store it at once, before the run goes on.

        Keep it as text, or as `json`: `jsonb` forgets the order of keys, in which paths such as `$.*` list values.
        `values` are the values that it holds beside persistence, by their place and their key there.
        """
        values: Values = {}
        position = strand_state(self._root, "", values)
        if self._stop:
            position[STOP], of_stop = self._stop
            for place, members in of_stop.items():
                values.setdefault(place, {}).update(members)
        return {
            "version": VERSION,
            "steps": self.steps,
            "items": self._budget.items,
            "elapsed": self.elapsed,
            "persistence": self.persistence,
            "sensitive": sorted(self.sensitive),
            **position,
            "values": values,
        }

    def _restore(self, program: SequenceProgram, state: dict[str, Any]) -> None:
        try:
            values: Values = state["values"]
            self._environment.room.used = 0
            persistence = Persistence(dict(state["persistence"]), self._environment.room)
            persistence.sensitive = set(state.get("sensitive", []))
            self._root = Strand.of_program(self._environment, program, persistence)
            if state["version"] not in READABLE:
                raise ValueError("another version")
            restore_strand(self._root, state, "", values)
            self._stop = (state[STOP], values_of_stop(values)) if STOP in state else None
            self._budget.begin(state["steps"], state["items"], state["elapsed"])
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError, StepFailure) as error:
            raise Rejected(f"The stored state is not one of this sequence: {error!r}.") from None

    def _keep_stop(self) -> None:
        """Keeps where the run stops, from where another run may go on."""
        if self._stop is None:
            values: Values = {}
            self._stop = stop_state(self._root, values), values

    def answer(self, outgoing: Outgoing) -> Outcome:
        """Sends a request: the answer, or why there is none."""
        request = outgoing.request
        try:
            if request.method == JAC:
                return self._jac(request.address, {} if request.body is None else request.body, outgoing.master)
            return self._send(request)
        except (SendFailed, StepFailure) as error:
            return error


def _end(strand: Strand) -> "Iterable[Strand]":
    """Those who go on when a strand has ended: others of its group, or who waits for the group."""
    group = strand.group
    if group is None:
        return []
    group.finish(strand)
    begun = group.fill()
    return begun or ([] if group.active else [group.parent])


def _runnable(strand: Strand) -> "list[Strand]":
    """The strands that go on from where they are: those of a group in place of the one that waits for it."""
    group = strand.blocks[-1].group if strand.blocks else None
    if group is None:
        return [strand]
    strands = [inner for active in group.active.values() for inner in _runnable(active)]
    begun = group.fill()
    for inner in begun:
        inner.resumed = True
    return [*strands, *begun] or [strand]
