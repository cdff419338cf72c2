"""Long texts are looked through in little memory.

Python's patterns keep more than a hundred bytes for each repetition of a group, unless the repeat is possessive: a text
of two million characters took 230 MB, wherever it was looked at.
"""

import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest

from extraction.domain.json_source import script_data
from extraction.domain.page_addresses import normal_address
from sequences.domain.paths import read_path
from sequences.domain.templates import TemplateReader
from sequences.domain.validation_errors import ValidationFaults
from taskhub.errors import Problem
from taskhub.jsontools.jsonc import has_comments, member_text, parse_jsonc
from taskhub.outbound.session import PLAIN_ADDRESS
from taskhub.security.masking import mask

# What a pattern is made of has no public name, and mypy knows these or not, by what else it reads.
_constants: Any = import_module("re._constants")
_parser: Any = import_module("re._parser")
LENGTH = 200_000
PLAIN, ESCAPED = "x" * LENGTH, "\\n" * (LENGTH // 2)
JSON = {"a long string": f'{{"a": "{PLAIN}",}}', "escapes": f'{{"a": "{ESCAPED}"}}', "no end": f'{{"a": "{PLAIN}'}
LOOKED_AT: dict[str, tuple[Callable[[str], Any], str]] = {
    **{f"JSON with {name}": (parse_jsonc, text) for name, text in JSON.items()},
    "comments": (has_comments, JSON["a long string"]),
    "a member": (lambda text: member_text(text, "b"), JSON["a long string"]),
    "a template": (lambda text: TemplateReader(ValidationFaults()).value(text, (None, "url")), f"{{{{{PLAIN}"),
    "a text in a template": (
        lambda text: TemplateReader(ValidationFaults()).value(text, (None, "url")),
        f"{{{{'{PLAIN}'}}}}",
    ),
    "a path": (read_path, f"['{PLAIN}']"),
    "an address": (normal_address, f"https://a.example/{PLAIN}"),
    "an address that is called": (PLAIN_ADDRESS.fullmatch, f"https://a.example{'/x' * (LENGTH // 2)}"),
    "a script": (script_data, f'JSON.parse("{ESCAPED}")'),
    "a text that is masked": (mask, f"password=['{PLAIN}']"),
}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_long_text_takes_little_memory(name: str) -> None:
    look, text = LOOKED_AT[name]
    tracemalloc.start()
    try:
        with suppress(Problem, ValueError):
            look(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60 * LENGTH


def parts_of(parsed: Any) -> Iterator[tuple[Any, Any]]:
    """The operations of a parsed pattern, also those within others."""
    for item in parsed if isinstance(parsed, tuple | list | _parser.SubPattern) else ():
        if isinstance(item, tuple) and item and isinstance(item[0], _constants._NamedIntConstant):
            yield item
            yield from parts_of(item[1:])
        else:
            yield from parts_of(item)


def is_read_alike(pattern: str | bytes, flags: int = 0) -> bool:
    """Whether all versions of Python find the same: to 3.11.4 a lookaround within a possessive repeat goes wrong."""
    kept = {_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP}
    looks = {_constants.ASSERT, _constants.ASSERT_NOT}
    return not any(
        name in looks
        for outer, inside in parts_of(_parser.parse(pattern, flags))
        if outer in kept
        for name, _ in parts_of(inside)
    )


def test_no_pattern_is_read_differently_by_older_versions_of_python() -> None:
    assert not is_read_alike("(?:(?!x).)*+")
    assert not is_read_alike("(?>a(b(?=c))?)")
    assert is_read_alike("(?:[^x]++|x(?!y))*")
    products = ("taskhub.", "walkers.", "sequences.", "crawlers.", "extraction.")
    patterns = [
        (name, label, value)
        for name, module in list(sys.modules.items())
        if name.startswith(products)
        for label, value in vars(module).items()
        if isinstance(value, re.Pattern)
    ]
    assert len(patterns) > 50
    assert [(name, label) for name, label, it in patterns if not is_read_alike(it.pattern, it.flags)] == []
