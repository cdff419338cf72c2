"""The examples of docs/sequences.md and of its recipes on a running hub, against the server that they describe."""

import json
from collections.abc import Iterator

import pytest

from tests.hub import Hub
from tests.integration.sequence_servers import bundled_api
from tests.unit.test_sequences_docs import EXAMPLES, SECRETS, STORED, at

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(hub: Hub) -> Iterator[str]:
    """The server, when what the examples call and the secrets that they use are stored."""
    with bundled_api() as address:
        for name, value in SECRETS.items():
            assert hub.admin.call("PUT", f"/secrets/{name}", json={"value": value}).ok
        for name, text in STORED.items():
            assert hub.admin.call("PUT", f"/sequences/{name}", data=at(address, text).encode()).ok
        yield address


@pytest.mark.parametrize(("text", "outcome", "expected", "saved"), EXAMPLES)
def test_an_example_gives_what_stands_under_it(
    hub: Hub, url: str, text: str, outcome: str, expected: str, saved: str
) -> None:
    body, expected = at(url, text).encode(), at(url, expected)
    assert hub.admin.call("POST", "/sequences/validate", data=body).json() == {"valid": True}
    shown = hub.admin.call("POST", "/sequences/runs?wait=60", data=body).json()
    if outcome in ("result", "masked"):
        assert (shown["state"], shown["result"]) == ("SUCCESS", json.loads(expected)), shown["error"]
    elif outcome == "shows":
        assert shown["result"].items() >= json.loads(expected).items()
    else:
        assert (shown["state"], shown["error"]["message"]) == ("FAILURE", expected.strip())
        assert not saved or shown["result"].items() >= json.loads(saved).items()
    assert [step["again"] for step in shown["steps"]] == [False] * len(shown["steps"])
