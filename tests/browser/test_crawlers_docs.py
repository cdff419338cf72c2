"""docs/external-crawler.md on a running hub: its JavaScript examples, in a real browser."""

import json

import pytest

from tests.browser.conftest import Visit
from tests.hub import Hub
from tests.integration.test_crawlers_docs import examples

pytestmark = pytest.mark.slow
SAID = [
    *("1", "2 shop", '{"count": 3, "pause": 0, "query": "shoe"}', "new", "200 5", "2 2", "1 1", '2 {"price": 1}', "1"),
    *(
        '{"code": 200, "detail": "2 pages", "message": "task done"}',
        "2",
        '{"page": 8}',
        '["a2"]',
        "12",
        "9 0",
        "2",
        "5",
    ),
]


def test_the_javascript_examples_do_what_they_say(visit: Visit, hub: Hub, crawler: str) -> None:
    names = {"HUB": hub.url, "CRAWLER": crawler, "TOKEN": hub.sign_up().token}
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in names.items())
    visit.page.goto(f"{hub.url}/docs/")
    program = (
        "async () => { const told = []; const console = { log: (...words) => told.push(words) };\n"
        f"{given}{''.join(examples('javascript'))}\nreturn told; }}"
    )
    said = visit.page.evaluate(program)
    assert [" ".join(_shown(word) for word in words) for words in said] == SAID


def _shown(word: object) -> str:
    return word if isinstance(word, str) else json.dumps(word, sort_keys=True)
