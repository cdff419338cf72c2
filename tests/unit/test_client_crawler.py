"""Crawlers written with the client, whose hub is a transport without a network."""

import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from taskhub_client import crawl_tasks, exchange
from taskhub_client.connection import Connection
from taskhub_client.crawler import CrawlTask, TaskEnded, crawler

SENT = {"fid": "f", "endpoint": "http://hub.example/c/x"}
PROBLEM = {"content-type": "application/problem+json"}
Answer = Callable[[str, Any], int]
Calls = list[tuple[str, Any]]


@pytest.fixture
def crawl(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """Lets a crawler do one task, and gives what it sent: the last part of each address, and the value.

    `answer` gives the status of each answer; 0 for none.
    """
    monkeypatch.setattr(exchange, "PAUSE_MAX", 0.0)
    monkeypatch.setattr(crawl_tasks, "REPORT_SECONDS", 0.0)

    def run(function: Any, answer: Answer = lambda name, value: 200, **sent: Any) -> Calls:
        calls: Calls = []

        def handle(request: httpx.Request) -> httpx.Response:
            name, body = request.url.path.rpartition("/")[2], request.read()
            packed = request.headers.get("content-encoding") == "gzip"
            value = [json.loads(line) for line in gzip.decompress(body).splitlines()] if packed else json.loads(body)
            status = answer(name, value)
            if not status:
                raise httpx.ReadError("lost")
            calls.append((name, value))
            return httpx.Response(status, headers=PROBLEM if status >= 400 else {}, json={"detail": "No."})

        transport = httpx.MockTransport(handle)
        monkeypatch.setattr(crawl_tasks, "Connection", lambda found: Connection(found, transport=transport))
        crawler(function).start(SENT | sent)
        for thread in threading.enumerate():
            if thread.name == "crawl f":
                thread.join(60)
        return calls

    return run


def last_code(calls: Calls) -> int:
    name, value = calls[-1]
    assert name == "status"
    return int(value["code"])


@pytest.mark.parametrize(
    ("state", "shown"), [(None, {}), ({"page": 7}, {"page": 7}), ([1, 2], [1, 2]), ("text", "text"), (0, 0)]
)
def test_a_state_is_any_json_and_is_sent_where_it_changed(crawl: Any, state: Any, shown: Any) -> None:
    def shop(task: CrawlTask) -> Iterator[dict[str, int]]:
        assert task.state == shown
        yield {"n": 1}

    def changes(task: CrawlTask) -> Iterator[dict[str, int]]:
        yield from shop(task)
        task.state = [task.state, "next"]

    assert [name for name, _ in crawl(shop, state=state)] == ["upload", "status"]
    calls = crawl(changes, state=state)
    assert calls[:2] == [("upload", [{"n": 1}]), ("state", [shown, "next"])]
    assert last_code(calls) == 200


def test_a_state_may_be_emptied(crawl: Any) -> None:
    def shop(task: CrawlTask) -> None:
        task.state = None

    assert crawl(shop, state={"page": 7})[0] == ("state", None)


def test_where_it_fails_what_it_yielded_is_kept_and_the_state_is_as_before(crawl: Any) -> None:
    def shop(task: CrawlTask) -> Iterator[dict[str, int]]:
        yield {"n": 1}
        task.state["page"] = 2
        raise ValueError("closed")

    calls = crawl(shop)
    assert [name for name, _ in calls] == ["upload", "status"]
    assert calls[-1][1] == {"code": 500, "message": "ValueError: closed"}


async def returns(task: CrawlTask) -> list[dict[str, int]]:
    return [{"n": 1}]


async def yields(task: CrawlTask) -> AsyncIterator[dict[str, int]]:
    yield {"n": 1}


@pytest.mark.parametrize("function", [lambda task: [{"n": 1}], returns, yields])
def test_a_function_of_any_kind_gives_documents(crawl: Any, function: Any) -> None:
    calls = crawl(function)
    assert calls[0] == ("upload", [{"n": 1}])
    assert last_code(calls) == 200


def test_a_document_that_is_none_is_a_fault_and_not_the_end(crawl: Any) -> None:
    def shop(task: CrawlTask) -> Iterator[Any]:
        yield None
        yield {"n": 1}

    assert ("upload", [None, {"n": 1}]) in crawl(shop)  # which the hub refuses


def test_a_program_that_ends_itself_has_failed(crawl: Any) -> None:
    def shop(task: CrawlTask) -> None:
        raise SystemExit("no shop")

    assert crawl(shop)[-1] == ("status", {"code": 500, "message": "SystemExit: no shop"})


def test_progress_is_whole_numbers_and_may_be_lost(crawl: Any) -> None:
    def shop(task: CrawlTask) -> Iterator[dict[str, int]]:
        task.progress(0.5, 10.0)
        task.log("page 1")
        yield {"n": 1}

    progress = ("status", {"code": 102, "progress": {"done": 0, "total": 10}})
    assert crawl(shop)[0] == progress
    calls = crawl(shop, lambda name, value: 0 if name == "status" and value["code"] == 102 else 200)
    assert [name for name, _ in calls] == ["upload", "status"]
    assert calls[-1][1] == {"code": 200, "message": "done", "log": ["page 1"]}  # a line is told later


def test_a_last_status_that_is_refused_is_told_without_what_may_be_wrong(crawl: Any) -> None:
    def shop(task: CrawlTask) -> None:
        task.stats["pages"] = "many"  # type: ignore[assignment]

    calls = crawl(shop, lambda name, value: 400 if "stats" in value else 200)
    assert calls[-1][1]["code"] == 500
    assert "refused" in calls[-1][1]["message"]


@pytest.mark.parametrize("status", [404, 409])
def test_a_task_that_was_deleted_is_left_at_its_next_word(crawl: Any, status: int) -> None:
    """A function that yields nothing is left as well."""
    left = threading.Event()

    def shop(task: CrawlTask) -> None:
        with pytest.raises(TaskEnded):
            task.progress(1)
        with pytest.raises(TaskEnded):
            task.log("still here")
        assert task.stopped
        left.set()
        task.progress(2)

    assert crawl(shop, lambda name, value: status) == [("status", {"code": 102, "progress": {"done": 1}})]
    assert left.is_set()


def test_documents_outlast_more_tries_than_other_calls(crawl: Any) -> None:
    tries: list[str] = []

    def answer(name: str, value: Any) -> int:
        tries.append(name)
        return 0 if len(tries) < 2 * exchange.TRIES else 200

    calls = crawl(lambda task: [{"n": 1}], answer)
    assert last_code(calls) == 200
    assert tries.count("upload") == 2 * exchange.TRIES


def test_a_server_names_its_endpoint_also_of_ipv6() -> None:
    shop = crawler(name="shop")(lambda task: None)
    with shop.make_server("::1", 0) as server:
        assert server.endpoint == f"http://[::1]:{server.server_address[1]}/shop"
