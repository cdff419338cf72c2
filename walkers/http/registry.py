"""The calls of walkers: named, typed functions, called by HTTP and in process alike.

A function's first parameter is the `Principal`; the others are what may be sent, bound and checked from their
annotations. It returns the body of the response, or a `CallResponse` with more than that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter, cleandoc, signature
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import BeforeValidator, WithJsonSchema

from taskhub.accounts.roles import admit
from taskhub.errors import Forbidden, NotFound, Problem, Unauthenticated, invalid
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.jsontools.strict_json import parse_json
from taskhub.runs import queue
from taskhub.runs.run_options import unfolded
from taskhub.security.scopes import KeyScope
from taskhub.web.query_values import FLAG_SCHEMA, FLAGS
from walkers.http.form_values import parse_text
from walkers.walks.principal import Principal

Scope = Literal["private", "admin"]
Notation = Literal["json", "jsonc"]
WAPI = "wapi/"


def _parse_flag(value: Any) -> Any:
    return FLAGS.get(str(value).lower(), value) if isinstance(value, str | int) else value


Flag = Annotated[bool, BeforeValidator(_parse_flag), WithJsonSchema(FLAG_SCHEMA)]  # in JSON, too, as queries spell it


@dataclass(frozen=True)
class CallResponse:
    """The response to a call; `body` is JSON.

    `respond_after_commit` makes the response that is sent instead, where the commit of the call may change it. With
    `wait` the response is made when a run has ended.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    respond_after_commit: "Callable[[], CallResponse] | None" = None
    wait: "RunWait | None" = None


@dataclass(frozen=True)
class RunWait:
    """A wait for the end of a run, at most so many seconds; then `respond` makes the response."""

    run_id: UUID
    seconds: float
    respond: Callable[[], CallResponse]


@dataclass(frozen=True)
class CallFunction:
    """A registered function, and what its documentation says."""

    name: str
    perform: Callable[..., Any]
    scope: Scope
    reads: bool  # it changes nothing that its user would notice
    key_scope: KeyScope  # that an API key needs
    problem_statuses: tuple[int, ...]  # of refusals that are its own
    example_arguments: Mapping[str, Any]
    example_answer: Any
    response_types: Mapping[int, Any]  # the type of the body by status
    notation: Notation  # of its JSON
    other_paths: tuple[str, ...]  # where it can be called, too
    commits_by_itself: Callable[..., bool] | None = (
        None  # whether a call with these arguments has no transaction around it
    )

    @cached_property
    def arguments_schema(self) -> ObjectSchema:
        parameters = list(signature(self.perform, eval_str=True).parameters.values())[1:]
        defaults = {p.name: REQUIRED if p.default is Parameter.empty else p.default for p in parameters}
        return ObjectSchema(self.name, {p.name: (p.annotation, defaults[p.name]) for p in parameters})

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        return self.arguments_schema.schema()

    @property
    def summary(self) -> str:
        return self._docstring.partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        return self._docstring.partition("\n")[2].strip() or self._docstring

    @property
    def _docstring(self) -> str:
        return cleandoc(self.perform.__doc__ or self.name)

    def __call__(self, principal: Principal, arguments: Mapping[str, Any]) -> CallResponse:
        """Raises `Unauthenticated`, `Forbidden`, `Rejected` for arguments that do not fit, and its own refusals."""
        if principal.user is None:
            raise Unauthenticated(f"{self.name} needs a user.")
        if self.scope == "admin" and not principal.user.is_staff:
            raise Forbidden(f"{self.name} is for staff.")
        admit(principal.user, self.key_scope)
        returned = self.perform(principal, **self.arguments_schema.check(arguments))
        return returned if isinstance(returned, CallResponse) else CallResponse(body=returned)

    def is_atomic(self, principal: Principal, arguments: Mapping[str, Any]) -> bool:
        """Whether all that a call does is one transaction, where it is to be one; so is what will be refused."""
        if self.commits_by_itself is None:
            return True
        try:
            return not self.commits_by_itself(principal, **self.arguments_schema.check(arguments))
        except Problem:
            return True

    def from_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Arguments from a query or a form, where all is text: numbers read, and JSON where the parameter is no scalar.

        A text that cannot be read stays as it is, and is refused with its place when it is checked.
        """
        values = unfolded(texts) if "concurrency" in self.arguments_schema.names else texts
        return {
            name: self._parse_text(name, value) if isinstance(value, str) else value for name, value in values.items()
        }

    def _parse_text(self, name: str, text: str) -> Any:
        return parse_text(text, self._json_types.get(name, "string"), name, self.read_json)

    @property
    def read_json(self) -> Callable[[str], Any]:
        return parse_jsonc if self.notation == "jsonc" else parse_json

    def merge(self, query: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call that has some in its query and some in its body, which counts where both name one.

        But a flag that is true in either is true: generated clients send those that their callers leave alone.
        """
        flags = {name for name, value in query.items() if value is True and _parse_flag(body.get(name)) is False}
        return {**query, **body, **dict.fromkeys(flags, True)}

    @cached_property
    def _json_types(self) -> dict[str, str]:
        return {name: json_type_of(schema) for name, schema in self.json_schema.get("properties", {}).items()}


_functions: dict[str, CallFunction] = {}
Perform = TypeVar("Perform", bound=Callable[..., Any])


def register_call(
    *,
    scope: Scope = "private",
    reads: bool = False,
    runs: bool = False,
    problem_statuses: tuple[int, ...] = (),
    example_arguments: Mapping[str, Any] | None = None,
    example_answer: Any = None,
    response_types: Mapping[int, Any] | None = None,
    notation: Notation = "json",
    other_paths: tuple[str, ...] = (),
    commits_by_itself: Callable[..., bool] | None = None,
) -> Callable[[Perform], Perform]:
    """Registers a function under its name. One that `reads` changes nothing; one that `runs` starts or cancels work.

    `problem_statuses` are those of the errors that only this function has. The examples are for the documentation.
    `response_types` are the types of its bodies by status, where the return annotation does not say it. In `jsonc` a
    call's JSON may have comments and trailing commas. `commits_by_itself` takes the same arguments as the function, and
    says whether what it does then is stored step by step.
    """

    def register(perform: Perform) -> Perform:
        name = perform.__name__
        key_scope = KeyScope.READ if reads else KeyScope.RUN if runs else KeyScope.MANAGE
        _functions[name] = CallFunction(
            name,
            perform,
            scope,
            reads,
            key_scope,
            problem_statuses,
            example_arguments or {},
            example_answer,
            response_types or {200: signature(perform, eval_str=True).return_annotation},
            notation,
            other_paths,
            commits_by_itself,
        )
        return perform

    return register


def functions() -> list[CallFunction]:
    return list(_functions.values())


def is_call(name: str) -> bool:
    """Whether there is a call of this name; what stands behind `wapi/` only the call itself looks up."""
    return name in _functions or name.startswith(WAPI)


def only_reads(name: str) -> bool:
    """Whether a call changes nothing that its user would notice."""
    return name in _functions and _functions[name].reads


def key_scope_of(name: str) -> KeyScope:
    """The scope that an API key needs for a call, `wapi/<walker>` too. One that is not known needs `manage`."""
    name = "walker_run" if name.startswith(WAPI) else name
    return _functions[name].key_scope if name in _functions else KeyScope.MANAGE


def call(name: str, arguments: Mapping[str, Any], principal: Principal) -> CallResponse:
    """Makes a call in process, as HTTP does; `wapi/<walker>` too. Outside of a transaction. Raises `Problem`s."""
    if name.startswith(WAPI):
        name, arguments = "walker_run", wapi_arguments(name.removeprefix(WAPI), arguments)
    if name not in _functions:
        raise NotFound(f"There is no call {name[:100]!r}.")
    response = _functions[name](principal, arguments)
    if wait := response.wait:
        queue.wait(run_id=wait.run_id, user=principal.user, seconds=wait.seconds)
        return wait.respond()
    return response


def wapi_arguments(walker: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if "name" in arguments:
        raise invalid("/name", "The path names the walker.")
    return {**arguments, "name": walker}


def json_type_of(schema: Mapping[str, Any]) -> str:
    """JSON's type of what a schema describes, other than null."""
    types = [branch.get("type", "object") for branch in schema.get("anyOf", [schema])]
    return next((type_ for type_ in types if type_ != "null"), "object")
