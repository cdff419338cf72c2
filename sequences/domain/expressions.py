"""What stands between `{{` and `}}`: a root (`$`, `#`, `@`, `!`) and a path, read once into a function.

`.key` and `.0` are the ways down, `.(expression)` is a computed key, anything more is JSONPath. A definite path gives
a value or null, any other always a list. A quoted text, `'{{'`, stands for itself.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sequences.domain.json_values import as_text
from sequences.domain.paths import Matches, Walk, member, position, read_path
from sequences.domain.scope import Scope
from sequences.domain.validation_errors import Unreadable

LENGTH_MAX = 1000
NESTING_MAX = 10  # computed keys within computed keys

Evaluate = Callable[[Scope], Any]

_ROOTS: dict[str, Evaluate] = {
    "$": lambda scope: scope.current,
    "#": lambda scope: scope.persistence,
    "@": lambda scope: scope.item,
    "!": lambda scope: scope.index,
}
_NAME = re.compile(r"""\.([^\s.()\[\]{}*?,|&~'"`]+)(?![^.)])""")
_COMPUTED = re.compile(r"\.\(")
_JSONPATH = re.compile(r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?!\.\()[^()'"])+""", re.DOTALL)
_LITERAL = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expression:
    """`evaluate` gives what `text` stands for in a scope: never a copy, but for persistence itself, as it changes.

    It raises `Failure` when it would look at too many values. `roots` are those that the value depends on.
    """

    text: str
    evaluate: Evaluate
    definite: bool
    roots: frozenset[str]


@lru_cache(maxsize=4096)
def read_expression(text: str) -> Expression:
    """Raises `Unreadable`, with the character that cannot stand where it stands."""
    if len(text) > LENGTH_MAX:
        raise Unreadable(f"An expression has at most {LENGTH_MAX} characters.")
    bare = text.strip()
    if literal := _LITERAL.fullmatch(bare):
        value = re.sub(r"\\(.)", r"\1", literal[1] or literal[2] or "", flags=re.DOTALL)
        return Expression(text, lambda scope: value, True, frozenset())
    reader = _Reader(bare)
    expression = reader.expression()
    if reader.at < len(bare):
        raise reader.unexpected()
    return expression


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def expression(self, depth: int = 0) -> Expression:
        if depth > NESTING_MAX:
            raise Unreadable(f"Computed keys stand in each other more than {NESTING_MAX} deep.")
        start, root = self.at, self._root()
        steps: list[str | Expression | tuple[tuple[Walk, ...], bool]] = []
        while self.at < len(self.text) and self.text[self.at] != ")":
            steps.append(self._step(depth))
        return _expression(self.text[start : self.at], root, steps)

    def unexpected(self) -> Unreadable:
        found = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
        return Unreadable(f"{self.text[:100]!r}: {found} cannot stand at character {self.at + 1}.")

    def _root(self) -> str:
        if not self.text:
            raise Unreadable("There is nothing in the expression.")
        root = self.text[self.at : self.at + 1]
        if root not in _ROOTS:
            raise Unreadable(f"{self.text[:100]!r}: an expression begins with $, #, @ or !, not with {root!r}.")
        self.at += 1
        return root

    def _step(self, depth: int) -> str | Expression | tuple[tuple[Walk, ...], bool]:
        if name := _NAME.match(self.text, self.at):
            if name[1] in _ROOTS:
                raise Unreadable(f"{self.text[:100]!r}: a computed key stands in parentheses, .({name[1]}...).")
            self.at = name.end()
            return name[1]
        if _COMPUTED.match(self.text, self.at):
            return self._computed(depth)
        piece = _JSONPATH.match(self.text, self.at)
        if not piece:
            raise self.unexpected()
        self.at = piece.end()
        return read_path(piece[0])

    def _computed(self, depth: int) -> Expression:
        self.at += 2
        inner = self.expression(depth + 1)
        if self.at == len(self.text):
            raise self.unexpected()
        self.at += 1
        return inner


def _expression(text: str, root: str, steps: list[Any]) -> Expression:
    inner = [step for step in steps if isinstance(step, Expression)]
    roots = frozenset({root}).union(*(step.roots for step in inner))
    if all(isinstance(step, str) for step in steps):
        return Expression(text, _down(_ROOTS[root], steps), True, roots)
    definite = all(step[1] for step in steps if isinstance(step, tuple))
    walks = [walk for step in steps for walk in _walks(step)]
    return Expression(text, _along(_ROOTS[root], walks, definite), definite, roots)


def _down(root: Evaluate, names: list[str]) -> Evaluate:
    """The usual case, without lists of matches: keys and places only."""
    if not names:
        return _itself(root)
    steps = [(name, position(name)) for name in names]

    def evaluate(scope: Scope) -> Any:
        value = root(scope)
        for name, at in steps:
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and at is not None and at < len(value):
                value = value[at]
            else:
                return None
        return value

    return evaluate


def _itself(root: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        value = root(scope)
        # Persistence goes on to change, and might come to hold itself; what it holds never changes.
        return dict(value) if value is scope.persistence else value

    return evaluate


def _along(root: Evaluate, walks: list[Walk], definite: bool) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        values = [root(scope)]
        for walk in walks:
            values = walk(values, scope)
        if definite:
            return values[0] if values else None
        return values

    return evaluate


def _walks(step: str | Expression | tuple[tuple[Walk, ...], bool]) -> tuple[Walk, ...]:
    if isinstance(step, tuple):
        return step[0]
    if isinstance(step, Expression):
        return (_members(_key_of(step)),)
    return (_members(lambda scope: step),)


def _key_of(computed: Expression) -> Callable[[Scope], str | None]:
    def key(scope: Scope) -> str | None:
        value = computed.evaluate(scope)
        return None if value is None or isinstance(value, dict | list) else as_text(value)

    return key


def _members(key_in: Callable[[Scope], str | None]) -> Walk:
    def walk(values: Matches, scope: Scope) -> Matches:
        key = key_in(scope)
        scope.visit(len(values))
        return [] if key is None else [found for value in values for found in member(value, key)]

    return walk
