"""A dry run: a sequence carried out with answers that its author gives, while nothing is sent.

It is the interpreter with another answer to each request. Pauses are not waited for; they count in its time.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sequences.domain.errors import BudgetExceeded
from sequences.domain.exchange import SequenceLimits, StepRecord, StepResponse
from sequences.domain.field_reader import FieldReader
from sequences.domain.interpreter import Interpreter, InTurn
from sequences.domain.json_values import as_text, weigh
from sequences.domain.rendered_requests import Outgoing
from sequences.domain.scope import RunContext
from sequences.domain.steps import SequenceProgram
from sequences.domain.strand_records import LoadStored
from sequences.domain.validation_errors import InvalidSequence, Location, ValidationFaults

SECONDS_MAX = 5.0  # that it takes itself
SIZE_MAX = 2_000_000  # characters of all its requests together

_ITEM = re.compile(r"(\.__def_loop(?:__)?)\[[0-9]+\]")
_UNBOUNDED = 1 << 62
_STEP_SIZE = 200  # of what is told of a step beside its request


class Answers:
    """The answers of a dry run, by the path of their step: `requests[1].__def_loop__[2].requests[0]`.

    Without the index of an item a path is that of the step in all items. A step with several answers gets one after the
    other. What has no answer, or no more, gets an empty one with status 200.
    """

    def __init__(self, answers: dict[str, list[StepResponse] | StepResponse]) -> None:
        self._answers = answers
        self._given: dict[str, int] = {}

    def take(self, path: str) -> StepResponse:
        """The next answer for a step."""
        key = path if path in self._answers else _ITEM.sub(r"\1", path)
        answers = self._answers.get(key, [])
        number = self._given.get(key, 0)
        self._given[key] = number + 1
        if isinstance(answers, StepResponse):
            return answers
        return answers[number] if number < len(answers) else StepResponse(200)

    @property
    def unused(self) -> list[str]:
        """The paths for which nothing was sent."""
        return [path for path in self._answers if path not in self._given]


def read_answers(value: Any) -> Answers:
    """Reads `{path: {status?, headers?, body?}}`, or a list of these for a path. Raises `InvalidSequence`."""
    faults = ValidationFaults()
    fields = FieldReader(faults)
    root: Location = (None, "answers")
    answers: dict[str, list[StepResponse] | StepResponse] = {}
    for path, given in fields.object({} if value is None else value, root).items():
        place = (root, path)
        if isinstance(given, list):
            answers[path] = [_read_answer(one, (place, number), fields) for number, one in enumerate(given)]
        else:
            answers[path] = _read_answer(given, place, fields)
    if faults.errors:
        raise InvalidSequence(faults.errors)
    return Answers(answers)


def _read_answer(value: Any, location: Location, reader: FieldReader) -> StepResponse:
    fields = reader.object(value, location, ("status", "headers", "body"))
    headers = reader.object(fields.get("headers", {}), (location, "headers"))
    for name, text in headers.items():
        if isinstance(text, dict | list):
            reader.faults.add(((location, "headers"), name), "The value of a header is text.")
    named = {name.lower(): as_text(text) for name, text in headers.items()}
    asked = named.get("retry-after", "")
    return StepResponse(
        reader.count(fields, location, "status", 200, 599, 100),
        fields.get("body"),
        headers=named,
        retry_after=float(asked) if re.fullmatch("[0-9]{1,9}", asked) else None,
    )


class SkippedPauses(InTurn):
    """A performer and its clock, which goes on by each pause instead of waiting for its end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock, self._skipped = clock, 0.0

    def now(self) -> float:
        return self._clock() + self._skipped

    def next(self, seconds: float | None) -> tuple[Any, Any] | None:
        ended = super().next(seconds)
        self._skipped += 0.0 if ended else seconds or 0.0
        return ended


class DryRun(Interpreter):
    """One dry run of a program. `records` are its steps; what they would have sent is in them."""

    def __init__(
        self,
        program: SequenceProgram,
        answers: Answers,
        *,
        clock: Callable[[], float],
        limits: SequenceLimits,
        context: RunContext,
        load: LoadStored,
    ) -> None:
        self.answers = answers
        self.records: list[StepRecord] = []
        self._size, self._ends_at, self._real_clock = 0, clock() + SECONDS_MAX, clock
        pauses = SkippedPauses(clock)
        super().__init__(
            program,
            send=_send_nothing,
            jac=_send_nothing,
            clock=pauses.now,
            record=self._keep,
            should_stop=self._check,
            limits=limits,
            performer=pauses,
            context=context,
            load=load,
        )

    def answer(self, outgoing: Outgoing) -> StepResponse:
        """The answer that its author gives."""
        return replace(self.answers.take(outgoing.record.path), url=outgoing.request.address)

    def _keep(self, record: StepRecord) -> None:
        self._size += _STEP_SIZE
        if sent := record.sent:
            self._size += weigh([sent.address, sent.headers, sent.body], _UNBOUNDED, "The request")
        self.records.append(record)

    def _check(self) -> None:
        if self._real_clock() > self._ends_at:
            raise BudgetExceeded(f"A dry run takes at most {SECONDS_MAX:g} seconds.")
        if self._size > SIZE_MAX:
            raise BudgetExceeded(f"The requests of a dry run have at most {SIZE_MAX} characters together.")


def _send_nothing(*_: Any) -> StepResponse:
    raise AssertionError("A dry run sends nothing")
