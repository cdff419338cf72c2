"""docs/sequences.md on a running hub: its examples over HTTP, against the server that it describes."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.hub import Hub
from tests.integration.outbound_servers import Server, answer, serving
from tests.unit.test_sequences_docs import EXAMPLES, MISSING, USERS

pytestmark = pytest.mark.slow


def shop(server: Server, connection: socket.socket) -> None:
    method, path, _ = server.heads[-1].split(maxsplit=2)
    match method, path:
        case "GET", "/users":
            body, status = json.dumps(USERS).encode(), "200 OK"
        case "POST", "/echo":
            body, status = server.bodies[-1], "200 OK"
        case _:
            body, status = json.dumps(MISSING).encode(), "404 Not Found"
    connection.sendall(answer(body, "Content-Type: application/json", status=status))


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as start:
        yield start(shop).url


@pytest.mark.parametrize(("text", "outcome", "expected"), EXAMPLES)
def test_an_example_gives_what_stands_under_it(hub: Hub, url: str, text: str, outcome: str, expected: str) -> None:
    body = text.replace("http://shop", url).replace('"shop"', f'"{url.removeprefix("http://")}"').encode()
    expected = expected.replace("http://shop", url)
    assert hub.admin.call("POST", "/sequences/validate", data=body).json() == {"valid": True}
    shown = hub.admin.call("POST", "/sequences/runs?wait=60", data=body).json()
    if outcome == "result":
        assert (shown["state"], shown["result"]) == ("SUCCESS", json.loads(expected)), shown["error"]
    elif outcome == "shows":
        assert shown["result"].items() >= json.loads(expected).items()
    else:
        assert (shown["state"], shown["error"]["message"]) == ("FAILURE", expected.strip())
    assert [step["again"] for step in shown["steps"]] == [False] * len(shown["steps"])
