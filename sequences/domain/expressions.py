"""Expressions, the text between `{{` and `}}`: a root and a path, parsed once into a function.

Roots are `$`, `#`, `@`, `!`, `^` and `run`. `.key` and `.0` go down one level, `.(expression)` is a computed key and
`.name_(expression)` one that is computed in part, anything more is JSONPath. A definite path gives a value or null, any
other always a list. A quoted text, `'{{'`, is that text; `secret.NAME`, `now()` and `uuid()` stand for themselves.
Behind each of these may stand functions: `#.name | default("nobody") | upper`. Their arguments are expressions, too, or
numbers, true, false and null.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sequences.domain.functions import TextFunction, function
from sequences.domain.json_values import as_text
from sequences.domain.paths import Matches, Path, PathStep, list_index, member, read_path
from sequences.domain.scope import Scope
from sequences.domain.validation_errors import InvalidSyntax

LENGTH_MAX = 1000
NESTING_MAX = 10  # computed keys within computed keys

Evaluate = Callable[[Scope], Any]

_ROOTS: dict[str, Evaluate] = {
    "$": lambda scope: scope.current,
    "#": lambda scope: scope.persistence,
    "@": lambda scope: scope.item,
    "!": lambda scope: scope.index,
    "^": lambda scope: scope.answer,
    "run": lambda scope: scope.context.run,
}
_ROOT = re.compile(r"[$#@!^]|run(?![A-Za-z0-9_])")
_CALLS: dict[str, Evaluate] = {
    "now()": lambda scope: scope.context.now(),
    "uuid()": lambda scope: scope.context.new_id(),
}
_BEGINNINGS = "$, #, @, !, ^, run, secret.NAME, now() or uuid()"
_SECRET = re.compile(r"secret\.([A-Za-z_][A-Za-z0-9_]{0,99})")
_FUNCTION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(?:\((.*)\))?", re.DOTALL)
_CONSTANT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?|true|false|null")
_SEPARATORS = re.compile(r"""'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+"|[()\[\]|,]""", re.DOTALL)
_WORD = r"""[^\s.()\[\]{}*?,|&~'"`]"""
_NAME = re.compile(rf"\.({_WORD}+)(?![^.)])")
_COMPUTED = re.compile(rf"\.{_WORD}*\(")
_WORDS = re.compile(rf"{_WORD}+")
# No possessive repeat around the lookahead: with it, it finds nothing in Python 3.11.2, which Debian 12 has.
_JSONPATH = re.compile(rf"""(?:[^()'".]++|'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+"|\.(?!{_WORD}*\())+""", re.DOTALL)
_LITERAL = re.compile(r"""'((?:[^'\\]++|\\.)*+)'|"((?:[^"\\]++|\\.)*+)\"""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expression:
    """`evaluate` gives the value in a scope: never a copy, except of persistence itself, as that changes.

    It raises `StepFailure` when it would look at too many values. `roots` are those that the value depends on. `many`:
    it is a path that may match several values, and gives their list.
    """

    evaluate: Evaluate
    roots: frozenset[str]
    many: bool = False


@lru_cache(maxsize=4096)
def read_expression(text: str) -> Expression:
    """Raises `InvalidSyntax`, which names the character that cannot be where it is."""
    if len(text) > LENGTH_MAX:
        raise InvalidSyntax(f"An expression has at most {LENGTH_MAX} characters.")
    return _read_piped(text, 0)


def _read_piped(text: str, depth: int) -> Expression:
    """A value, and the functions behind it."""
    if depth > NESTING_MAX:
        raise InvalidSyntax(f"Functions stand in each other more than {NESTING_MAX} deep.")
    first, *calls = _split(text, "|")
    expression = _read_value(first.strip(), constants=depth > 0)
    for call in calls:
        parts = _FUNCTION.fullmatch(call.strip())
        if not parts:
            raise InvalidSyntax(f"{call.strip()[:100]!r} is no function, such as default(1).")
        arguments = [_read_piped(part, depth + 1) for part in _split(parts[2], ",")] if (parts[2] or "").strip() else []
        expression = _applied(function(parts[1], len(arguments)), expression, arguments)
    return expression


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators, but for those in quotes or brackets."""
    parts, depth, start = [], 0, 0
    for token in _SEPARATORS.finditer(text):
        if token[0] in "([":
            depth += 1
        elif token[0] in ")]":
            depth -= 1
        elif token[0] == separator and depth == 0:
            parts.append(text[start : token.start()])
            start = token.end()
    return [*parts, text[start:]]


def _read_value(bare: str, *, constants: bool) -> Expression:
    if literal := _LITERAL.fullmatch(bare):
        value = re.sub(r"\\(.)", r"\1", literal[1] or literal[2] or "", flags=re.DOTALL)
        return _constant(value)
    if constants and _CONSTANT.fullmatch(bare):
        return _constant(json.loads(bare))
    if bare in _CALLS:
        return Expression(_CALLS[bare], frozenset({bare}))
    if secret := _SECRET.fullmatch(bare):
        name = secret[1]
        return Expression(lambda scope: scope.context.secret(name), frozenset({"secret"}))
    if bare == "secret" or bare.startswith("secret."):
        raise InvalidSyntax(f"{bare[:100]!r}: a secret is secret.NAME, a name of letters, digits and _.")
    reader = _ExpressionParser(bare)
    expression = reader.expression()
    if reader.at < len(bare):
        raise reader.unexpected()
    return expression


def _constant(value: Any) -> Expression:
    return Expression(lambda scope: value, frozenset())


_NOWHERE = Scope(None, {})


def _applied(function_: TextFunction, value: Expression, arguments: list[Expression]) -> Expression:
    roots = value.roots.union(*(argument.roots for argument in arguments))
    compute, evaluate, parts = function_.compute, value.evaluate, [argument.evaluate for argument in arguments]
    if not any(argument.roots for argument in arguments):
        function_.check(*(part(_NOWHERE) for part in parts))

    def apply(scope: Scope) -> Any:
        return compute(scope, evaluate(scope), *[part(scope) for part in parts])

    def apply_and_hide(scope: Scope) -> Any:
        given = evaluate(scope)
        made = compute(scope, given, *[part(scope) for part in parts])
        if scope.context.holds_secret(given):
            scope.context.hide_all(made)
        return made

    return Expression(apply_and_hide if function_.rewrites else apply, roots)


class _ExpressionParser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def expression(self, depth: int = 0) -> Expression:
        if depth > NESTING_MAX:
            raise InvalidSyntax(f"Computed keys stand in each other more than {NESTING_MAX} deep.")
        root = self._root()
        parts: list[str | Expression | Path] = []
        while self.at < len(self.text) and self.text[self.at] != ")":
            parts.append(self._part(depth))
        return _expression(root, parts)

    def unexpected(self) -> InvalidSyntax:
        character = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
        return InvalidSyntax(f"{self.text[:100]!r}: {character} cannot stand at character {self.at + 1}.")

    def _root(self) -> str:
        if not self.text:
            raise InvalidSyntax("There is nothing in the expression.")
        root = _ROOT.match(self.text, self.at)
        if not root:
            character = self.text[self.at : self.at + 1]
            raise InvalidSyntax(
                f"{self.text[:100]!r}: an expression begins with {_BEGINNINGS}, not with {character!r}."
            )
        self.at = root.end()
        return root[0]

    def _part(self, depth: int) -> str | Expression | Path:
        """A key, a computed key, or a JSONPath."""
        if name := _NAME.match(self.text, self.at):
            if name[1] in _ROOTS:
                raise InvalidSyntax(f"{self.text[:100]!r}: a computed key stands in parentheses, .({name[1]}...).")
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
        """A key of words and expressions in parentheses, such as `.object_get_(!)`."""
        self.at += 1
        pieces: list[str | Expression] = []
        while True:
            if words := _WORDS.match(self.text, self.at):
                pieces.append(words[0])
                self.at = words.end()
            elif self.text[self.at : self.at + 1] == "(":
                pieces.append(self._parenthesised(depth))
            else:
                return _computed_key(pieces)

    def _parenthesised(self, depth: int) -> Expression:
        self.at += 1
        inner = self.expression(depth + 1)
        if self.at == len(self.text):
            raise self.unexpected()
        self.at += 1
        return inner


def _expression(root: str, parts: list[str | Expression | Path]) -> Expression:
    roots = frozenset({root}).union(*(part.roots for part in parts if isinstance(part, Expression)))
    keys = [part for part in parts if isinstance(part, str)]
    if not parts:
        return Expression(_root_value(_ROOTS[root]), roots)
    if len(keys) == len(parts):
        return Expression(_follow_keys(_ROOTS[root], keys), roots)
    definite = all(part.definite for part in parts if isinstance(part, Path))
    steps = [step for part in parts for step in _steps_of(part)]
    return Expression(_follow_steps(_ROOTS[root], steps, definite), roots, many=not definite)


def _root_value(root: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        value = root(scope)
        # Persistence goes on to change, and might come to hold itself; what it holds never changes.
        if value is not scope.persistence:
            return value
        scope.visit(len(value))
        return dict(value)

    return evaluate


def _follow_keys(root: Evaluate, keys: list[str]) -> Evaluate:
    """The usual case, without lists of matches: keys of objects and indices of lists only."""
    keys_and_indices = [(key, list_index(key)) for key in keys]

    def evaluate(scope: Scope) -> Any:
        value = root(scope)
        for key, index in keys_and_indices:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and index is not None and index < len(value):
                value = value[index]
            else:
                return None
        return value

    return evaluate


def _follow_steps(root: Evaluate, steps: list[PathStep], definite: bool) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        matches = [root(scope)]
        for step in steps:
            matches = step(matches, scope)
        if definite:
            return matches[0] if matches else None
        return matches

    return evaluate


def _steps_of(part: str | Expression | Path) -> tuple[PathStep, ...]:
    if isinstance(part, Path):
        return part.steps
    if isinstance(part, Expression):
        return (_member_step(part.evaluate),)
    return (_member_step(lambda scope: part),)


def _computed_key(pieces: list[str | Expression]) -> Expression:
    """A key as text, or null where one of its expressions gives null, an object or a list."""
    roots = frozenset[str]().union(*(piece.roots for piece in pieces if isinstance(piece, Expression)))

    def evaluate(scope: Scope) -> str | None:
        values = [piece if isinstance(piece, str) else piece.evaluate(scope) for piece in pieces]
        if any(value is None or isinstance(value, dict | list) for value in values):
            return None
        return "".join(map(as_text, values))

    return Expression(evaluate, roots)


def _member_step(key_in: Callable[[Scope], str | None]) -> PathStep:
    def step(matches: Matches, scope: Scope) -> Matches:
        key = key_in(scope)
        scope.visit(len(matches))
        return [] if key is None else [inner for value in matches for inner in member(value, key)]

    return step
