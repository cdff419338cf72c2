"""Texts of an import in which some characters stand for expressions, until they are written as templates.

So what a variable stands for is kept apart from the text around it while that is read as JSON, as an address or as a
form; and braces that the source means as braces never become expressions.
"""

import json
import re
from typing import Any

from taskhub.errors import NotAcceptable, Rejected
from taskhub.jsontools.strict_json import parse_json

# Of the private use area, where no text means anything to others.
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_STRING_OR_PLACEHOLDER = re.compile(rf'"(?:[^"\\]|\\.)*+"?|{_OPEN}[0-9]+{_CLOSE}', re.DOTALL)
_BRACES = "{{"
_ESCAPED_BRACES = "{{'{{'}}"


class Placeholders:
    """The expressions of one import, each of which a placeholder stands for in its texts."""

    def __init__(self) -> None:
        self._expressions: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, expression: str) -> str:
        """The placeholder of an expression, written without braces: `#.name`."""
        if expression not in self._numbers:
            self._numbers[expression] = len(self._expressions)
            self._expressions.append(expression)
        return f"{_OPEN}{self._numbers[expression]}{_CLOSE}"

    def template(self, text: str) -> str:
        """The text as a template."""
        pieces = _PLACEHOLDER.split(text)
        written = ""
        for number, piece in enumerate(pieces):
            if number % 2:
                written += f"{{{{{self._expressions[int(piece)]}}}}}"
                continue
            literal = piece.replace(_BRACES, _ESCAPED_BRACES)
            if literal.endswith("{") and number + 1 < len(pieces):
                literal = literal[:-1] + "{{'{'}}"
            written += literal
        return written

    def json_template(self, value: Any) -> Any:
        """A JSON value with its texts, also its keys, as templates."""
        if isinstance(value, str):
            return self.template(value)
        if isinstance(value, dict):
            return {self.template(key): self.json_template(inner) for key, inner in value.items()}
        return [self.json_template(inner) for inner in value] if isinstance(value, list) else value

    def plain(self, text: str) -> str:
        """The text as people write it, for what is no template."""
        return _PLACEHOLDER.sub(lambda match: f"{{{{{self._expressions[int(match[1])]}}}}}", text)


def without_placeholders(text: str) -> str:
    """A text of the source, without the characters that mean something here."""
    return text.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")


def has_placeholder(text: str) -> bool:
    return _OPEN in text


def read_json(text: str) -> Any:
    """A text as JSON, in which a placeholder may stand in place of a value. Raises `ValueError` for one that is none,
    could not be stored, or would be another text if it were written again: with a key twice, or NaN."""
    quoted = _STRING_OR_PLACEHOLDER.sub(lambda match: match[0] if match[0][0] == '"' else json.dumps(match[0]), text)
    try:
        return parse_json(quoted)
    except (Rejected, NotAcceptable) as problem:
        raise ValueError(problem.detail) from None
