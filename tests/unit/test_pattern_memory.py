"""Long texts are looked through in little memory.

Python's patterns keep more than a hundred bytes for each repetition of a group, unless the repeat is possessive: a text
of two million characters took 230 MB, wherever it was looked at.
"""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
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
