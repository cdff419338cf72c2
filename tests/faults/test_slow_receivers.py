"""Crawlers and receivers of webhooks that keep the hub waiting: the error of the run says so, in its time."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import crawler_client
from tests.faults.disposable import Disposable, until
from tests.faults.slow_servers import slow_server
from tests.hub import Caller
from tests.integration.outbound_servers import answer, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("front")]

SILENT, LONG = "sent nothing for 2 seconds", "took longer than 4 seconds"  # as the hub is configured


def start_task(owner: Caller, url: str) -> str:
    crawler = crawler_client.crawler(owner, crawler_client.external(owner, url))["crawler"]
    return str(crawler_client.start(owner, crawler, query="shoe")["fid"])


def call_crawler(owner: Caller, url: str) -> dict[str, Any]:
    run = crawler_client.task(owner, start_task(owner, url))["run"]
    return failed_attempt(owner, run)


def send_notice(owner: Caller, url: str) -> dict[str, Any]:
    with serving() as serve:
        task = start_task(owner, serve(answer(json.dumps({"callback": f"{url}/task"}).encode())).url)
        run = crawler_client.task(owner, task)["run"]
        until(lambda: owner.get(f"/runs/{run}").json()["state"] == "PROGRESS")
        assert owner.delete(f"/actions/tasks/{task}").status_code == 200
        [notice] = until(lambda: owner.get("/runs", {"kind": "crawler_notice"}).json()["results"])
        return failed_attempt(owner, notice["id"])


def send_webhook(owner: Caller, url: str) -> dict[str, Any]:
    owner.post("/webhooks/test", {"url": url})
    [delivery] = until(lambda: owner.get("/webhooks/deliveries").json()["results"])
    return failed_attempt(owner, delivery["id"])


def failed_attempt(owner: Caller, run: str) -> dict[str, Any]:
    """The run whose first attempt has failed; it is not tried again."""
    shown: dict[str, Any] = until(lambda: (found := owner.get(f"/runs/{run}").json())["error"] and found)
    owner.post(f"/runs/{run}/cancel")
    return shown


CALLS: list[tuple[Callable[[Caller, str], dict[str, Any]], str, str]] = [
    (call_crawler, "silent", SILENT),
    (call_crawler, "dribble_head", LONG),
    (call_crawler, "dribble_body", LONG),
    (send_notice, "silent", SILENT),
    (send_webhook, "silent", SILENT),
]


@pytest.mark.parametrize(("call", "behaviour", "words"), CALLS)
def test_a_run_says_that_it_waited_in_vain(
    broken: Disposable, call: Callable[[Caller, str], dict[str, Any]], behaviour: str, words: str
) -> None:
    owner = broken.people.sign_up()
    with slow_server(behaviour) as server:
        assert words in call(owner, f"http://{server.authority}")["error"]["message"]
