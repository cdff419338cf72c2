"""docs/sequences.md on a running hub: its examples over HTTP, against the server that it describes."""

import json
from collections.abc import Iterator

import pytest

from tests.hub import Hub
from tests.integration.sequence_servers import bundled_api
from tests.unit.test_sequences_docs import EXAMPLES, at

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with bundled_api() as address:
        yield address


@pytest.mark.parametrize(("text", "outcome", "expected"), EXAMPLES)
def test_an_example_gives_what_stands_under_it(hub: Hub, url: str, text: str, outcome: str, expected: str) -> None:
    body, expected = at(url, text).encode(), at(url, expected)
    assert hub.admin.call("POST", "/sequences/validate", data=body).json() == {"valid": True}
    shown = hub.admin.call("POST", "/sequences/runs?wait=60", data=body).json()
    if outcome in ("result", "masked"):
        assert (shown["state"], shown["result"]) == ("SUCCESS", json.loads(expected)), shown["error"]
    elif outcome == "shows":
        assert shown["result"].items() >= json.loads(expected).items()
    else:
        assert (shown["state"], shown["error"]["message"]) == ("FAILURE", expected.strip())
    assert [step["again"] for step in shown["steps"]] == [False] * len(shown["steps"])
