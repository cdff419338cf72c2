"""A parsed sequence: nothing in it is looked up or parsed again while it runs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sequences.domain.conditions import Predicate
from sequences.domain.expressions import Evaluate
from sequences.domain.json_values import kind
from sequences.domain.scope import Scope
from sequences.domain.templates import Template
from sequences.domain.validation_errors import StepFailure

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
JAC = "JAC"


@dataclass(frozen=True, slots=True)
class Loop:
    """`name` is the key as it was written. `by_response`: what is looped over follows from the response alone."""

    name: str
    by: Evaluate
    by_response: bool
    filter: Predicate | None
    steps: "tuple[Step, ...]"

    def items(self, scope: Scope) -> list[Any]:
        """What is looped over. Raises `StepFailure` where that is no list."""
        value = self.by(scope)
        if not isinstance(value, list):
            raise StepFailure(f"'by' gives {kind(value)}, and a loop needs an array.")
        return value


@dataclass(frozen=True, slots=True)
class Step:
    """One request. `name` is its place in its block, such as `requests[0]`; `break_when` is its `break`.

    `address` and `headers` are of HTTP, `call` and `master` are of JAC: the name of a call and the user who makes it.
    An expression may give the method, so a step may have all of them.
    """

    name: str
    method: Template
    address: Template
    call: Template
    headers: Template
    body: Template
    master: Template
    save_to: Template | None = None
    save_req_to: Template | None = None
    ignore_error: bool = False
    break_when: Predicate | None = None
    loop: Loop | None = None

    @property
    def constant_method(self) -> str:
        """The method, or an empty text where an expression gives it."""
        return str(self.method.value) if self.method.constant else ""


@dataclass(frozen=True, slots=True)
class SequenceProgram:
    """`persistence` and `container` are the caller's own and are never changed. Absent presets are left out."""

    persistence: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    def walk(self) -> Iterator[tuple[str, Step]]:
        """Every step with its path, such as `requests[1].__def_loop__.requests[0]`, in the order of the text."""
        waiting = [(step.name, step) for step in reversed(self.steps)]
        while waiting:
            path, step = waiting.pop()
            yield path, step
            if step.loop:
                waiting += [(f"{path}.{step.loop.name}.{inner.name}", inner) for inner in reversed(step.loop.steps)]
