"""The change feed of a stream: whoever follows it has a copy of the stream, whatever happens in which order."""

import json
import random
import threading
from typing import Any

import pytest
from django.db import connection, transaction

from crawlers.domain import kind_names
from crawlers.models import CrawlerTask, Document, Stream, Tombstone
from crawlers.services import change_feed, task_runs, tombstones
from taskhub.errors import NotFound
from tests import crawler_client
from tests.conftest import Person
from tests.hub import Caller, Hub
from tests.integration.test_crawlers_uploads import NDJSON, Crawl, doc
from tests.problems import problem

pytestmark = pytest.mark.django_db(transaction=True)  # rows of an upload are staged until its commit


@pytest.fixture
def crawl(owner: Person) -> Crawl:
    return Crawl(owner)


class Copy:
    """A copy of a stream, which a reader keeps by its changes."""

    def __init__(self, caller: Any, stream: str) -> None:
        self.caller = caller
        self.next = f"/streams/{stream}/changes"
        self.documents: dict[str, Any] = {}

    def poll(self, limit: int = 0) -> list[tuple[str, Any]]:
        """Follows the feed to its present end; gives what was told, as operations with ids."""
        told: list[tuple[str, Any]] = []
        if limit and "limit" not in self.next:
            self.next += f"{'&' if '?' in self.next else '?'}limit={limit}"
        while True:
            page = self.caller.get(self.next).json()["payload"]
            self.next = page["next"][page["next"].index("/streams") :]
            for change in page["results"]:
                told.append((change["op"], change["id"]))
                key = json.dumps(change["id"])
                if change["op"] == "put":
                    self.documents[key] = change["document"]
                else:
                    assert set(change) == {"op", "id", "task"}
                    self.documents.pop(key, None)
            if not page["more"]:
                return told


@pytest.fixture
def copy(crawl: Crawl) -> Copy:
    return Copy(crawl.owner, crawl.stream["fid"])


def test_changes_come_in_the_order_of_commits(crawl: Crawl, copy: Copy) -> None:
    assert copy.poll() == []
    task = crawl.task()
    crawl.upload(task, doc("c"), doc("a"))
    crawl.upload(task, doc("b"))
    assert copy.poll() == [("put", "c"), ("put", "a"), ("put", "b")]
    assert copy.poll() == []
    crawl.upload(task, doc("c"), doc("a", 2))
    crawl.upload(task, doc("d"))
    assert copy.poll() == [("put", "a"), ("put", "d")]
    first = crawl.owner.get(f"/streams/{crawl.stream['fid']}/changes?limit=1").json()["payload"]
    assert first["results"] == [{"op": "put", "id": "c", "task": task, "document": doc("c")}]
    assert Copy(crawl.owner, crawl.stream["fid"]).poll(limit=1) == [(("put"), sku) for sku in ("c", "b", "a", "d")]


def test_ids_of_every_kind(owner: Person) -> None:
    crawl = Crawl(owner, schema=None)
    crawl.upload(crawl.task(), {"sku": 1}, {"sku": "1"}, {"sku": True}, {"x": 1})
    ids = [change[1] for change in Copy(owner, crawl.stream["fid"]).poll()]
    assert ids[:3] == [1, "1", True]
    assert ids[3].startswith("#")


def test_a_deleted_task_hides_and_shows_again(crawl: Crawl, copy: Copy) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"))
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("a", 2), doc("c", 2))
    copy.poll()
    crawl.owner.delete(f"/actions/tasks/{second}")
    crawl.remove_documents()
    address = copy.next
    assert sorted(copy.poll()) == [("delete", "c"), ("put", "a")]
    assert copy.documents == {'"a"': doc("a"), '"b"': doc("b")}
    told = crawl.owner.get(address).json()["payload"]["results"]
    assert {change["id"]: change["task"] for change in told} == {"a": first, "c": second}
    assert Copy(crawl.owner, crawl.stream["fid"]).poll() == [("put", "a"), ("put", "b")]  # a newcomer had no "c"


def test_deleting_what_nobody_saw_is_no_change(crawl: Crawl, copy: Copy) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"))
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("a", 2))
    copy.poll()
    crawl.owner.delete(f"/actions/tasks/{first}")
    crawl.remove_documents()
    assert copy.poll() == [("delete", "b")]
    assert Tombstone.objects.count() == 1


def test_an_older_attempt_that_writes_later_changes_nothing(crawl: Crawl, copy: Copy) -> None:
    first = crawl.task()
    crawl.upload(first, doc("z"))
    stopped = CrawlerTask.objects.get(fid=first)
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("a", 2))
    crawl.end(second)
    CrawlerTask.objects.filter(pk=stopped.pk).update(code=102, ended_at=None, crawler=None)
    crawl.upload(first, doc("a"))
    assert copy.poll() == [("put", "z"), ("put", "a")]
    assert copy.documents['"a"'] == doc("a", 2)
    crawl.owner.delete(f"/actions/tasks/{second}")
    crawl.remove_documents()
    assert copy.poll() == [("put", "a")]
    assert copy.documents['"a"'] == doc("a")


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_is_the_stream_whatever_was_done(crawl: Crawl, copy: Copy, seed: int, monkeypatch: Any) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(change_feed, "STRETCH", chance.choice([2, 7, 10_000]))
    tasks: list[str] = []
    running = ""
    for step in range(40):
        match chance.choice(["upload", "upload", "upload", "next", "retry", "delete", "remove", "poll"]):
            case "upload" if running:
                crawl.upload(running, *[doc(f"{chance.randrange(12)}", step) for _ in range(chance.randrange(1, 6))])
            case "next" | "upload":
                if running:
                    crawl.end(running)
                running = crawl.task()
                tasks.append(running)
            case "retry" if tasks:
                if running:
                    crawl.end(running)
                running = chance.choice(tasks)
                crawl.owner.post(f"/actions/crawlers/{crawl.crawler['fid']}/task/{running}")
            case "delete" if tasks:
                deleted = tasks.pop(chance.randrange(len(tasks)))
                crawl.owner.delete(f"/actions/tasks/{deleted}")
                running = "" if running == deleted else running
            case "remove":
                crawl.remove_documents()
            case "poll":
                copy.poll(limit=chance.choice([1, 3, 1000]))
    crawl.remove_documents()
    copy.poll(limit=chance.choice([1, 3, 1000]))
    shown = {json.dumps(document["sku"]): document for document in crawl.shown()}
    assert copy.documents == shown
    newcomer = Copy(crawl.owner, crawl.stream["fid"])
    assert {operation for operation, _ in newcomer.poll()} <= {"put"}
    assert newcomer.documents == shown


def test_lines_have_all_changes_and_where_to_go_on(crawl: Crawl, copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "LIMIT_MAX", 2)
    path = f"/streams/{crawl.stream['fid']}/changes"
    crawl.upload(crawl.task(), *[doc(f"{n}") for n in range(5)])
    answer = crawl.owner.get(path, headers={"Accept": NDJSON})
    *changes, last = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [change["document"] for change in changes] == [doc(f"{n}") for n in range(5)]
    assert list(last) == ["next"]
    page = crawl.owner.get(last["next"][last["next"].index("/streams") :]).json()["payload"]
    assert page["results"] == []
    assert b"".join(crawl.owner.get(f"{path}?format=ndjson").streaming_content)
    problem(crawl.owner.get(f"{path}?format=csv"), 406, "/format")
    pieces = iter(crawl.owner.get(path, headers={"Accept": NDJSON}).streaming_content)
    assert next(pieces)
    crawl.owner.delete(f"/streams/{crawl.stream['fid']}")
    with pytest.raises(NotFound):
        b"".join(pieces)


def test_a_page_ends_by_bytes_too(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "PAGE_BYTES", 1_000)
    first = crawl.task()
    crawl.upload(first, *[doc(f"{n}", name="x" * 300) for n in range(10)])
    page = crawl.owner.get(f"/streams/{crawl.stream['fid']}/changes").json()["payload"]
    assert 2 <= len(page["results"]) <= 4
    copy = Copy(crawl.owner, crawl.stream["fid"])
    assert len(copy.poll()) == 10
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, *[doc(f"{n}") for n in range(10)])
    copy.poll()
    crawl.owner.delete(f"/actions/tasks/{second}")
    crawl.remove_documents()
    assert sorted(copy.poll()) == [("put", f"{n}") for n in range(10)]


def test_rows_of_other_streams_between_are_passed_over(owner: Person, crawl: Crawl, monkeypatch: Any) -> None:
    monkeypatch.setattr(change_feed, "STRETCH", 3)
    monkeypatch.setattr(change_feed, "PAGE_SECONDS", 0)
    first = crawl.task()
    crawl.upload(first, doc("a"))
    crawl.end(first)
    other = Crawl(owner)
    other.upload(other.task(), *[doc(f"{n}") for n in range(50)])
    crawl.upload(crawl.task(), doc("b"))
    copy = Copy(owner, crawl.stream["fid"])
    assert [copy.poll(), copy.poll()] == [[("put", "a"), ("put", "b")], []]


def test_a_cursor_is_for_its_stream(owner: Person, crawl: Crawl) -> None:
    other = Crawl(owner)
    link = owner.get(f"/streams/{other.stream['fid']}/changes").json()["payload"]["next"]
    problem(owner.get(f"/streams/{crawl.stream['fid']}/changes?{link.partition('?')[2]}"), 400, "/cursor")


def test_a_cursor_from_before_a_restore_is_told(crawl: Crawl, copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl.upload(crawl.task(), doc("a"))
    copy.poll()
    history = change_feed._history()
    assert change_feed._history() == history
    with transaction.atomic(), connection.cursor() as cursor:  # a restore makes the table anew
        cursor.execute("ALTER TABLE crawlers_document RENAME TO earlier")
        cursor.execute("CREATE TABLE crawlers_document (LIKE earlier)")
        restored = change_feed._history()
        transaction.set_rollback(True)
    assert restored != history
    monkeypatch.setattr(change_feed, "_history", lambda: restored)
    for headers in ({}, {"Accept": NDJSON}):
        assert "restore" in problem(crawl.owner.get(copy.next, headers=headers), 410)["detail"]
    assert Copy(crawl.owner, crawl.stream["fid"]).poll() == [("put", "a")]


def test_what_is_forgotten_while_a_page_is_read_is_told(
    crawl: Crawl, copy: Copy, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, read = crawl.task(), change_feed._read_rows
    crawl.upload(task, doc("a"))
    copy.poll()
    crawl.owner.delete(f"/actions/tasks/{task}")
    crawl.remove_documents()
    settings.CHANGES_RETENTION_DAYS = 0

    def read_late(*values: Any) -> Any:
        tombstones.prune_tombstones()
        return read(*values)

    monkeypatch.setattr(change_feed, "_read_rows", read_late)
    problem(crawl.owner.get(copy.next), 410)


@pytest.mark.parametrize("cursor", ["nonsense", "", "MQ", "LTEuMA", "MS4y" * 30, "%00", "ü"])
def test_cursors_that_are_none(crawl: Crawl, cursor: str) -> None:
    problem(crawl.owner.get(f"/streams/{crawl.stream['fid']}/changes?cursor={cursor}"), 400, "/cursor")


@pytest.mark.parametrize(
    ("query", "pointer"), [("limit=0", "/limit"), ("limit=10001", "/limit"), ("where=1", "/where")]
)
def test_queries_that_are_none(crawl: Crawl, query: str, pointer: str) -> None:
    problem(crawl.owner.get(f"/streams/{crawl.stream['fid']}/changes?{query}"), 400, pointer)


def test_deletions_are_forgotten_in_time_and_older_cursors_are_told(crawl: Crawl, settings: Any) -> None:
    task, copy = crawl.task(), Copy(crawl.owner, crawl.stream["fid"])
    crawl.upload(task, doc("a"), doc("b"))
    copy.poll()
    crawl.owner.delete(f"/actions/tasks/{task}")
    crawl.remove_documents()
    in_time = Copy(crawl.owner, crawl.stream["fid"])
    in_time.poll()
    assert tombstones.prune_tombstones() == 0
    settings.CHANGES_RETENTION_DAYS = 0
    assert tombstones.prune_tombstones() == 2
    assert not Tombstone.objects.exists()
    problem(crawl.owner.get(copy.next), 410)
    problem(crawl.owner.get(copy.next, headers={"Accept": NDJSON}), 410)
    assert in_time.poll() == []
    crawl.upload(crawl.task(), doc("c"))
    assert in_time.poll() == [("put", "c")]
    assert Copy(crawl.owner, crawl.stream["fid"]).poll() == [("put", "c")]


def test_a_deleted_stream_takes_its_tombstones_along(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"))
    crawl.owner.delete(f"/actions/tasks/{first}")
    crawl.remove_documents()
    assert Tombstone.objects.exists()
    crawl.owner.delete(f"/streams/{crawl.stream['fid']}")
    crawl.remove_documents()
    assert not Tombstone.objects.exists()
    assert not Stream.objects.exists()


def test_what_was_done_while_a_retry_waited_stays(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.end(first)
    seen = CrawlerTask.objects.get()  # as the call of a retry reads it, before it has the locks
    CrawlerTask.objects.update(code=102, ended_at=None)
    crawl.upload(first, doc("a"))
    crawl.end(first)
    task_runs.retry_task(task=seen)
    crawl.owner.delete(f"/actions/tasks/{first}")
    with pytest.raises(NotFound):
        task_runs.retry_task(task=seen)
    crawl.remove_documents()
    assert not Document.objects.exists()
    assert not CrawlerTask.objects.exists()


def test_no_line_becomes_a_document_of_a_deleted_stream(crawl: Crawl) -> None:
    task = crawl.task()
    crawl.upload(task, {"price": 1}, doc("a"), query="?on_invalid=skip")
    crawl.end(task)
    crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"schema": None})
    crawl.owner.delete(f"/streams/{crawl.stream['fid']}")
    problem(crawl.owner.post(f"/actions/tasks/{task}/rejected"), 404)
    crawl.remove_documents()
    assert not Document.objects.exists()


def test_a_reader_misses_nothing_while_ten_clients_upload_and_a_task_is_deleted(hub: Hub) -> None:
    caller = hub.sign_up()
    with crawler_client.example_crawler() as endpoint:
        made = crawler_client.crawler(caller, crawler_client.external(caller, endpoint))
        path, crawler = f"/streams/{made['stream']['fid']}", made["crawler"]
        first = crawler_client.start(caller, crawler, count=1, pause=60)["fid"]
        upload(caller, first, [doc(f"{n:03}") for n in range(400)])
        caller.post(f"/actions/tasks/{first}/status", {"code": 200})
        second = crawler_client.start(caller, crawler, count=1, pause=60)["fid"]
        copy, over = Copy(Caller(hub.url, token=caller.token), made["stream"]["fid"]), threading.Event()

        def follow() -> None:
            while not over.is_set():
                copy.poll(limit=97)

        def send(number: int) -> None:
            sender = Caller(hub.url, token=caller.token)
            for turn in range(6):
                start = 40 * number + 20 * turn
                upload(sender, second, [doc(f"{n:03}", 100 * number + turn) for n in range(start, start + 60)])

        reader = threading.Thread(target=follow)
        senders = [threading.Thread(target=send, args=[number]) for number in range(10)]
        for thread in (reader, *senders):
            thread.start()
        assert caller.delete(f"/actions/tasks/{first}").status_code == 200
        for thread in senders:
            thread.join()
        crawler_client.until(lambda: caller.get(f"/tasks/{first}").status_code == 404)
        removals = f"/runs?kind={kind_names.DOCUMENT_REMOVAL}"
        crawler_client.until(lambda: all(run["state"] == "SUCCESS" for run in caller.get(removals).json()["results"]))
        over.set()
        reader.join()
        copy.poll()
        shown = {json.dumps(document["sku"]): document for document in crawler_client.documents(caller, made["stream"])}
        assert copy.documents == shown
        caller.delete(path)


def upload(caller: Any, task: str, documents: list[Any]) -> None:
    body = crawler_client.lines(documents)
    answer = caller.call("POST", f"/actions/tasks/{task}/upload", data=body, headers={"Content-Type": NDJSON})
    assert answer.status_code == 200, answer.content
