"""The one interface: named, typed functions, called by HTTP and in process alike.

A function's first parameter is the `Caller`; the others are what may be sent, bound and checked from their annotations.
It returns the body of the answer, or an `Answer` where more is to be said.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter, cleandoc, signature
from typing import Any, Literal, TypeVar

from taskhub.errors import Forbidden, NotFound, Rejected, Unauthenticated, invalid
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.jsontools.strict_json import parse_json
from walkers.http.principal import Caller

Scope = Literal["private", "admin"]
WAPI = "wapi/"
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Answer:
    """The answer to a call; `body` is JSON. `final` gives the answer after the commit, where that may be another."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    final: "Callable[[], Answer] | None" = None


@dataclass(frozen=True)
class Function:
    """A registered function with all that is known about it."""

    name: str
    perform: Callable[..., Any]
    scope: Scope
    reads: bool  # it changes nothing that the caller would notice
    problems: tuple[int, ...]  # statuses of refusals that are its own
    arguments: Mapping[str, Any]  # of an example
    answer: Any
    answers: Mapping[int, Any]  # the type of the body by status

    @cached_property
    def shape(self) -> ObjectSchema:
        parameters = list(signature(self.perform, eval_str=True).parameters.values())[1:]
        defaults = {p.name: REQUIRED if p.default is Parameter.empty else p.default for p in parameters}
        return ObjectSchema(self.name, {p.name: (p.annotation, defaults[p.name]) for p in parameters})

    @cached_property
    def schema(self) -> dict[str, Any]:
        return self.shape.schema()

    @property
    def summary(self) -> str:
        return self._words.partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        return self._words.partition("\n")[2].strip() or self._words

    @property
    def _words(self) -> str:
        return cleandoc(self.perform.__doc__ or self.name)

    def __call__(self, caller: Caller, arguments: Mapping[str, Any]) -> Answer:
        """Raises `Unauthenticated`, `Forbidden`, `Rejected` for arguments that do not fit, and its own refusals."""
        self.admit(caller)
        answer = self.perform(caller, **self.shape.check(arguments))
        return answer if isinstance(answer, Answer) else Answer(body=answer)

    def admit(self, caller: Caller) -> None:
        if caller.user is None:
            raise Unauthenticated(f"{self.name} needs a user.")
        if self.scope == "admin" and not caller.user.is_staff:
            raise Forbidden(f"{self.name} is for staff.")

    def from_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Arguments from a query or a form, where all is text: numbers read, and JSON where the parameter is no scalar.

        A text that cannot be read stays as it is, and is refused with its place when it is checked.
        """
        return {name: _read(text, self.kinds.get(name, "string"), name) for name, text in texts.items()}

    @cached_property
    def kinds(self) -> dict[str, str]:
        """JSON's type of each parameter."""
        return {name: type_of(schema) for name, schema in self.schema.get("properties", {}).items()}


_functions: dict[str, Function] = {}
Perform = TypeVar("Perform", bound=Callable[..., Any])


def api(
    *,
    scope: Scope = "private",
    reads: bool = False,
    problems: tuple[int, ...] = (),
    arguments: Mapping[str, Any] | None = None,
    answer: Any = None,
    answers: Mapping[int, Any] | None = None,
) -> Callable[[Perform], Perform]:
    """Registers a function under its name.

    `arguments` and `answer` are an example for the documentation; `answers` are the types of its bodies by status,
    where the annotation of what it returns does not say it.
    """

    def register(perform: Perform) -> Perform:
        name = perform.__name__
        returns = answers or {200: signature(perform, eval_str=True).return_annotation}
        _functions[name] = Function(name, perform, scope, reads, problems, arguments or {}, answer, returns)
        return perform

    return register


def functions() -> list[Function]:
    return list(_functions.values())


def only_reads(name: str) -> bool:
    """Whether a call changes nothing that its caller would notice."""
    return name in _functions and _functions[name].reads


def call(name: str, arguments: Mapping[str, Any], caller: Caller) -> Answer:
    """The whole call in process, as HTTP makes it; `wapi/<walker>` too. Outside of a transaction. Raises `Problem`s."""
    if name.startswith(WAPI):
        name, arguments = "walker_run", wapi_arguments(name.removeprefix(WAPI), arguments)
    if name not in _functions:
        raise NotFound(f"There is no call {name[:100]!r}.")
    return _functions[name](caller, arguments)


def wapi_arguments(walker: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if "name" in arguments:
        raise invalid("/name", "The path names the walker.")
    return {**arguments, "name": walker}


def type_of(schema: Mapping[str, Any]) -> str:
    kinds = [one.get("type", "object") for one in schema.get("anyOf", [schema])]
    return next((kind for kind in kinds if kind != "null"), "object")


def _read(text: str, kind: str, name: str) -> Any:
    match kind:
        case "integer" | "number" if len(text) <= 30:
            return _number(text)
        case "boolean":
            return _WORDS.get(text.lower(), text)
        case "object" | "array":
            return _json(text, name)
    return text


def _number(text: str) -> int | float | str:
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) else text


def _json(text: str, name: str) -> Any:
    try:
        return parse_json(text)
    except Rejected as error:
        places = [{**place, "pointer": f"/{name}{place['pointer']}"} for place in error.errors]
        raise Rejected(f"{name} is not JSON. {error.detail}", errors=places, type=error.type) from None
