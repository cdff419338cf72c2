"""Uploads over HTTP, and what a stream shows of them: change sets, pages, filters, exports, quarantine."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crawlers.api.uploads import RATIO_FREE_BYTES, RATIO_MAX
from crawlers.domain import kind_names
from crawlers.domain.documents import DocumentReader
from crawlers.models import CrawlerTask, Document, External, RejectedLine, Stream
from crawlers.services import document_retention, document_store, rejected_lines, stream_reader
from crawlers.services.capabilities import capability_of
from taskhub.errors import NotFound
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import run_now
from tests import crawler_client
from tests.conftest import Person
from tests.unit.test_crawlers_documents import PACKERS

pytestmark = pytest.mark.django_db
NDJSON = "application/x-ndjson"
committed = pytest.mark.django_db(transaction=True)  # each request is a transaction of its own


class Crawl:
    """A stream with its crawler, and what an owner does with them."""

    def __init__(self, owner: Person, **values: Any) -> None:
        self.owner = owner
        self.external = crawler_client.external(owner, "http://127.0.0.1:9/shop", **values)
        made = crawler_client.crawler(owner, self.external)
        self.crawler, self.stream = made["crawler"], made["stream"]

    def task(self) -> str:
        return str(crawler_client.start(self.owner, self.crawler)["fid"])

    def upload(self, task: str, *documents: Any, query: str = "", **options: Any) -> Any:
        return self.send(task, crawler_client.lines(list(documents)), query, **options)

    def send(self, task: str, body: bytes, query: str = "", **options: Any) -> Any:
        return self.owner.post(f"/actions/tasks/{task}/upload{query}", body, content_type=NDJSON, **options)

    def end(self, task: str, code: int = 200) -> None:
        assert self.owner.post(f"/actions/tasks/{task}/status", {"code": code}).status_code == 200

    def shown(self, **query: Any) -> list[Any]:
        return crawler_client.documents(self.owner, self.stream, **query)

    def count(self) -> int:
        return int(self.owner.get(f"/streams/{self.stream['fid']}").json()["payload"]["documents"])

    def remove_documents(self) -> None:
        """As the worker does."""
        for run in Run.objects.filter(kind=kind_names.DOCUMENT_REMOVAL, finished_at__isnull=True):
            assert run_now(run, document_retention.perform_removal_run).state == "SUCCESS"


@pytest.fixture
def crawl(owner: Person) -> Crawl:
    return Crawl(owner)


NAMES = ("inserted", "updated", "unchanged", "rejected")


def counts(answer: Any) -> tuple[int, int, int, int]:
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["payload"] == {name: body[name] for name in body["payload"]}
    return body["count"], body["inserted"], body["updated"], body["unchanged"]


def doc(sku: str, price: float = 1, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "price": price, **more}


def test_documents_are_counted_against_what_the_stream_shows(crawl: Crawl) -> None:
    task = crawl.task()
    assert counts(crawl.upload(task, doc("a"), doc("b"))) == (2, 2, 0, 0)
    assert counts(crawl.upload(task, doc("a"), doc("b"))) == (2, 0, 0, 2)
    assert counts(crawl.upload(task, doc("a", 2), doc("b"), doc("c"))) == (3, 1, 1, 1)
    assert crawl.shown() == [doc("a", 2), doc("b"), doc("c")]
    shown = crawler_client.task(crawl.owner, task)
    assert shown["counts"] == {
        "received": 7,
        "inserted": 3,
        "updated": 1,
        "unchanged": 3,
        "rejected": 0,
        "bytes": shown["counts"]["bytes"],
    }
    assert shown["status"]["code"] == 102
    assert crawl.count() == 3


@committed
def test_the_last_of_an_id_wins_and_the_counts_add_up(crawl: Crawl) -> None:
    task = crawl.task()
    assert counts(crawl.upload(task, doc("a"), doc("b"), doc("a", 2), doc("a", 2))) == (4, 2, 1, 1)
    assert crawl.shown() == [doc("a", 2), doc("b")]
    assert counts(crawl.upload(task, doc("a", 3), doc("a", 2))) == (2, 0, 1, 1)


@committed
def test_the_upload_before_sent_again_is_compared_only_when_something_came_between(
    crawl: Crawl,
) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"))
    with CaptureQueriesContext(connection) as queries:
        assert counts(crawl.upload(first, doc("a"), doc("b"))) == (2, 0, 0, 2)
    assert not [query for query in queries if "upload_line" in query["sql"]]
    crawl.upload(first, doc("a", 2))
    assert counts(crawl.upload(first, doc("a"), doc("b"))) == (2, 0, 1, 1)
    assert crawl.shown() == [doc("a"), doc("b")]
    crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"docIdField": "price"})
    assert counts(crawl.upload(first, doc("a"), doc("b", 2))) == (2, 2, 0, 0)
    assert counts(crawl.upload(first, doc("a"), doc("b", 2))) == (2, 0, 0, 2)
    crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"docIdField": "sku"})
    assert counts(crawl.upload(first, doc("a"), doc("b", 2))) == (2, 0, 1, 1)
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("b", 5))
    crawl.end(second)
    crawl.owner.post(f"/actions/crawlers/{crawl.crawler['fid']}/task/{first}")
    assert counts(crawl.upload(first, doc("a"), doc("b"))) == (2, 0, 1, 1)


def test_order_and_white_space_of_a_document_are_no_change(crawl: Crawl) -> None:
    task = crawl.task()
    crawl.send(task, b'{"sku":"a","price":1}')
    assert counts(crawl.send(task, b' { "price" : 1.0 , "sku" : "a" } ')) == (1, 0, 0, 1)


def test_ids_of_other_types_are_other_ids(owner: Person) -> None:
    crawl = Crawl(owner, schema=None)
    assert counts(crawl.upload(crawl.task(), {"sku": 1}, {"sku": "1"}, {"sku": True}, {"x": 1}, {"x": 2})) == (
        5,
        5,
        0,
        0,
    )
    assert len(crawl.shown()) == 5


def test_without_an_id_field_the_content_is_the_id(owner: Person) -> None:
    crawl = Crawl(owner, docIdField=None)
    task = crawl.task()
    assert counts(crawl.upload(task, doc("a"), doc("a", 2))) == (2, 2, 0, 0)
    assert counts(crawl.upload(task, doc("a"), doc("a", 2))) == (2, 0, 0, 2)


@pytest.mark.parametrize("encoding", sorted(PACKERS))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_and_every_end_of_line(crawl: Crawl, encoding: str, end: str) -> None:
    body = f"\ufeff{json.dumps(doc('a'))}{end}{end}  {end}{json.dumps(doc('ą'))}{end}".encode()
    headers = {"Content-Encoding": encoding}
    assert counts(crawl.send(crawl.task(), PACKERS[encoding](body), headers=headers)) == (2, 2, 0, 0)
    assert crawl.shown() == [doc("a"), doc("ą")]


def test_any_content_type_is_taken(crawl: Crawl) -> None:
    task = crawl.task()
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"):
        path = f"/actions/tasks/{task}/upload"
        assert crawl.owner.post(path, crawler_client.lines([doc(kind)]), content_type=kind).status_code == 200
    assert len(crawl.shown()) == 5


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b"", 400, {"line": 1}),
        (b"\n \r\n", 400, {"line": 1}),
        (b'{"sku": "a"}\n{"sku": x}', 400, {"line": 2, "column": 9}),
        (b'{"sku": "a"}\n5\n{"sku": x}', 400, {"line": 3, "column": 9}),  # 400 wins
        (b'{"sku": "a"}\n5', 406, {"line": 2}),
        (b'{"sku": "a"}\n\n{"price": 1}', 406, {"line": 3}),
        (b'{"sku": 5}', 406, {"line": 1}),
    ],
)
def test_a_body_that_does_not_fit_stores_nothing(crawl: Crawl, body: bytes, status: int, place: Any) -> None:
    task = crawl.task()
    answer = crawl.send(task, body)
    assert answer.status_code == status
    (error,) = answer.json()["errors"]
    assert {name: error[name] for name in place} == place
    assert answer.json()["messages"]
    assert crawl.shown() == []
    assert crawler_client.task(crawl.owner, task)["counts"]["received"] == 0


def test_the_first_ten_lines_that_do_not_fit_are_named(crawl: Crawl) -> None:
    answer = crawl.upload(crawl.task(), *[{"price": number} for number in range(12)])
    assert [error["line"] for error in answer.json()["errors"]] == list(range(1, 11))
    assert '"sku" is a required property' in answer.json()["errors"][0]["detail"]


def test_limits_tell_both_numbers(crawl: Crawl, settings: Any) -> None:
    task = crawl.task()
    settings.UPLOAD_LINE_MAX_BYTES = 50
    answer = crawl.upload(task, doc("a"), doc("b" * 60))
    assert (answer.status_code, answer.json()["limit"], answer.json()["errors"][0]["line"]) == (413, 50, 2)
    settings.DOCUMENTS_MAX_UNPACKED_BYTES = 100
    packed = gzip.compress(crawler_client.lines([doc(str(n)) for n in range(20)]))
    answer = crawl.send(task, packed, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["limit"]) == (413, 100)
    settings.DOCUMENTS_MAX_BYTES = 80
    answer = crawl.send(task, b"x" * 81)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The body has 81 bytes; 80 are allowed."
    assert crawl.shown() == []


def test_unknown_encodings_and_queries_and_ends(crawl: Crawl) -> None:
    task = crawl.task()
    assert crawl.upload(task, doc("a"), headers={"Content-Encoding": "compress"}).status_code == 415
    assert crawl.upload(task, doc("a"), query="?on_invalid=perhaps").status_code == 400
    crawl.end(task)
    assert crawl.upload(task, doc("a")).status_code == 409
    assert (
        crawl.owner.post(f"/actions/tasks/{crawl.stream['fid']}/upload", b"{}", content_type=NDJSON).status_code == 404
    )


# Capabilities


def test_the_capability_needs_no_other_secret_and_dies_with_the_attempt(crawl: Crawl, anonymous: Person) -> None:
    fid = crawl.task()
    path = f"/c/{capability_of(CrawlerTask.objects.get(fid=fid))}/actions/tasks/{fid}"
    sent = anonymous.post(f"{path}/upload", crawler_client.lines([doc("a")]), content_type=NDJSON)
    assert counts(sent) == (1, 1, 0, 0)
    assert anonymous.post(f"{path}/status", {"code": 150}).status_code == 200
    forged = path.replace("/c/", "/c/A", 1)
    assert anonymous.post(f"{forged}/status", {"code": 200}).status_code == 404
    other = Crawl(crawl.owner)
    stolen = path.replace(fid, other.task())
    assert anonymous.post(f"{stolen}/status", {"code": 200}).status_code == 404
    crawl.end(fid)
    assert anonymous.post(f"{path}/upload", b"{}", content_type=NDJSON).status_code == 409
    assert anonymous.post(f"{path}/status", {"code": 500}).status_code == 409
    retried = crawl.owner.post(f"/actions/crawlers/{crawl.crawler['fid']}/task/{fid}")
    assert (retried.status_code, retried.json()["payload"]["attempt"]) == (201, 2)
    assert anonymous.post(f"{path}/status", {"code": 200}).status_code == 404


# Change sets


@committed
def test_a_task_is_a_change_set(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"), doc("c"))
    crawl.end(first)
    second = crawl.task()
    assert counts(crawl.upload(second, doc("b"), doc("c", 2), doc("d"))) == (3, 1, 1, 1)
    assert crawl.shown() == [doc("a"), doc("b"), doc("c", 2), doc("d")]
    assert crawl.shown(task=first) == [doc("a"), doc("b"), doc("c")]
    assert crawl.shown(task=second) == [doc("b"), doc("c", 2), doc("d")]

    assert crawl.owner.delete(f"/actions/tasks/{second}").status_code == 200
    for _ in range(2):  # at once, and when its rows are gone
        assert crawl.shown() == [doc("a"), doc("b"), doc("c")]
        assert crawl.owner.get(f"/tasks/{second}").status_code == 404
        crawl.remove_documents()
    assert crawl.count() == 3
    assert Document.objects.count() == 3

    assert crawl.owner.delete(f"/actions/tasks/{first}").status_code == 200
    crawl.remove_documents()
    assert (crawl.shown(), crawl.count(), Document.objects.count()) == ([], 0, 0)


@committed
def test_deleting_the_older_task_leaves_what_the_newer_said_also_where_it_said_the_same(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"))
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("a"))
    crawl.owner.delete(f"/actions/tasks/{first}")
    assert crawl.shown() == [doc("a")]
    crawl.remove_documents()
    assert (crawl.shown(), crawl.count()) == ([doc("a")], 1)


@committed
def test_the_attempt_that_started_later_shows(crawl: Crawl) -> None:
    first, second = crawl.task(), None
    crawl.upload(first, doc("a", 1), doc("b", 1))
    crawl.end(first, 500)
    second = crawl.task()
    crawl.upload(second, doc("a", 2), doc("b", 2))
    crawl.end(second)
    crawl.owner.post(f"/actions/crawlers/{crawl.crawler['fid']}/task/{first}")
    assert counts(crawl.upload(first, doc("a", 1))) == (1, 0, 1, 0)
    assert crawl.shown() == [doc("a", 1), doc("b", 2)]
    crawl.owner.delete(f"/actions/tasks/{first}")
    assert crawl.shown() == [doc("a", 2), doc("b", 2)]


@committed
def test_what_comes_after_a_deletion_is_new(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"))
    crawl.owner.delete(f"/actions/tasks/{first}")
    second = crawl.task()
    assert counts(crawl.upload(second, doc("a"), doc("b"))) == (2, 2, 0, 0)
    crawl.remove_documents()
    assert (crawl.shown(), crawl.count()) == ([doc("a"), doc("b")], 2)


@committed
@pytest.mark.parametrize("seen", [False, True], ids=["after the merge looked", "before the merge looks"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "and again"])
def test_a_task_that_is_deleted_while_an_upload_is_merged_leaves_the_count_right(
    crawl: Crawl, monkeypatch: pytest.MonkeyPatch, seen: bool, again: bool
) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"), doc("c"))
    crawl.end(first)
    second = crawl.task()
    look = document_store.removed_tasks

    def delete_first() -> None:
        try:
            assert crawl.owner.delete(f"/actions/tasks/{first}").status_code == 200
        finally:
            connection.close()

    def look_and_delete(stream: int) -> list[int]:
        monkeypatch.setattr(document_store, "removed_tasks", look)
        before = look(stream)
        with ThreadPoolExecutor(1) as elsewhere:  # a transaction of its own, while this one has the stream locked
            elsewhere.submit(delete_first).result()
        return look(stream) if seen else before

    monkeypatch.setattr(document_store, "removed_tasks", look_and_delete)
    crawl.upload(second, doc("a"), doc("b", 2), doc("d"))
    if again:
        crawl.upload(second, doc("a", 3), doc("c"))
    crawl.remove_documents()
    assert crawl.count() == len(crawl.shown()) == (4 if again else 3)


DELETIONS = {
    "two of the same": ["1 a b", "2 b c", "delete 1", "delete 2"],
    "the older one first": ["1 a b", "2 b c", "delete 1", "3 a", "delete 2", "3 b"],
    "the newer one first": ["1 a b", "2 b c", "delete 2", "3 b c", "end 3", "delete 1", "4 a c"],
    "all, then again": ["1 a", "delete 1", "2 a", "delete 2", "3 a"],
}


@committed
@pytest.mark.parametrize("removes", ["at once", "at the end"])
@pytest.mark.parametrize("name", DELETIONS)
def test_the_count_is_right_however_deletions_and_uploads_follow_each_other(
    crawl: Crawl, name: str, removes: str
) -> None:
    tasks: dict[str, str] = {}
    for step in DELETIONS[name]:
        action, *names = step.split()
        if action == "delete":
            assert crawl.owner.delete(f"/actions/tasks/{tasks.pop(names[0])}").status_code == 200
        elif action == "end":
            crawl.end(tasks[names[0]])
        else:
            if action not in tasks:
                tasks[action] = crawl.task()
            crawl.upload(tasks[action], *map(doc, names))
            if f"delete {action}" in DELETIONS[name]:
                crawl.end(tasks[action])
        if removes == "at once":
            crawl.remove_documents()
            assert crawl.count() == len(crawl.shown())
    crawl.remove_documents()
    assert crawl.count() == len(crawl.shown())


@committed
def test_a_deleted_stream_is_gone_at_once_and_then_in_the_tables(crawl: Crawl) -> None:
    task = crawl.task()
    crawl.upload(task, doc("a"))
    assert crawl.owner.delete(f"/streams/{crawl.stream['fid']}").status_code == 200
    assert crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs").status_code == 404
    crawl.remove_documents()
    assert not Stream.objects.exists()
    assert not CrawlerTask.objects.exists()
    assert not Document.objects.exists()


# Reading


def test_pages_follow_each_other_while_others_write(crawl: Crawl) -> None:
    task = crawl.task()
    crawl.upload(task, *[doc(f"{n:03}") for n in range(25)])
    page = crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs?limit=10").json()["payload"]
    crawl.upload(task, doc("0000"), doc("009", 5), doc("0091"), doc("zzz"))
    seen = [one["sku"] for one in page["results"]]
    while page["next"]:
        page = crawl.owner.get(page["next"][page["next"].index("/streams") :]).json()["payload"]
        seen += [one["sku"] for one in page["results"]]
    assert seen == sorted(set(seen))
    assert {f"{n:03}" for n in range(25)} | {"0091", "zzz"} == set(seen)


@pytest.mark.parametrize("of_task", [False, True])
def test_a_page_ends_by_bytes_too(crawl: Crawl, monkeypatch: pytest.MonkeyPatch, of_task: bool) -> None:
    monkeypatch.setattr(stream_reader, "PAGE_BYTES", 10_000)
    task = crawl.task()
    sizes = [*[4_000] * 5, 30_000, *[10] * 30]
    crawl.upload(task, *[doc(f"{n:03}", tags=["x" * size]) for n, size in enumerate(sizes)])
    path = f"/streams/{crawl.stream['fid']}/docs?limit=1000" + (f"&task={task}" if of_task else "")
    pages: list[list[str]] = []
    while path:
        page = crawl.owner.get(path).json()["payload"]
        pages.append([document["sku"] for document in page["results"]])
        path = page["next"] and page["next"][page["next"].index("/streams") :]
    assert [len(page) for page in pages] == [3, 3, 30]
    assert [key for page in pages for key in page] == [f"{n:03}" for n in range(36)]
    assert len(crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs?limit=2").json()["payload"]["results"]) == 2


def test_filters(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a", 5, tags=["new"]), doc("b", 15))
    crawl.end(first)
    middle = Document.objects.order_by("-id").first()
    assert middle is not None
    second = crawl.task()
    crawl.upload(second, doc("c", 25, tags=["new", "hot"]))
    since = middle.at.isoformat()
    assert crawl.shown(where="$.price > 10") == crawl.shown(where="$.price ? (@ > 10)")
    assert [one["sku"] for one in crawl.shown(where="$.price > 10")] == ["b", "c"]
    assert [one["sku"] for one in crawl.shown(where='$.tags[*] ? (@ == "new")')] == ["a", "c"]
    assert [one["sku"] for one in crawl.shown(where="$.tags")] == ["a", "c"]
    assert [one["sku"] for one in crawl.shown(where="$.price > 10", task=first)] == ["b"]
    assert [one["sku"] for one in crawl.shown(until=since)] == ["a"] or crawl.shown(until=since) == []
    later = Document.objects.order_by("-id")[0].at.isoformat()
    assert [one["sku"] for one in crawl.shown(since=later)] == ["c"]
    assert crawl.shown(since=later, until=later) == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"where": "$.price >"}, "/where"),
        ({"where": "nonsense("}, "/where"),
        ({"where": '$ like_regex "("'}, "/where"),
        ({"task": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"}, "/task"),
        ({"cursor": "nonsense"}, "/cursor"),
        ({"cursor": "NQ"}, "/cursor"),
        ({"limit": "0"}, "/limit"),
        ({"since": "yesterday"}, "/since"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_filters_that_are_none(crawl: Crawl, query: dict[str, str], pointer: str) -> None:
    crawl.upload(crawl.task(), doc("a"))
    path = f"/streams/{crawl.stream['fid']}/docs"
    answer = crawl.owner.get(path, query)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    if pointer == "/where":
        assert (
            crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs", query, headers={"Accept": NDJSON}).status_code
            == 400
        )


def test_wrapped_documents_tell_their_task_and_time(crawl: Crawl) -> None:
    task = crawl.task()
    crawl.upload(task, doc("a"))
    (one,) = crawl.shown(wrapped="true")
    assert (one["id"], one["task"], one["doc"]) == ("a", task, doc("a"))
    assert one["at"].endswith("Z")


def export(crawl: Crawl, query: str = "", **headers: str) -> Any:
    path = f"/streams/{crawl.stream['fid']}/docs{query}"
    return crawl.owner.get(path, headers={"Accept": NDJSON, **headers})


def test_an_export_is_what_was_sent(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlers.services.document_export.EXPORT_STRETCH", 3)
    lines = [b'{"sku":"%03d", "text": "a\\\\b \\"q\\" \\n \xc4\x85"}' % n for n in range(10)]
    crawl.send(crawl.task(), b"\n".join(lines))
    answer = export(crawl)
    assert answer["Content-Type"] == NDJSON
    assert b"".join(answer.streaming_content) == b"".join(line + b"\n" for line in lines)
    packed = export(crawl, **{"Accept-Encoding": "br, gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(b"".join(packed.streaming_content)).splitlines() == lines
    assert "Content-Encoding" not in export(crawl, **{"Accept-Encoding": "gzip;q=0"})
    some = export(crawl, '?where=$.sku > "006"')
    assert b"".join(some.streaming_content).splitlines() == lines[7:]


@committed  # a limit that a transaction sets ends with it
def test_no_limit_of_one_statement_ends_an_export(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlers.services.document_export.STATEMENT_SECONDS", 0.001)
    documents = [doc(f"{n:04}", n, text="a" * 5000) for n in range(600)]
    crawl.upload(crawl.task(), *documents)
    answer = export(crawl, '?where=$.** like_regex "b$" || $.price > 100')
    assert [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()] == documents[101:]


def test_an_export_breaks_off_where_its_task_or_stream_is_deleted(
    crawl: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawlers.services.document_export.EXPORT_STRETCH", 2)
    task = crawl.task()
    crawl.upload(task, *[doc(f"{n}") for n in range(9)])
    crawl.upload(task, 5, query="?on_invalid=skip")
    of_task, of_stream = iter(export(crawl, f"?task={task}").streaming_content), iter(export(crawl).streaming_content)
    rejected = iter(crawl.owner.get(f"/tasks/{task}/rejected", headers={"Accept": NDJSON}).streaming_content)
    assert next(of_task)
    assert next(of_stream)
    assert next(rejected)
    crawl.owner.delete(f"/actions/tasks/{task}")
    for stream in (of_task, rejected):
        with pytest.raises(NotFound):
            b"".join(stream)
    crawl.owner.delete(f"/streams/{crawl.stream['fid']}")
    with pytest.raises(NotFound):
        b"".join(of_stream)


def test_an_empty_stream_exports_nothing(crawl: Crawl) -> None:
    assert b"".join(export(crawl).streaming_content) == b""


# Quarantine


def test_lines_are_put_aside_and_sent_again_when_the_schema_takes_them(crawl: Crawl) -> None:
    task = crawl.task()
    sent = crawl.upload(task, doc("a"), {"sku": 5}, 7, {"sku": "b", "price": "1"}, query="?on_invalid=skip")
    assert counts(sent) == (4, 1, 0, 0)
    assert sent.json()["rejected"] == 3
    page = crawl.owner.get(f"/tasks/{task}/rejected").json()["payload"]["results"]
    assert [(one["line"], one["body"]) for one in page] == [
        (2, '{"sku": 5}'),
        (3, "7"),
        (4, '{"sku": "b", "price": "1"}'),
    ]
    assert page[1]["reason"] == "Must be an object, not a number."
    whole = crawl.owner.get(f"/tasks/{task}/rejected", headers={"Accept": NDJSON})
    lines = [b'{"sku": 5}', b"7", b'{"sku": "b", "price": "1"}']
    assert b"".join(whole.streaming_content).splitlines() == lines
    asked = crawl.owner.get(f"/tasks/{task}/rejected?format=ndjson")
    assert b"".join(asked.streaming_content).splitlines() == lines
    crawl.end(task)
    crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"schema": {"properties": {"sku": {"type": "integer"}}}})
    again = crawl.owner.post(f"/actions/tasks/{task}/rejected")
    assert counts(again) == (3, 1, 0, 0)
    assert again.json()["rejected"] == 2
    assert crawl.shown() == [doc("a"), {"sku": 5}]
    assert list(RejectedLine.objects.order_by("id").values_list("reason", flat=True)) == [
        "Must be an object, not a number.",
        '/sku: "b" is not of type "integer"',
    ]
    shown = crawler_client.task(crawl.owner, task)["counts"]
    assert (shown["received"], shown["inserted"], shown["rejected"]) == (4, 2, 2)
    assert crawl.count() == 2


def test_broken_lines_are_refused_also_when_others_are_skipped(crawl: Crawl) -> None:
    task = crawl.task()
    assert crawl.send(task, b'5\n{"sku": "a"}\n{', "?on_invalid=skip").status_code == 400
    assert not RejectedLine.objects.exists()


def test_a_task_keeps_so_many_lines_and_counts_the_others(crawl: Crawl, settings: Any) -> None:
    settings.QUARANTINE_MAX_LINES = 3
    task = crawl.task()
    for lines in ([1, 2], [3, 4], [3, 4], [5], [5]):
        crawl.upload(task, *lines, query="?on_invalid=skip")
    assert list(RejectedLine.objects.order_by("id").values_list("body", flat=True)) == ["1", "2", "3"]
    assert crawler_client.task(crawl.owner, task)["counts"]["rejected"] == 5


@committed
def test_lines_that_are_put_aside_and_sent_again_are_there_once(crawl: Crawl) -> None:
    task = crawl.task()
    body = crawler_client.lines([doc("a"), {"sku": 5}, 7, {"sku": 5}])
    other = crawler_client.lines([doc("b"), 7])
    for sent in (body, body, other, body, gzip.compress(body)):
        encoding = {"Content-Encoding": "gzip"} if sent[:1] == b"\x1f" else {}
        answer = crawl.send(task, sent, "?on_invalid=skip", headers=encoding)
        assert answer.json()["rejected"] == (1 if sent is other else 3)
        assert answer.json()["count"] == sum(answer.json()[name] for name in NAMES)
    page = crawl.owner.get(f"/tasks/{task}/rejected").json()["payload"]["results"]
    assert [(one["line"], one["body"]) for one in page] == [(2, '{"sku": 5}'), (3, "7"), (4, '{"sku": 5}'), (2, "7")]
    assert crawler_client.task(crawl.owner, task)["counts"]["rejected"] == 4
    crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"schema": {"properties": {"sku": {"type": "integer"}}}})
    for _ in range(2):
        crawl.owner.post(f"/actions/tasks/{task}/rejected")
        assert crawler_client.task(crawl.owner, task)["counts"]["rejected"] == 2
    answer = crawl.send(task, body, "?on_invalid=skip")
    assert (answer.json()["unchanged"], answer.json()["rejected"]) == (2, 2)
    page = crawl.owner.get(f"/tasks/{task}/rejected").json()["payload"]["results"]
    assert [one["body"] for one in page] == ["7", "7", '{"sku": "a", "price": 1}']  # by the schema of today
    assert crawler_client.task(crawl.owner, task)["counts"]["rejected"] == 3


@committed
def test_rejected_lines_are_checked_outside_of_any_transaction_and_some_at_a_time(
    crawl: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others store meanwhile: also another call that sends the same lines."""
    monkeypatch.setattr(rejected_lines, "BATCH_BYTES", 40)
    task = crawl.task()
    crawl.upload(task, *({"sku": number} for number in range(9)), {"sku": 9, "name": 1}, query="?on_invalid=skip")
    crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"schema": {"properties": {"sku": {"type": "integer"}}}})
    read_key, checked, others = DocumentReader.read_key, list[int](), list[Any]()

    def read(reader: DocumentReader, line: bytes, number: int) -> bytes:
        assert not connection.in_atomic_block
        assert others or connection.connection is None  # it has been given back
        checked.append(number)
        if len(checked) == 1:
            others.append(crawl.owner.post(f"/actions/tasks/{task}/rejected"))
        return read_key(reader, line, number)

    monkeypatch.setattr(DocumentReader, "read_key", read)
    answer = crawl.owner.post(f"/actions/tasks/{task}/rejected")
    assert [counts(each) for each in others] == [(10, 9, 0, 0)]
    assert [each.json()["rejected"] for each in others] == [1]
    assert (counts(answer), answer.json()["rejected"]) == ((1, 0, 0, 0), 1)
    assert checked == [1, *range(1, 11), *range(2, 5), 10]
    assert [row["sku"] for row in crawl.shown()] == list(range(9))
    assert crawler_client.task(crawl.owner, task)["counts"]["rejected"] == 1
    whole = crawl.owner.get(f"/tasks/{task}/rejected", headers={"Accept": NDJSON})
    assert b"".join(whole.streaming_content) == b'{"sku": 9, "name": 1}\n'


KEPT_APART = [
    b'{"sku": "x", "price": 1e400}',
    b'{"sku": "x", "price": 1e-20000}',
    b'{"sku": "x", "price": 0e-99999}',
    b'{"sku": "x", "name": "\\ud800"}',
    b'{"sku": "\\udc00"}',
    b'{"sku": "x", "name": "\\u0000"}',
    b'{"sku": "x", "price": "1"}',
    b"[1]",
]


@pytest.mark.parametrize("line", KEPT_APART)
def test_one_line_that_cannot_be_kept_does_not_refuse_the_others(crawl: Crawl, line: bytes) -> None:
    task = crawl.task()
    body = b'{"sku": "a"}\n' + line + b'\n{"sku": "b"}'
    refused = crawl.send(task, body)
    assert refused.status_code == 406
    assert [error["line"] for error in refused.json()["errors"]] == [2]
    taken = crawl.send(task, body, "?on_invalid=skip")
    assert (taken.status_code, taken.json()["inserted"], taken.json()["rejected"]) == (200, 2, 1)
    assert [one["sku"] for one in crawl.shown()] == ["a", "b"]
    whole = crawl.owner.get(f"/tasks/{task}/rejected", headers={"Accept": NDJSON})
    assert b"".join(whole.streaming_content) == line + b"\n"
    assert counts(crawl.upload(task, doc("x"))) == (1, 1, 0, 0)  # the id is as good as any


def test_numbers_that_can_be_kept_are_compared_as_numbers(crawl: Crawl) -> None:
    task = crawl.task()
    assert counts(crawl.send(task, b'{"sku": "a", "price": 1e-16382}')) == (1, 1, 0, 0)
    assert counts(crawl.send(task, b'{"sku": "a", "price": 1.0e-16382}')) == (1, 0, 0, 1)
    assert counts(crawl.send(task, b'{"sku": "a", "price": -0}')) == (1, 0, 1, 0)
    assert counts(crawl.send(task, b'{"sku": "a", "price": 0.00}')) == (1, 0, 0, 1)


@pytest.mark.parametrize("query", ["", "?on_invalid=skip"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'[{"sku": "a"}, {"sku": "b"}]', "JSON array"),
        (b'\n[\n  {"sku": "a"},\n  {"sku": "b"}\n]\n', "JSON array"),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n{"sku": "a"}\r\n--b--\r\n', "multipart"),
        (gzip.compress(b'{"sku": "a"}', mtime=0), "Content-Encoding"),
        (b'{"sku": "a"}{"sku": "b"}', "one object a line"),
        (b'{\n  "sku": "a"\n}', "one object a line"),
    ],
)
def test_another_format_is_told_what_an_upload_is(crawl: Crawl, body: bytes, says: str, query: str) -> None:
    answer = crawl.send(crawl.task(), body, query)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert "newline-delimited JSON" in answer.json()["detail"]
    assert crawl.shown() == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_readings_that_pack_very_well_are_taken_and_lines_of_nothing_are_not(crawl: Crawl, encoding: str) -> None:
    task = crawl.task()
    # Each body is just above what is taken in any ratio.
    for reading in (b'{"sku": "sensor", "price": 20.5, "at": "2026-01-31T12:00:00Z"}\n', b'{"sku":"a"}\n'):
        count = 1_200_000 // len(reading)
        packed = PACKERS[encoding](reading * count)
        assert count * len(reading) > max(RATIO_FREE_BYTES, RATIO_MAX * len(packed))
        assert crawl.send(task, packed, headers={"Content-Encoding": encoding}).json()["count"] == count
    for nothing in (b"\n" * 1_500_000, b"\r\n" * 750_000, b"{}\n" * 500_000):
        answer = crawl.send(task, PACKERS[encoding](nothing), headers={"Content-Encoding": encoding})
        assert answer.status_code == 413
        assert "lines of less than 8 bytes" in answer.json()["detail"]


def test_a_page_of_few_matches_ends_in_time_and_goes_on(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlers.services.stream_reader.PAGE_SECONDS", 0)
    monkeypatch.setattr("crawlers.services.stream_reader.STRETCH", 5)
    crawl.upload(crawl.task(), *[doc(f"{n:02}", n) for n in range(30)])
    page = crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs", {"where": "$.price > 27"}).json()["payload"]
    assert page["results"] == []
    assert page["next"]
    assert [one["price"] for one in crawl.shown(where="$.price > 27")] == [28, 29]


@committed
def test_a_stretch_of_a_slow_predicate_is_refused(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlers.services.document_selection.STATEMENT_SECONDS", 0.001)
    crawl.upload(crawl.task(), *[doc(f"{n:04}", text="a" * 2000) for n in range(1500)])
    answer = crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs", {"where": '$.** like_regex "(a+)+$"'})
    assert answer.status_code == 400
    assert "Takes longer than" in answer.json()["errors"][0]["detail"]


COSTLY = {"additionalProperties": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}


def test_a_schema_that_could_keep_the_hub_busy_is_not_saved(crawl: Crawl) -> None:
    meta = {"name": "costly", "description": "", "image": ""}
    answer = crawl.owner.patch(f"/externals/{crawl.external['fid']}", {"schema": COSTLY})
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["pointer"] == "/schema"
    answer = crawl.owner.post("/externals", {"meta": meta, "endpoint": "http://127.0.0.1:9/", "schema": COSTLY})
    assert answer.status_code == 400
    assert "/schema" in [error["pointer"] for error in answer.json()["errors"]]


def test_a_costly_schema_of_an_older_version_refuses_uploads(crawl: Crawl) -> None:
    task = crawl.task()
    External.objects.update(schema=COSTLY)
    answer = crawl.upload(task, doc("a"))
    assert answer.status_code == 409
    assert "change it" in answer.json()["detail"]
