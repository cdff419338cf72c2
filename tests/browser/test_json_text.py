"""What the editor of JSON knows of a text that is being written: where the cursor is, and what may stand there."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import ROOT

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["requests"],
    "properties": {
        "requests": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/step"}}, {"type": "null"}]},
        "persistence": {"type": "object", "additionalProperties": {"enum": [1, 2]}},
    },
    "$defs": {
        "step": {
            "type": "object",
            "properties": {
                "method": {"type": "string", "description": "How."},
                "retry": {
                    "anyOf": [{"properties": {"backoff": {"enum": ["constant", "exponential"]}}}, {"type": "null"}]
                },
            },
            "anyOf": [{"required": ["method"]}, {"required": ["retry"]}],
        }
    },
}


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "taskhub/console/static/console/json_text.js")
    yield page
    page.close()


@pytest.mark.parametrize(
    ("text", "path", "labels"),
    [
        ("|", [], []),
        ("{|", [], ["requests", "persistence"]),
        ('{"requests": [], |}', [], ["persistence"]),
        ('{"requests": [], "per|"}', [], ["persistence"]),
        ('{"requests|": []}', [], ["requests", "persistence"]),  # a key that is there is no beginning of another
        ('{"requests": [{|', ["requests", 0], ["method", "retry"]),
        ('{"requests": [{"method": "GET"}, {\n  // "retry"\n  |', ["requests", 1], ["method", "retry"]),
        ('{"requests": [{"method": "{}[]:,", |}]}', ["requests", 0], ["retry"]),
        (
            '{"requests": [{"retry": {"backoff": |}}]}',
            ["requests", 0, "retry", "backoff"],
            ['"constant"', '"exponential"'],
        ),
        (
            '{"requests": [{"retry": {"backoff": "co|',
            ["requests", 0, "retry", "backoff"],
            ['"constant"', '"exponential"'],
        ),
        ('{"persistence": {"any": |', ["persistence", "any"], ["1", "2"]),
        ('{"what": {|', ["what"], []),
        ('{"requests": [{"method": 1}]|', ["requests"], []),
        ("}]{|", [], ["requests", "persistence"]),
    ],
)
def test_what_may_stand_at_the_cursor(page: Page, text: str, path: list[Any], labels: list[str]) -> None:
    found = page.evaluate(
        """([text, cursor, schema]) => {
            const context = jsonText.contextAt(jsonText.tokensOf(text), cursor);
            return [context.path, jsonText.choicesAt(schema, context)];
        }""",
        [text.replace("|", ""), text.index("|"), SCHEMA],
    )
    assert (found[0], [choice["label"] for choice in found[1]]) == (path, labels)


def test_of_alternatives_nothing_is_required(page: Page) -> None:
    choose = "([schema, path]) => jsonText.choicesAt(schema, {path, keys: [], word: null}).map((one) => one.note)"
    assert page.evaluate(choose, [SCHEMA, []]) == ["array, required", "object"]
    assert page.evaluate(choose, [SCHEMA, ["requests", 0]]) == ["string", ""]


@pytest.mark.parametrize(
    "text", ['{"a<b>": "&{{$.x}}", "n": -1.5e3} // <i>', '"open', "/* open", "\\ ' ` \x01 <", '{"a": "\\"{"}', "/"]
)
def test_colours_change_nothing_of_a_text(page: Page, text: str) -> None:
    shown = """(text) => {
        const element = document.createElement("pre");
        element.innerHTML = jsonText.coloured(text, jsonText.tokensOf(text));
        return [element.textContent, element.querySelectorAll("i, b").length];
    }"""
    assert page.evaluate(shown, text) == [f"{text}\n", 0]
