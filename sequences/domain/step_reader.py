"""Reads steps: what each does, when it does it, what it saves, and the steps within it."""

from typing import Any

from sequences.domain.conditions import FilterReader
from sequences.domain.field_reader import FieldReader, Fields
from sequences.domain.json_values import kind
from sequences.domain.policy_reader import COUNT_MAX, SECONDS_MAX
from sequences.domain.request_reader import RequestReader
from sequences.domain.steps import CALL, PARALLEL, SLEEP, Loop, Step, StoredCall
from sequences.domain.templates import Template, TemplateReader
from sequences.domain.validation_errors import Location

STEPS_MAX = 1000
LOOPS_MAX = 10  # in each other, with branches and the like
BRANCHES_MAX = 100
AT_ONCE_MAX = 100
TITLE_MAX, DESCRIPTION_MAX = 200, 10_000

LOOP_KEYS = ("by", "filter", "requests", "parallel", "max_items", "collect")
REQUEST_KEYS = (
    "method", "url", "api", "header", "headers", "query", "body", "form", "multipart", "text", "file", "auth",
    "master",
    "timeout", "retry", "until", "expect", "paginate", "follow_redirects", "response", "save_req_to",
)  # fmt: skip
SHARED_KEYS = (
    "name", "description", "when", "save_to", "assign", "sensitive", "ignore_error", "catch", "break", "__def_loop__",
    "__def_loop",
)  # fmt: skip
ACTIONS = {"sleep": SLEEP, "parallel": PARALLEL, "call": CALL}
STEP_KEYS = (*REQUEST_KEYS, *SHARED_KEYS, *ACTIONS)
SLEEP_KEYS = ("sleep", "name", "description", "when")


class StepReader:
    """Reads the steps of one sequence, which has `STEPS_MAX` of them at most."""

    def __init__(self, reader: FieldReader, templates: TemplateReader) -> None:
        self.faults = reader.faults
        self._reader, self._templates = reader, templates
        self._filters = FilterReader(reader.faults, templates)
        self.requests = RequestReader(reader, templates, self._filters)
        self._steps_left = STEPS_MAX

    def steps(self, requests: Any, location: Location, prefix: str, depth: int = 0) -> tuple[Step, ...]:
        """`prefix` is what stands before a step's number in its name: `requests` in `requests[0]`."""
        if not isinstance(requests, list):
            self.faults.add(location, "This is required, and a list.")
            return ()
        self._steps_left -= len(requests)
        if self._steps_left < 0:
            self.faults.add(location, f"A sequence has at most {STEPS_MAX} requests.")
            return ()
        if depth > LOOPS_MAX:
            self.faults.add(location, f"Loops stand in each other at most {LOOPS_MAX} deep.")
            return ()
        for index, request in enumerate(requests):
            if not isinstance(request, dict):
                self.faults.add((location, index), f"A request is an object, not {kind(request)}.")
        return tuple(
            self._step(self._reader.object(request, (location, index), STEP_KEYS), (location, index), prefix, depth)
            for index, request in enumerate(requests)
            if isinstance(request, dict)
        )

    def _step(self, fields: Fields, location: Location, prefix: str, depth: int) -> Step:
        assert location
        actions = [key for key in ACTIONS if key in fields]
        doing = self._action(actions, fields, location, depth) if actions else self.requests.request(fields, location)
        self._reader.text(fields, location, "description", DESCRIPTION_MAX)
        return Step(
            name=f"{prefix}[{location[1]}]",
            **doing,
            save_to=self._name(fields, location, "save_to"),
            save_req_to=self._name(fields, location, "save_req_to"),
            ignore_error=self._reader.boolean(fields, location, "ignore_error", False),
            break_when=self._filter(fields, location, "break"),
            loop=self._loop(fields, location, depth),
            title=self._reader.text(fields, location, "name", TITLE_MAX),
            when=self._filter(fields, location, "when"),
            assign=self._assign(fields, location),
            catch=self.steps(fields["catch"], (location, "catch"), "catch", depth + 1) if "catch" in fields else (),
            sensitive=self._reader.boolean(fields, location, "sensitive", False),
        )

    def _action(self, actions: list[str], fields: Fields, location: Location, depth: int) -> dict[str, Any]:
        """The fields of a `Step` without a request."""
        key = actions[0]
        allowed = SLEEP_KEYS if key == "sleep" else (key, *SHARED_KEYS)
        for other in fields:
            if other not in allowed:
                self.faults.add((location, other), f"A step with '{key}' has none of this.")
        place, value = (location, key), fields[key]
        if key == "sleep":
            return {"action": SLEEP, "sleep": self._sleep(value, place)}
        if key == "parallel":
            return {"action": PARALLEL, **self._parallel(value, place, depth)}
        return {"action": CALL, "stored": self._stored(value, place)}

    def _sleep(self, value: Any, location: Location) -> Template:
        if not (isinstance(value, str) and "{{" in value):
            self._reader.seconds({"sleep": value}, location and location[0], "sleep", 0, SECONDS_MAX)
        return self._templates.json(value, location)

    def _parallel(self, value: Any, location: Location, depth: int) -> dict[str, Any]:
        parallel = self._reader.object(value, location, ("branches", "limit"))
        branches = parallel.get("branches")
        place = (location, "branches")
        if not isinstance(branches, list) or not 1 <= len(branches) <= BRANCHES_MAX:
            self.faults.add(place, f"This is required: a list of 1 to {BRANCHES_MAX} lists of steps.")
            branches = []
        return {
            "branches": tuple(
                self.steps(branch, (place, number), "", depth + 1) for number, branch in enumerate(branches)
            ),
            "limit": self._reader.count(parallel, location, "limit", max(1, len(branches)), AT_ONCE_MAX),
        }

    def _stored(self, value: Any, location: Location) -> StoredCall | None:
        call = self._reader.object(value, location, ("sequence", "version", "inputs"))
        name = call.get("sequence")
        if not isinstance(name, str) or not name:
            self.faults.add((location, "sequence"), "This is required: the name of a stored sequence.")
            return None
        inputs = call.get("inputs", {})
        if not isinstance(inputs, dict) and not (isinstance(inputs, str) and "{{" in inputs):
            self.faults.add((location, "inputs"), f"Inputs are an object, not {kind(inputs)}.")
        version = self._reader.count(call, location, "version", 1, COUNT_MAX) if "version" in call else None
        return StoredCall(
            self._templates.text(name, (location, "sequence")),
            version,
            self._templates.json(inputs, (location, "inputs")),
        )

    def _filter(self, fields: Fields, location: Location, key: str) -> Any:
        return self._filters.filter(fields[key], (location, key)) if key in fields else None

    def _name(self, fields: Fields, location: Location, key: str) -> Template | None:
        name = fields.get(key)
        if name is None:
            return None
        if not isinstance(name, str) or not name:
            self.faults.add((location, key), "This is a name, and not empty.")
            return None
        return self._templates.text(name, (location, key))

    def _assign(self, fields: Fields, location: Location) -> tuple[tuple[Template, Template], ...]:
        if "assign" not in fields:
            return ()
        location = (location, "assign")
        assign = self._reader.object(fields["assign"], location)
        if "" in assign:
            self.faults.add((location, ""), "This is a name, and not empty.")
        return tuple(
            (self._templates.text(name, (location, name)), self._templates.json(value, (location, name)))
            for name, value in assign.items()
        )

    def _loop(self, fields: Fields, location: Location, depth: int) -> Loop | None:
        key, value = self._reader.either(fields, location, "__def_loop__", "__def_loop")
        if value is None:
            return None
        location = (location, key)
        if not isinstance(value, dict):
            self.faults.add(location, f"A loop is an object, not {kind(value)}.")
            return None
        if depth == LOOPS_MAX:
            self.faults.add(location, f"Loops stand in each other at most {LOOPS_MAX} deep.")
            return None
        loop = self._reader.object(value, location, LOOP_KEYS)
        by = self._filters.by(loop.get("by"), (location, "by"))
        predicate = self._filter(loop, location, "filter")
        return Loop(
            key,
            by.evaluate,
            by.roots <= {"$"},
            predicate,
            self.steps(loop.get("requests"), (location, "requests"), "requests", depth + 1),
            self._reader.count(loop, location, "parallel", 1, AT_ONCE_MAX) if "parallel" in loop else None,
            self._reader.count(loop, location, "max_items", 1, COUNT_MAX) if "max_items" in loop else None,
            self._name(loop, location, "collect"),
        )
