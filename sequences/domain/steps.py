"""A parsed sequence: nothing in it is looked up or parsed again while it runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sequences.domain.conditions import Comparison, Predicate
from sequences.domain.exchange import DEFAULT_OPTIONS, ExchangeOptions
from sequences.domain.expressions import Evaluate
from sequences.domain.json_values import kind
from sequences.domain.scope import Scope
from sequences.domain.templates import Template, constant
from sequences.domain.validation_errors import StepFailure

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
JAC = "JAC"
REPEATABLE = frozenset(METHODS) - {"POST", "PATCH"}  # a retry needs no leave of its author (RFC 9110, section 9.2.2)

# Steps without a request, by the key that says what they do.
SLEEP, PARALLEL, CALL = "SLEEP", "PARALLEL", "CALL"
_NOTHING = constant(None)


@dataclass(frozen=True, slots=True)
class Loop:
    """`name` is the key as it was written. `by_response`: what is looped over follows from the response alone.

    `parallel` is how many items go on at once, None for one after the other. `max_items` is how many that pass the
    filter are taken, and `collect` the name under which the list of their last values is saved.
    """

    name: str
    by: Evaluate
    by_response: bool
    filter: Predicate | None
    steps: "tuple[Step, ...]"
    parallel: int | None = None
    max_items: int | None = None
    collect: Template | None = None

    def items(self, scope: Scope) -> list[Any]:
        """What is looped over. Raises `StepFailure` where that is no list."""
        value = self.by(scope)
        if not isinstance(value, list):
            raise StepFailure(f"'by' gives {kind(value)}, and a loop needs an array.")
        return value


@dataclass(frozen=True, slots=True)
class Statuses:
    """Some statuses of answers: single ones, and classes by their first digit."""

    single: frozenset[int]
    classes: frozenset[int]

    def __contains__(self, status: object) -> bool:
        return isinstance(status, int) and (status in self.single or status // 100 in self.classes)


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request that failed is sent again. `attempts` counts the first one, too; times are seconds.

    `reasons` are those of `SendFailed`. Without `unsafe` only what may be sent twice is (`REPEATABLE`).
    """

    attempts: int
    delay: float
    exponential: bool
    max_delay: float
    statuses: Statuses
    reasons: frozenset[str]
    unsafe: bool

    def seconds(self, attempt: int, jitter: float, asked: float | None) -> float:
        """The pause after an attempt, `jitter` from 0 to 1; no shorter than what the server asked for."""
        pause = self.delay * (2.0 ** min(attempt - 1, 60) if self.exponential else 1)
        pause = min(pause, self.max_delay) * (0.5 + 0.5 * jitter)
        return min(max(pause, asked or 0), self.max_delay)


@dataclass(frozen=True, slots=True)
class Until:
    """The request is sent again, after `delay` seconds, until the filter holds; `attempts` times at most."""

    holds: Predicate
    delay: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Expect:
    """What an answer must be. Of `headers` and `filters` the first part of each is the place that is told."""

    statuses: Statuses | None
    headers: tuple[tuple[str, str, tuple[Comparison, ...]], ...]
    filters: tuple[tuple[str, Predicate], ...]
    schema: Callable[[Any], str | None] | None


@dataclass(frozen=True, slots=True)
class Paginate:
    """How the next page is found: by an expression, by the header `Link` (RFC 8288), or by counting `param` up."""

    next: Evaluate | None
    param: str
    start: int
    items: Evaluate
    max_pages: int


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a request is beyond the documents' keys."""

    options: ExchangeOptions = DEFAULT_OPTIONS
    query: Template | None = None
    auth: Template | None = None
    retry: Retry | None = None
    until: Until | None = None
    expect: Expect | None = None
    paginate: Paginate | None = None


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call of a stored sequence; `version` is None for the newest."""

    sequence: Template
    version: int | None
    inputs: Template


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `name` is its place in its block, such as `requests[0]`; `break_when` is its `break`.

    `address` and `headers` are of HTTP, `call` and `master` are of JAC: the name of a call and the user who makes it.
    An expression may give the method, so a step may have all of them. `plan` is None for a request that has nothing
    beyond the documents' keys. `action` is SLEEP, PARALLEL or CALL for a step without a request.
    """

    name: str
    method: Template = _NOTHING
    address: Template = _NOTHING
    call: Template = _NOTHING
    headers: Template = _NOTHING
    body: Template = _NOTHING
    master: Template = _NOTHING
    save_to: Template | None = None
    save_req_to: Template | None = None
    ignore_error: bool = False
    break_when: Predicate | None = None
    loop: Loop | None = None
    plan: RequestPlan | None = None
    title: str = ""
    when: Predicate | None = None
    assign: tuple[tuple[Template, Template], ...] = ()
    catch: "tuple[Step, ...]" = ()
    sensitive: bool = False
    action: str = ""
    sleep: Template = _NOTHING
    branches: "tuple[tuple[Step, ...], ...]" = ()
    limit: int = 0
    stored: StoredCall | None = None

    @property
    def constant_method(self) -> str:
        """The method, or an empty text where an expression gives it."""
        return self.action or (str(self.method.value) if self.method.constant else "")

    def inner_steps(self) -> "Iterator[tuple[str, Step]]":
        """The steps within this one, with what stands before their names in their paths."""
        for number, branch in enumerate(self.branches):
            yield from ((f"parallel.branches[{number}]", step) for step in branch)
        if self.loop:
            yield from ((f"{self.loop.name}.", step) for step in self.loop.steps)
        yield from (("", step) for step in self.catch)


@dataclass(frozen=True, slots=True)
class SequenceProgram:
    """`persistence` and `container` are the caller's own and are never changed. Absent presets are left out.

    `keeps_answer`: some expression reads `^`.
    """

    persistence: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    on_failure: tuple[Step, ...] = ()
    finally_: tuple[Step, ...] = ()
    keeps_answer: bool = False

    def walk(self) -> Iterator[tuple[str, Step]]:
        """Every step with its path, such as `requests[1].__def_loop__.requests[0]`, in the order of the text."""
        waiting = [(step.name, step) for step in reversed((*self.steps, *self.on_failure, *self.finally_))]
        while waiting:
            path, step = waiting.pop()
            yield path, step
            inner = [(f"{path}.{prefix}{step.name}", step) for prefix, step in step.inner_steps()]
            waiting += reversed(inner)
