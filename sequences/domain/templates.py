"""Templates, texts and JSON with `{{...}}` in them, parsed once into functions of a scope.

A string that is one whole expression keeps the value's type; inside a longer string it is text. What was substituted
is a value and never a template: it is not looked at again. A literal `{{` is written `{{'{{'}}`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sequences.domain.expressions import Evaluate, Expression, read_expression
from sequences.domain.json_values import as_text
from sequences.domain.scope import Scope
from sequences.domain.validation_errors import InvalidSyntax, Location, ValidationFaults, dotted

# In one sequence, so that the largest is read within two seconds.
EXPRESSIONS_MAX = 1000
CHARACTERS_MAX = 100_000  # of all its expressions

# A lookahead within a possessive repeat finds nothing in Python 3.11.2, which Debian 12 has.
_INSIDE = re.compile(r"""((?:[^'"}]++|'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+"|}(?!}))*)}}""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """`render` gives the value in a scope; it raises `StepFailure`. `constant` needs no scope."""

    render: Evaluate
    constant: bool

    @property
    def value(self) -> Any:
        """The value of a constant."""
        return self.render(_EMPTY_SCOPE)


_EMPTY_SCOPE = Scope(None, {})


def constant(value: Any) -> Template:
    return Template(lambda scope: value, True)


# Told the place and the text of an expression whenever it finds nothing.
OnNothing = Callable[[str, str], None]


class TemplateReader:
    """Reads the templates of one sequence; what it cannot parse goes to `faults`."""

    def __init__(self, faults: ValidationFaults, on_nothing: OnNothing | None = None) -> None:
        self.faults = faults
        self._on_nothing = on_nothing
        self._expressions_left, self._characters_left = EXPRESSIONS_MAX, CHARACTERS_MAX
        self.roots: set[str] = set()  # of all its expressions

    def value(self, text: str, location: Location) -> Template:
        """A value of any type where the text is one whole expression, else text."""
        parts = self.parts(text, location)
        if len(parts) == 1 and isinstance(parts[0], Expression):
            return Template(parts[0].evaluate, False)
        return _joined(parts)

    def text(self, text: str, location: Location) -> Template:
        """A text."""
        return _joined(self.parts(text, location))

    def json(self, value: Any, location: Location) -> Template:
        """Any JSON, with expressions in its strings at any depth, keys included."""
        if isinstance(value, str):
            return self.value(value, location)
        if isinstance(value, list):
            items = [self.json(item, (location, index)) for index, item in enumerate(value)]
            return constant(value) if _all_constant(items) else _list([item.render for item in items])
        if isinstance(value, dict):
            return self._object(value, location)
        return constant(value)

    def _object(self, value: dict[str, Any], location: Location) -> Template:
        keys = [self.text(key, (location, key)) for key in value]
        values = [self.json(item, (location, key)) for key, item in value.items()]
        if not _all_constant(keys):
            return _computed_object([key.render for key in keys], [item.render for item in values])
        if not _all_constant(values):
            names = [key.value for key in keys]
            return _object(names, values)
        return constant(value)

    def parts(self, text: str, location: Location) -> list[str | Expression]:
        """The texts and expressions of which a text is made."""
        if "{{" not in text:
            return [text]
        try:
            return self._split(text, location)
        except InvalidSyntax as error:
            self.faults.add(location, str(error))
            return [""]

    def _split(self, text: str, location: Location) -> list[str | Expression]:
        parts: list[str | Expression] = []
        at = 0
        while (opening := _find_opening(text, at)) >= 0:
            inside = _INSIDE.match(text, opening + 2)
            if not inside:
                raise InvalidSyntax(f"The '{{{{' at character {opening + 1} is not closed by '}}}}'.")
            parts += [text[at:opening], self.expression(inside[1], location)]
            at = inside.end()
        parts.append(text[at:])
        return [part for part in parts if part != ""]

    def expression(self, text: str, location: Location) -> Expression:
        """Raises `InvalidSyntax`."""
        self._expressions_left -= 1
        self._characters_left -= len(text)
        if self._expressions_left < 0:
            raise InvalidSyntax(f"A sequence has at most {EXPRESSIONS_MAX} expressions.")
        if self._characters_left < 0:
            raise InvalidSyntax(f"The expressions of a sequence have at most {CHARACTERS_MAX} characters.")
        expression = read_expression(text)
        self.roots |= expression.roots
        return _watched(expression, dotted(location), text, self._on_nothing) if self._on_nothing else expression


def _watched(expression: Expression, place: str, text: str, on_nothing: OnNothing) -> Expression:
    """The expression, which tells when its value is null, or when a path of several values matches none."""

    def evaluate(scope: Scope) -> Any:
        value = expression.evaluate(scope)
        if value is None or (expression.many and value == []):
            on_nothing(place, text)
        return value

    return replace(expression, evaluate=evaluate)


def _find_opening(text: str, start: int) -> int:
    """Where the next expression opens, or -1: at the last two of a row of braces, so that `{{{#.a}}}` is in braces."""
    at = text.find("{{", start)
    while at >= 0 and text[at + 2 : at + 3] == "{":
        at += 1
    return at


def _all_constant(templates: list[Template]) -> bool:
    return all(template.constant for template in templates)


def _joined(parts: list[str | Expression]) -> Template:
    if not any(isinstance(part, Expression) for part in parts):
        return constant("".join(part for part in parts if isinstance(part, str)))

    def render(scope: Scope) -> str:
        return "".join(
            part if isinstance(part, str) else scope.count_text(as_text(part.evaluate(scope))) for part in parts
        )

    return Template(render, False)


def _list(items: list[Evaluate]) -> Template:
    return Template(lambda scope: [render(scope) for render in items], False)


def _object(names: list[str], values: list[Template]) -> Template:
    constants = {name: item.value if item.constant else None for name, item in zip(names, values, strict=True)}
    variables = [(name, item.render) for name, item in zip(names, values, strict=True) if not item.constant]

    def render(scope: Scope) -> dict[str, Any]:
        value = dict(constants)
        for name, render_member in variables:
            value[name] = render_member(scope)
        return value

    return Template(render, False)


def _computed_object(names: list[Evaluate], values: list[Evaluate]) -> Template:
    pairs = list(zip(names, values, strict=True))
    return Template(lambda scope: {name(scope): value(scope) for name, value in pairs}, False)
