"""The bundled example crawler as a process, and what a crawler's owner does with it over HTTP."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.example_servers import example_server
from tests.hub import Caller

SCHEMA = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "price": {"type": "number"}, "name": {"type": "string"}},
    "required": ["sku"],
}
PARAMETERS = [
    {"name": "query", "type": "string", "required": True, "max": 100},
    {"name": "count", "type": "integer", "default": 3, "min": 0},
    {"name": "pause", "type": "integer", "min": 0},
    {"name": "secret", "type": "password"},
]


def example_crawler() -> AbstractContextManager[str]:
    """Its endpoint."""
    return example_server("crawlers.examples.crawler")


def external(caller: Any, endpoint: str, **values: Any) -> dict[str, Any]:
    sent = {"meta": {"name": "shop"}, "endpoint": endpoint, "parameters": PARAMETERS, "schema": SCHEMA}
    answer = caller.post("/externals", sent | {"docIdField": "sku"} | values)
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["payload"])


def crawler(caller: Any, of: dict[str, Any], params: Any = None, **values: Any) -> dict[str, Any]:
    """`{crawler, stream, external}`."""
    sent = {"meta": {"name": "shoes"}, "params": {"query": "shoe"} if params is None else params} | values
    answer = caller.post(f"/actions/externals/{of['fid']}/crawler", sent)
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["payload"])


def start(caller: Any, of: dict[str, Any], **params: Any) -> dict[str, Any]:
    """A task of a crawler."""
    answer = caller.post(f"/actions/crawlers/{of['fid']}/task", {"params": params})
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["payload"])


def task(caller: Any, fid: str) -> dict[str, Any]:
    return dict(caller.get(f"/tasks/{fid}").json()["payload"])


def ended(caller: Caller, of: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    """The task when its run has ended, which is followed as events."""
    with caller.get(f"/runs/{task(caller, of['fid'])['run']}/events", stream=True, timeout=seconds) as events:
        for _ in events.iter_lines():
            pass
    return task(caller, of["fid"])


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """What `true` gives when it is something."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "It did not come true."
        time.sleep(0.05)
    return found


def lines(documents: list[Any]) -> bytes:
    return "\n".join(json.dumps(document) for document in documents).encode()


def documents(caller: Any, stream: dict[str, Any], **query: Any) -> list[Any]:
    """All pages."""
    found: list[Any] = []
    address: str | None = f"/streams/{stream['fid']}/docs"
    while address:
        page = caller.get(address, query or None).json()["payload"]
        found += page["results"]
        address, query = page["next"] and page["next"][page["next"].index("/streams") :], {}
    return found
