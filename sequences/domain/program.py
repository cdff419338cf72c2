"""Parses the arguments of a sequence into a `SequenceProgram`, or names every fault in them."""

import json
from dataclasses import replace
from typing import Any

from sequences.domain.field_reader import FieldReader, Fields
from sequences.domain.json_values import as_text, kind, weigh
from sequences.domain.step_reader import LOOPS_MAX, STEPS_MAX, StepReader
from sequences.domain.steps import SequenceProgram
from sequences.domain.templates import OnNothing, Template, TemplateReader
from sequences.domain.validation_errors import InvalidSequence, StepFailure, ValidationFaults, join_path
from taskhub.errors import Rejected
from taskhub.jsontools.strict_json import check_storable

__all__ = ["LOOPS_MAX", "SIZE_MAX", "STEPS_MAX", "parse"]

SIZE_MAX = 1_000_000  # characters of a sequence

PROGRAM_KEYS = ("persistence", "container", "defaults", "requests", "on_failure", "finally")
CONTAINER_KEYS = ("current", "parent_current", "index")


def parse(arguments: Any, on_nothing: OnNothing | None = None) -> SequenceProgram:
    """`arguments` as JSON values: `{persistence?, container?, defaults?, requests, on_failure?, finally?}`.

    They are checked throughout. Raises `InvalidSequence` with all faults. Null counts as absent for every optional key.
    `on_nothing(place, expression)` is told while the program runs.
    """
    faults = ValidationFaults()
    _check_json(arguments, faults)
    program = SequenceProgram() if faults.errors else _read_program(arguments, faults, on_nothing)
    if faults.errors:
        raise InvalidSequence(faults.errors)
    return program


def parse_stored(
    sequence: Any, outputs: Any, on_nothing: OnNothing | None = None
) -> tuple[SequenceProgram, dict[str, Template] | None]:
    """A stored sequence's program, and its outputs, which are expressions or texts with expressions.

    Raises `InvalidSequence`, whose paths begin with `sequence` or `outputs`.
    """
    faults = ValidationFaults()
    try:
        program = parse(sequence, on_nothing)
    except InvalidSequence as invalid:
        program = SequenceProgram()
        faults.errors += [{**fault, "path": join_path("sequence", fault["path"])} for fault in invalid.errors]
    templates = TemplateReader(faults, on_nothing)
    fields = FieldReader(faults).object(outputs or {}, (None, "outputs"))
    read = {name: templates.json(_braced(value), ((None, "outputs"), name)) for name, value in fields.items()}
    if faults.errors:
        raise InvalidSequence(faults.errors)
    keeps_answer = program.keeps_answer or "^" in templates.roots
    return replace(program, keeps_answer=keeps_answer), None if outputs is None else read


def _braced(value: Any) -> Any:
    """An output that is an expression without its braces."""
    return f"{{{{{value}}}}}" if isinstance(value, str) and "{{" not in value else value


def _check_json(arguments: Any, faults: ValidationFaults) -> None:
    if not isinstance(arguments, dict):
        faults.add(None, f"A sequence is an object, not {kind(arguments)}.")
        return
    try:
        weigh(arguments, SIZE_MAX, "The sequence")
        check_storable(arguments)
        json.dumps(arguments, allow_nan=False)
    except Rejected as refusal:
        faults.add(None, refusal.errors[0]["detail"])
    except (StepFailure, ValueError, TypeError) as error:
        faults.add(None, str(error))


def _read_program(value: Any, faults: ValidationFaults, on_nothing: OnNothing | None) -> SequenceProgram:
    fields_reader, templates = FieldReader(faults), TemplateReader(faults, on_nothing)
    reader = StepReader(fields_reader, templates)
    fields = fields_reader.object(value, None, PROGRAM_KEYS)
    persistence = fields_reader.object(fields.get("persistence", {}), (None, "persistence"))
    container = _container(fields.get("container", {}), fields_reader)
    if "defaults" in fields:
        reader.requests.read_defaults(fields["defaults"], (None, "defaults"))
    steps = reader.steps(fields.get("requests"), (None, "requests"), "requests")
    on_failure, finally_ = (
        reader.steps(fields[key], (None, key), key) if key in fields else () for key in ("on_failure", "finally")
    )
    return SequenceProgram(persistence, container, steps, on_failure, finally_, "^" in templates.roots)


def _container(value: Any, reader: FieldReader) -> Fields:
    location = (None, "container")
    fields = reader.object(value, location, CONTAINER_KEYS)
    presets = {name: preset for name, preset in fields.items() if preset != {}}
    index = presets.get("index", "0")
    if isinstance(index, bool) or not isinstance(index, int | str):
        reader.faults.add((location, "index"), f"An index is text or a whole number, not {kind(index)}.")
    return presets | {"index": as_text(index)}
