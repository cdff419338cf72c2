"""Commands of a shell as lists of words: as POSIX shells read them, and as browsers copy them for Windows."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sequences.domain.validation_errors import InvalidSequence

_PLAIN = re.compile(r"[^ \t\r\n;&|<>\\'\"$`]+")
_PLAIN_IN_QUOTES = re.compile(r'[^\\"$`]+')
_REDIRECTION = re.compile("[<>]+&?")
_ANSI_C = re.compile(r"(?:[^'\\]|\\.)*+'", re.DOTALL)
_LINE_END = re.compile(r"\r?\n")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\{([A-Za-z_][A-Za-z0-9_]*)[^}]*\}")
_FOR_WINDOWS = re.compile(r"\^[ \t]*\r?\n|\^\"")
_CARET = re.compile(r"\^(?:\r?\n[ \t]*(?=\^?[^\s])|(.))", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}


@dataclass
class _Words:
    """The words of the command that is being read. `part` are the pieces of a word, or None between words.

    What follows `>` is no word.
    """

    commands: list[list[str]] = field(default_factory=lambda: [[]])
    part: list[str] | None = None
    redirects: bool = False

    def add(self, text: str) -> None:
        self.part = self.part or []
        self.part.append(text)

    def end_word(self) -> None:
        if self.part is not None and not self.redirects:
            self.commands[-1].append("".join(self.part))
        if self.part is not None:
            self.part, self.redirects = None, False

    def end_command(self) -> None:
        self.end_word()
        self.redirects = False
        if self.commands[-1]:
            self.commands.append([])


def split_commands(text: str, variable: Callable[[str], str]) -> list[list[str]]:
    """The commands of a text. `variable(name)` gives what is to stand for a variable, or for what a command prints.

    Raises `InvalidSequence` for a quote that is not closed.
    """
    words = _Words()
    if _FOR_WINDOWS.search(text):
        text = _CARET.sub(lambda match: match[1] or "", text)
    position = 0
    while position < len(text):
        position = _read(text, position, words, variable)
    words.end_command()
    return [command for command in words.commands if command]


def _read(text: str, at: int, words: _Words, variable: Callable[[str], str]) -> int:
    """Reads from a position outside of quotes, and gives the next."""
    char = text[at]
    if char in " \t\r":
        words.end_word()
    elif char == "\n" or char in ";&|":
        words.end_command()
    elif char in "<>":
        if words.part is not None and "".join(words.part).isdigit():
            words.part = None  # the number of what is redirected
        words.end_word()
        words.redirects = True
        return _end_of(_REDIRECTION, text, at)
    elif char == "#" and words.part is None:
        end = text.find("\n", at)
        return len(text) if end < 0 else end
    elif char == "\\":
        if follows := _LINE_END.match(text, at + 1):
            return follows.end()
        words.add(text[at + 1 : at + 2])
        return at + 2
    elif char == "'":
        end = _closing(text, at, "'")
        words.add(text[at + 1 : end])
        return end + 1
    elif text.startswith("$'", at):
        ended = _ANSI_C.match(text, at + 2)
        if not ended:
            raise _unclosed(text, at)
        words.add(_ESCAPE.sub(_unescaped, ended[0][:-1]))
        return ended.end()
    elif char == '"':
        return _read_quoted(text, at, words, variable)
    elif char in "$`":
        return _read_variable(text, at, words, variable)
    else:
        end = _end_of(_PLAIN, text, at)
        words.add(text[at:end])
        return end
    return at + 1


def _read_quoted(text: str, at: int, words: _Words, variable: Callable[[str], str]) -> int:
    words.add("")
    position = at + 1
    while position < len(text):
        char = text[position]
        if char == '"':
            return position + 1
        if char == "\\" and text[position + 1 : position + 2] in ("$", "`", '"', "\\", "\n"):
            words.add(text[position + 1].replace("\n", ""))
            position += 2
        elif char in "$`":
            position = _read_variable(text, position, words, variable)
        else:
            end = max(position + 1, _end_of(_PLAIN_IN_QUOTES, text, position))
            words.add(text[position:end])
            position = end
    raise _unclosed(text, at)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where what matches at a position ends; there where nothing does."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _read_variable(text: str, at: int, words: _Words, variable: Callable[[str], str]) -> int:
    if named := _NAME.match(text, at + 1) if text[at] == "$" else None:
        words.add(variable(named[1] or named[0]))
        return named.end()
    if text.startswith("$(", at):
        end = _closing_bracket(text, at + 1)
    elif text[at] == "`":
        end = _closing(text, at, "`")
    else:
        words.add("$")
        return at + 1
    words.add(variable("output"))
    return end + 1


def _closing_bracket(text: str, at: int) -> int:
    depth = 0
    for position in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise _unclosed(text, at)


def _closing(text: str, at: int, quote: str) -> int:
    end = text.find(quote, at + 1)
    if end < 0:
        raise _unclosed(text, at)
    return end


def _unclosed(text: str, at: int) -> InvalidSequence:
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    detail = f"Line {line}, column {column}: what begins here with {text[at]} is not closed."
    return InvalidSequence([{"path": "source", "detail": detail}])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code:
        number = int(code, 16)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    return chr(int(match[4], 8) & 0xFF) if match[4] else _ESCAPED.get(match[5], match[5])
