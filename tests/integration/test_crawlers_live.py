"""Crawlers on a running hub: the bundled example crawler is given tasks, and sends its documents."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import crawling
from tests.hub import Caller, Hub


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with crawling.example_crawler() as address:
        yield address


@pytest.fixture
def caller(hub: Hub) -> Caller:
    return hub.sign_up()


@pytest.fixture
def made(caller: Caller, endpoint: str) -> dict[str, Any]:
    return crawling.crawler(caller, crawling.external(caller, endpoint))


def test_a_task_runs_to_its_end(caller: Caller, made: dict[str, Any]) -> None:
    task = crawling.ended(caller, crawling.start(caller, made["crawler"], count=1200))
    assert task["status"] == {"code": 200, "message": "task done", "detail": ""}
    assert task["counts"]["received"] == task["counts"]["inserted"] == 1200
    assert [change["code"] for change in task["history"]] == [0, 102, 200]
    assert [call["status"] for call in task["calls"]] == [200]
    run = caller.get(f"/runs/{task['run']}").json()
    assert run["state"] == "SUCCESS"
    assert run["result"]["inserted"] == 1200
    documents = crawling.documents(caller, made["stream"])
    assert len(documents) == 1200
    assert sorted(one["sku"] for one in documents) == [one["sku"] for one in documents]
    stream = caller.get(f"/streams/{made['stream']['fid']}").json()["payload"]
    assert stream["documents"] == 1200
    assert stream["status"]["code"] == 200
    assert stream["task"]["fid"] == task["fid"]
