"""What a crawler keeps and says besides documents: its state, its log lines, the webhook of its tasks."""

import json
from typing import Any

import pytest

from crawlers.models import CrawlerState, CrawlerTask
from crawlers.services import crawler_calls
from crawlers.services.capabilities import capability_of
from taskhub.runs.models import LogLine, Run
from taskhub.runs.queue.worker_process import run_now
from tests import crawler_client
from tests.conftest import Person
from tests.integration.test_crawlers_tasks import Crawl, Shop, crawl, shop  # noqa: F401  # fixtures
from tests.problems import problem

pytestmark = pytest.mark.django_db(transaction=True)
HOOK = "http://127.0.0.1:9/hook"


def path_of(crawl: Crawl, call: str) -> str:  # noqa: F811
    return f"/c/{capability_of(crawl.task)}/actions/tasks/{crawl.task.fid}/{call}"


def put(caller: Person, path: str, value: Any, **options: Any) -> Any:
    return caller.call("PUT", path, value, **options)


def test_a_state_is_kept_from_task_to_task(crawl: Crawl, shop: Shop, anonymous: Person) -> None:  # noqa: F811
    mine, own = f"/crawlers/{crawl.crawler['fid']}/state", path_of(crawl, "state")
    first = crawl.owner.get(mine)
    assert (first.json()["payload"], first["ETag"]) == (None, '"0"')
    state = {"page": 7, "a": [1.5, None], "Z": {}}
    assert put(anonymous, own, state)["ETag"] == '"1"'
    shown = anonymous.get(own)
    assert (shown.json(), shown["ETag"]) == ({"success": True, "payload": state, "version": 1}, '"1"')
    assert list(shown.json()["payload"]) == list(state)
    assert crawl.owner.get(mine).json()["payload"] == state
    crawl.carry()
    assert shop.asked[0][1]["state"] == state
    crawl.report(200)
    problem(put(anonymous, own, {"page": 8}), 409)
    problem(anonymous.get(own), 409)
    assert crawl.owner.get(mine).json()["payload"] == state
    assert put(crawl.owner, mine, {"page": 9}).status_code == 200
    again = CrawlerTask.objects.get(fid=crawler_client.start(crawl.owner, crawl.crawler)["fid"])
    assert again.run is not None
    run_now(again.run, crawler_calls.perform_task)
    assert shop.asked[1][1]["state"] == {"page": 9}
    crawl.owner.delete(f"/crawlers/{crawl.crawler['fid']}")
    assert not CrawlerState.objects.exists()


def test_one_of_two_who_change_a_state_is_told(crawl: Crawl) -> None:  # noqa: F811
    path = f"/crawlers/{crawl.crawler['fid']}/state"

    def replace(value: Any, tag: str) -> Any:
        return put(crawl.owner, path, value, headers={"If-Match": tag})

    assert replace({"n": 1}, '"0"').status_code == 200
    problem(replace({"n": 2}, '"0"'), 412)
    assert replace([2], '"1"').status_code == 200
    assert crawl.owner.get(path).json()["payload"] == [2]


@pytest.mark.parametrize("state", [2**64, -(2**80), [2**63], 1.5, 1e300, "ü" * 9, False, [], {"a": {"b": None}}])
def test_a_state_is_any_json(crawl: Crawl, state: Any) -> None:  # noqa: F811
    path = f"/crawlers/{crawl.crawler['fid']}/state"
    assert put(crawl.owner, path, json.dumps(state), content_type=FORM).status_code == 200
    assert crawl.owner.get(path).json()["payload"] == state


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("body", ["", " ", "page=8", "{"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", FORM, "multipart/form-data", ""])
def test_a_state_is_not_emptied_by_what_is_no_json(crawl: Crawl, body: str, content_type: str) -> None:  # noqa: F811
    path = f"/crawlers/{crawl.crawler['fid']}/state"
    put(crawl.owner, path, {"page": 7})
    assert put(crawl.owner, path, body, content_type=content_type).status_code == 400
    assert crawl.owner.get(path).json()["payload"] == {"page": 7}


def test_states_that_are_none(crawl: Crawl, stranger: Person, colleague: Person) -> None:  # noqa: F811
    path = f"/crawlers/{crawl.crawler['fid']}/state"
    problem(put(crawl.owner, path, {"x": "y" * 1024 * 1024}), 413)
    assert put(crawl.owner, path, {"x": "y" * (1024 * 1024 - 8)}).status_code == 200
    assert put(crawl.owner, path, "{").status_code == 400
    problem(stranger.get(path), 404)
    put(crawl.owner, path, {"token": "abcdefghijkl"})
    assert colleague.get(path).json()["payload"] == {"token": "***"}


@pytest.mark.parametrize("by_crawler", [False, True])
def test_lines_of_a_crawler_show_in_the_log_of_the_run(
    crawl: Crawl,  # noqa: F811
    anonymous: Person,
    by_crawler: bool,
) -> None:
    crawl.carry()
    caller, path = (
        (anonymous, path_of(crawl, "log")) if by_crawler else (crawl.owner, f"/actions/tasks/{crawl.task.fid}/log")
    )
    answer = caller.post(f"{path}?level=warning", "page 7\r\n\npin canary-pin ü\n".encode(), content_type="text/plain")
    assert answer.json()["payload"] == {"fid": str(crawl.task.fid), "attempt": 1, "lines": 2}
    assert caller.post(path, '{"page": 8}', content_type="application/json").status_code == 200
    crawl.report(102, log=["from a status", "and\nmore"])
    crawl.report(200, log="the last one")
    lines = crawl.owner.get(f"/runs/{crawl.shown()['run']}/logs").json()["results"]
    told = [(line["level"], line["message"]) for line in lines if line["logger"] == "crawler"]
    assert told == [
        ("WARNING", "page 7"),
        ("WARNING", "pin *** ü"),
        ("INFO", '{"page": 8}'),
        *[("INFO", message) for message in ("from a status", "and", "more", "the last one")],
    ]
    problem(caller.post(path, "late", content_type="text/plain"), 409)


def test_a_line_is_a_sign_of_life(crawl: Crawl) -> None:  # noqa: F811
    crawl.carry()
    before = CrawlerTask.objects.get().seen_at
    crawl.owner.post(f"/actions/tasks/{crawl.task.fid}/log", "page 7", content_type="text/plain")
    assert CrawlerTask.objects.get().seen_at > before


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [(b"", "", 400), (b" \n\n", "", 400), (b"a\n\xff", "", 400), (b"a", "?level=loud", 400), (b"a", "?at=1", 400)],
)
def test_what_is_no_log_is_refused(crawl: Crawl, body: bytes, query: str, status: int) -> None:  # noqa: F811
    path = f"/actions/tasks/{crawl.task.fid}/log{query}"
    assert crawl.owner.post(path, body, content_type="text/plain").status_code == status
    problem(crawl.report(102, log=[1]), 400, "/log/0")
    problem(crawl.report(102, log=["a"] * 1001), 400, "/log")
    assert not LogLine.objects.exists()


def test_a_full_log_says_so_once(crawl: Crawl, settings: Any) -> None:  # noqa: F811
    settings.RUN_LOG_LINES_MAX = 3
    path = f"/actions/tasks/{crawl.task.fid}/log"
    kept = [
        crawl.owner.post(path, body, content_type="text/plain").json()["payload"]["lines"]
        for body in ("a\nb", "c\nd\ne", "f")
    ]
    assert kept == [2, 1, 0]
    messages = list(LogLine.objects.order_by("id").values_list("message", flat=True))
    assert messages[:3] == ["a", "b", "c"]
    assert len(messages) == 4
    assert "full" in messages[3]


def test_a_webhook_is_told_of_the_end_of_each_task(owner: Person, shop: Shop, colleague: Person) -> None:  # noqa: F811
    external = crawler_client.external(owner, shop.endpoint)
    made = crawler_client.crawler(owner, external, webhook=HOOK)["crawler"]
    assert made["webhook"] == HOOK
    path = f"/crawlers/{made['fid']}"
    first = crawler_client.start(owner, made)
    assert Run.objects.get(pk=first["run"]).webhook == HOOK
    owner.post(f"/actions/tasks/{first['fid']}/status", {"code": 500})
    delivery = Run.objects.get(kind="webhook")
    assert (delivery.webhook, str(delivery.parent_id)) == (HOOK, first["run"])
    owner.post(f"/actions/crawlers/{made['fid']}/task/{first['fid']}")
    assert Run.objects.get(pk=crawler_client.task(owner, first["fid"])["run"]).webhook == HOOK
    owner.post(f"/actions/tasks/{first['fid']}/status", {"code": 200})
    assert Run.objects.filter(kind="webhook").count() == 2
    assert owner.patch(path, {"meta": {"x": 1}}).json()["payload"]["webhook"] == HOOK
    assert owner.patch(path, {"webhook": None}).json()["payload"]["webhook"] == ""
    second = crawler_client.start(owner, made)
    assert Run.objects.get(pk=second["run"]).webhook == ""
    secret = f"{HOOK}?token=abcdefghijkl"
    assert put(owner, path, {"params": {"query": "x"}, "webhook": secret}).json()["payload"]["webhook"] == secret
    assert "abcdefghijkl" not in colleague.get(path).content.decode()
    assert put(owner, path, {"params": {"query": "x"}}).json()["payload"]["webhook"] == ""
    for wrong in ("http://10.0.0.1/", "ftp://x", "nonsense", 5):
        problem(owner.patch(path, {"webhook": wrong}), 400, "/webhook")
