"""Parses the arguments of a sequence into a `SequenceProgram`, or names every fault in them."""

import json
from typing import Any

from sequences.domain.address_templates import read_address
from sequences.domain.conditions import FilterReader
from sequences.domain.headers import read_headers
from sequences.domain.json_values import as_text, kind, weigh
from sequences.domain.steps import JAC, METHODS, Loop, SequenceProgram, Step
from sequences.domain.templates import Template, TemplateReader, constant
from sequences.domain.validation_errors import InvalidSequence, Location, StepFailure, ValidationFaults
from taskhub.errors import Rejected
from taskhub.jsontools.strict_json import check_storable

SIZE_MAX = 1_000_000  # characters of a sequence
STEPS_MAX = 1000
LOOPS_MAX = 10  # in each other

_PROGRAM_KEYS = ("persistence", "container", "requests")
_CONTAINER_KEYS = ("current", "parent_current", "index")
_LOOP_KEYS = ("by", "filter", "requests")
_STEP_KEYS = (
    "method", "url", "api", "header", "headers", "body", "master",
    "save_to", "save_req_to", "ignore_error", "break", "__def_loop__", "__def_loop",
)  # fmt: skip

Fields = dict[str, Any]


def parse(arguments: Any) -> SequenceProgram:
    """`arguments` as JSON values: `{persistence?, container?, requests}`, checked throughout.

    Raises `InvalidSequence` with all faults. Null counts as absent for every optional key.
    """
    faults = ValidationFaults()
    _check_json(arguments, faults)
    program = SequenceProgram() if faults.errors else _ProgramReader(faults).program(arguments)
    if faults.errors:
        raise InvalidSequence(faults.errors)
    return program


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


class _ProgramReader:
    def __init__(self, faults: ValidationFaults) -> None:
        self.faults = faults
        self.templates = TemplateReader(faults)
        self.filters = FilterReader(faults, self.templates)
        self.steps_left = STEPS_MAX

    def program(self, value: Any) -> SequenceProgram:
        fields = self._object(value, None, _PROGRAM_KEYS)
        persistence = self._object(fields.get("persistence", {}), (None, "persistence"))
        container = self._container(fields.get("container", {}))
        return SequenceProgram(persistence, container, self._steps(fields, None, 0))

    def _container(self, value: Any) -> Fields:
        location = (None, "container")
        fields = self._object(value, location, _CONTAINER_KEYS)
        presets = {name: preset for name, preset in fields.items() if preset != {}}
        index = presets.get("index", "0")
        if isinstance(index, bool) or not isinstance(index, int | str):
            self.faults.add((location, "index"), f"An index is text or a whole number, not {kind(index)}.")
        return presets | {"index": as_text(index)}

    def _steps(self, fields: Fields, location: Location, depth: int) -> tuple[Step, ...]:
        location = (location, "requests")
        requests = fields.get("requests")
        if not isinstance(requests, list):
            self.faults.add(location, "This is required, and a list.")
            return ()
        self.steps_left -= len(requests)
        if self.steps_left < 0:
            self.faults.add(location, f"A sequence has at most {STEPS_MAX} requests.")
            return ()
        for index, request in enumerate(requests):
            if not isinstance(request, dict):
                self.faults.add((location, index), f"A request is an object, not {kind(request)}.")
        return tuple(
            self._step(self._object(request, (location, index), _STEP_KEYS), (location, index), index, depth)
            for index, request in enumerate(requests)
            if isinstance(request, dict)
        )

    def _step(self, fields: Fields, location: Location, index: int, depth: int) -> Step:
        method = self._method(fields, location)
        break_, ignore = fields.get("break"), fields.get("ignore_error", False)
        if not isinstance(ignore, bool):
            self.faults.add((location, "ignore_error"), f"This is true or false, not {kind(ignore)}.")
        return Step(
            name=f"requests[{index}]",
            method=method,
            **self._address(fields, location, method),
            headers=self._headers(fields, location),
            body=self._body(fields, location, method),
            master=self._master(fields, location, method),
            save_to=self._name(fields, location, "save_to"),
            save_req_to=self._name(fields, location, "save_req_to"),
            ignore_error=ignore is True,
            break_when=None if break_ is None else self.filters.filter(break_, (location, "break")),
            loop=self._loop(fields, location, depth),
        )

    def _method(self, fields: Fields, location: Location) -> Template:
        """The method in capitals, or the template of one."""
        method = fields.get("method")
        if isinstance(method, str) and "{{" in method:
            return self.templates.text(method, (location, "method"))
        if isinstance(method, str) and method.upper() in (*METHODS, JAC):
            return constant(method.upper())
        self.faults.add((location, "method"), f"This is required, and one of {', '.join((*METHODS, JAC))}.")
        return Template(lambda scope: "", False)

    def _address(self, fields: Fields, location: Location, method: Template) -> dict[str, Template]:
        """The address of HTTP, the name of a call, or both readings where an expression gives the method."""
        key, address = self._either(fields, location, "url", "api")
        location = (location, key)
        if not isinstance(address, str) or not address.strip():
            self.faults.add(location, "This is required: an address, in 'url' or 'api'.")
            return {"address": constant(""), "call": constant("")}
        is_call = _is_call(method)
        call = self.templates.text(address, location) if is_call or not method.constant else constant("")
        if is_call:
            return {"address": constant(""), "call": call}
        faults = self.faults if method.constant else ValidationFaults()  # it may be the name of a call
        return {"address": read_address(address, location, self.templates, faults), "call": call}

    def _headers(self, fields: Fields, location: Location) -> Template:
        """They are of no effect on a JAC request, and checked all the same."""
        key, headers = self._either(fields, location, "header", "headers")
        if headers is None:
            return Template(lambda scope: {}, True)
        return read_headers(headers, (location, key), self.templates, self.faults)

    def _body(self, fields: Fields, location: Location, method: Template) -> Template:
        body = fields.get("body")
        if _is_call(method) and not (
            isinstance(body, dict) or body is None or (isinstance(body, str) and "{{" in body)
        ):
            self.faults.add((location, "body"), f"The body of a JAC request is an object, not {kind(body)}.")
        return self.templates.json(body, (location, "body"))

    def _master(self, fields: Fields, location: Location, method: Template) -> Template:
        master = fields.get("master")
        if master is None:
            return constant(None)
        if method.constant and not _is_call(method):
            self.faults.add((location, "master"), "Only a JAC request has a master.")
        elif not isinstance(master, str):
            self.faults.add((location, "master"), f"A master is a user's id, not {kind(master)}.")
        return self.templates.json(master, (location, "master"))

    def _name(self, fields: Fields, location: Location, key: str) -> Template | None:
        name = fields.get(key)
        if name is None:
            return None
        if not isinstance(name, str) or not name:
            self.faults.add((location, key), "This is a name, and not empty.")
            return None
        return self.templates.text(name, (location, key))

    def _loop(self, fields: Fields, location: Location, depth: int) -> Loop | None:
        key, value = self._either(fields, location, "__def_loop__", "__def_loop")
        if value is None:
            return None
        location = (location, key)
        if not isinstance(value, dict):
            self.faults.add(location, f"A loop is an object, not {kind(value)}.")
            return None
        if depth == LOOPS_MAX:
            self.faults.add(location, f"Loops stand in each other at most {LOOPS_MAX} deep.")
            return None
        loop = self._object(value, location, _LOOP_KEYS)
        by = self.filters.by(loop.get("by"), (location, "by"))
        filter_ = loop.get("filter")
        predicate = None if filter_ is None else self.filters.filter(filter_, (location, "filter"))
        return Loop(key, by.evaluate, by.roots <= {"$"}, predicate, self._steps(loop, location, depth + 1))

    def _either(self, fields: Fields, location: Location, first: str, second: str) -> tuple[str, Any]:
        """The spelling of a key that is used, and its value. Both at once are a fault unless their values are equal."""
        if second not in fields:
            return first, fields.get(first)
        if first in fields and fields[first] != fields[second]:
            self.faults.add((location, second), f"This is another spelling of '{first}': give one of them.")
        return second, fields[second]

    def _object(self, value: Any, location: Location, known: tuple[str, ...] = ()) -> Fields:
        """The fields that are not null; keys that are not `known` are faults. Without `known` these are all fields."""
        if not isinstance(value, dict):
            self.faults.add(location, f"This is an object, not {kind(value)}.")
            return {}
        for key in value:
            if known and key not in known:
                self.faults.add((location, key), f"There is no such key here; there are {', '.join(known)}.")
        return {key: item for key, item in value.items() if item is not None} if known else value


def _is_call(method: Template) -> bool:
    """Whether the method is known to be JAC."""
    return method.constant and method.value == JAC
