"""What a stream keeps, and what it says of itself: retention of documents and tasks, statistics of fields."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from crawlers.models import CrawlerCall, CrawlerTask, Document, StatusChange, Stream
from crawlers.services import document_retention, stream_statistics, task_retention
from crawlers.services.change_feed import first_position, read_changes
from tests.conftest import Person
from tests.integration.test_crawlers_uploads import Crawl, doc
from tests.integration.test_stream_changes import Copy
from tests.problems import problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crawl(owner: Person) -> Crawl:
    return Crawl(owner)


def keep(crawl: Crawl, **retention: int) -> Any:
    return crawl.owner.patch(f"/streams/{crawl.stream['fid']}", {"retention": retention})


def age(days: int, *skus: str) -> None:
    Document.objects.filter(key__in=[f'"{sku}"' for sku in skus]).update(at=timezone.now() - timedelta(days=days))


def prune(crawl: Crawl) -> None:
    Stream.objects.update(checked_at=None)
    document_retention.queue_retentions()
    crawl.remove_documents()


def test_a_stream_keeps_its_newest_documents(crawl: Crawl) -> None:
    task, copy = crawl.task(), Copy(crawl.owner, crawl.stream["fid"])
    crawl.upload(task, *[doc(f"{n}") for n in range(6)])
    copy.poll()
    assert keep(crawl, documents=3).json()["payload"]["retention"] == {"days": None, "documents": 3}
    crawl.upload(task, doc("0", 2))
    prune(crawl)
    assert [one["sku"] for one in crawl.shown()] == ["0", "4", "5"]
    assert crawl.count() == 3
    assert sorted(copy.poll()) == [*[("delete", f"{n}") for n in range(1, 4)], ("put", "0")]
    prune(crawl)
    assert crawl.count() == 3


def test_a_stream_keeps_documents_for_some_days(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"), doc("c"), doc("d"))
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("a", 2), doc("b", 2))
    copy = Copy(crawl.owner, crawl.stream["fid"])
    copy.poll()
    Document.objects.filter(task__fid=first).update(at=timezone.now() - timedelta(days=9))
    age(9, "b")
    age(1, "d")
    keep(crawl, days=7)
    prune(crawl)
    assert [one["sku"] for one in crawl.shown()] == ["a", "d"]
    assert sorted(Document.objects.values_list("key", flat=True)) == ['"a"', '"d"']  # nor what they had hidden
    assert crawl.count() == 2
    assert sorted(copy.poll()) == [("delete", "b"), ("delete", "c")]
    crawl.owner.delete(f"/actions/tasks/{second}")
    crawl.remove_documents()
    assert (crawl.count(), [one["sku"] for one in crawl.shown()]) == (1, ["d"])


def test_documents_grow_old_one_after_the_other(owner: Person, crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_retention, "BATCH", 2)
    task, copy = crawl.task(), Copy(owner, crawl.stream["fid"])
    crawl.upload(task, doc("a"), doc("b"), doc("c"))
    other = Crawl(owner)
    other.upload(other.task(), *[doc(f"{n}") for n in range(9)])  # rows of another stream between
    crawl.upload(task, doc("d"), doc("e"))
    keep(crawl, days=7)
    for old, left in (("abc", "de"), ("d", "e"), ("e", "")):
        copy.poll()
        age(9, *old)
        prune(crawl)
        assert "".join(one["sku"] for one in crawl.shown()) == left
        assert sorted(copy.poll()) == [("delete", sku) for sku in old]
    assert Document.objects.count() == 9


def test_a_stream_without_surplus_is_left_alone(crawl: Crawl) -> None:
    crawl.upload(crawl.task(), doc("a"))
    keep(crawl, days=1, documents=1)
    assert document_retention.queue_retentions() == 0
    age(2, "a")
    assert document_retention.queue_retentions() == 0  # it was looked at
    Stream.objects.update(checked_at=None)
    assert document_retention.queue_retentions() == 1
    crawl.owner.patch(f"/streams/{crawl.stream['fid']}", {"retention": None})
    assert Stream.objects.get().retention_days is None


@pytest.mark.parametrize(
    ("retention", "pointer"),
    [
        ({"days": 0}, "/retention/days"),
        ({"documents": -1}, "/retention/documents"),
        ({"weeks": 1}, "/retention/weeks"),
        (5, "/retention"),
    ],
)
def test_retentions_that_are_none(crawl: Crawl, retention: Any, pointer: str) -> None:
    problem(crawl.owner.patch(f"/streams/{crawl.stream['fid']}", {"retention": retention}), 400, pointer)


def test_retention_is_merged_and_replaced(owner: Person) -> None:
    made = owner.post("/streams", {"name": "x", "retention": {"days": 3, "documents": 5}}).json()["payload"]
    path = f"/streams/{made['fid']}"
    assert made["retention"] == {"days": 3, "documents": 5}
    patched = owner.patch(path, {"retention": {"days": None}}).json()["payload"]
    assert patched["retention"] == {"days": None, "documents": 5}
    assert owner.patch(path, {"name": "y"}).json()["payload"]["retention"] == {"days": None, "documents": 5}
    assert owner.call("PUT", path, {"name": "y"}).json()["payload"]["retention"] == {"days": None, "documents": None}


def test_what_is_told_of_ended_tasks_is_pruned(crawl: Crawl, settings: Any) -> None:
    empty = crawl.task()
    crawl.end(empty)
    full = crawl.task()
    crawl.upload(full, doc("a"))
    crawl.end(full)
    running = crawl.task()
    long_ago = timezone.now() - timedelta(days=settings.CRAWLER_TASK_RETENTION_DAYS + 1)
    for task in CrawlerTask.objects.all():
        CrawlerCall.objects.create(task=task, attempt=1, method="POST", url="x", duration_ms=1, at=long_ago)
    StatusChange.objects.update(at=long_ago)
    assert task_retention.prune_tasks() == 0
    CrawlerTask.objects.filter(ended_at__isnull=False).update(ended_at=long_ago)
    assert task_retention.prune_tasks() > 0
    assert [str(fid) for fid in CrawlerTask.objects.order_by("pk").values_list("fid", flat=True)] == [full, running]
    for rows in (StatusChange.objects.all(), CrawlerCall.objects.all()):
        assert {str(row.task.fid) for row in rows} == {running}
    assert [one["sku"] for one in crawl.shown()] == ["a"]
    assert task_retention.prune_tasks() == 0


def test_a_task_that_is_in_use_again_is_not_pruned(crawl: Crawl, settings: Any) -> None:
    crawl.end(crawl.task())
    settings.CRAWLER_TASK_RETENTION_DAYS = 0
    task, is_locked, over = CrawlerTask.objects.get(), threading.Event(), threading.Event()

    def use() -> None:
        with transaction.atomic():
            CrawlerTask.objects.select_for_update(no_key=True).get(pk=task.pk)
            is_locked.set()
            over.wait(60)
        connection.close()

    user = threading.Thread(target=use)
    user.start()
    assert is_locked.wait(60)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        task_retention.prune_tasks()
    over.set()
    user.join()
    assert CrawlerTask.objects.filter(pk=task.pk).exists()
    task_retention.prune_tasks()
    assert not CrawlerTask.objects.exists()


def test_what_is_told_of_tasks_that_go_on_keeps_nothing_of_others(crawl: Crawl, monkeypatch: Any) -> None:
    monkeypatch.setattr(task_retention, "BATCH", 2)
    crawl.task()
    running = CrawlerTask.objects.get()
    long_ago = timezone.now() - timedelta(days=1000)
    rows = [StatusChange(task=running, attempt=1, code=102, by="hub") for _ in range(5)]
    StatusChange.objects.bulk_create(rows)
    crawl.end(str(running.fid))
    other = Crawl(crawl.owner)
    ended = other.task()
    other.upload(ended, doc("a"))
    other.end(ended)
    StatusChange.objects.update(at=long_ago)
    CrawlerTask.objects.exclude(pk=running.pk).update(ended_at=long_ago)
    while task_retention.prune_tasks():
        pass
    assert set(StatusChange.objects.values_list("task", flat=True)) == {running.pk}


def test_rows_of_other_streams_leave_room_for_a_sample(owner: Person, crawl: Crawl, monkeypatch: Any) -> None:
    monkeypatch.setattr(stream_statistics, "PART_ROWS", 1)
    task = crawl.task()
    crawl.upload(task, doc("a"))
    other = Crawl(owner)
    other.upload(other.task(), *[doc(f"{n}") for n in range(70)])
    crawl.upload(task, doc("b"))
    told = owner.get(f"/streams/{crawl.stream['fid']}/stats").json()["payload"]
    assert told["fields"][0]["examples"] == ["a", "b"]


def test_statistics_tell_the_fields_and_the_days(owner: Person) -> None:
    crawl = Crawl(owner, schema=None)
    path, today = f"/streams/{crawl.stream['fid']}/stats", timezone.now().date()
    assert owner.get(path).json()["payload"] == {"documents": 0, "sample": 0, "fields": [], "days": []}
    task = crawl.task()
    crawl.upload(
        task, {"sku": "a", "price": 1.5, "seller": {"name": "x" * 200}, "tags": [1]}, {"sku": "b", "price": None}
    )
    crawl.upload(task, {"sku": "b", "price": 2}, {"sku": "c", "sold": True})
    told = owner.get(path).json()["payload"]
    assert (told["documents"], told["sample"]) == (3, 3)
    fields = {field.pop("name"): field for field in told["fields"]}
    assert fields["sku"] == {"present": 3, "nulls": 0, "types": {"string": 3}, "examples": ["a", "b", "c"]}
    assert fields["price"] == {
        "present": 2,
        "nulls": 0,
        "types": {"number": 1, "integer": 1},
        "examples": [1.5, 2],
    }
    assert fields["seller.name"]["examples"] == ["x" * 100 + "..."]
    assert fields["tags"] == {"present": 1, "nulls": 0, "types": {"array": 1}, "examples": []}
    assert fields["sold"]["types"] == {"boolean": 1}
    assert [sum(day[what] for day in told["days"]) for what in ("inserted", "updated")] == [3, 1]
    assert {day["day"] for day in told["days"]} <= {today.isoformat(), timezone.now().date().isoformat()}


def test_a_reader_is_told_of_retention_whatever_page_it_reads(crawl: Crawl) -> None:
    crawl.upload(crawl.task(), *[doc(f"{n}") for n in range(5)])
    stream = Stream.objects.get()
    page = read_changes(stream=stream, position=first_position(stream), limit=2)
    keep(crawl, documents=1)
    prune(crawl)
    rest = read_changes(stream=stream, position=page.next, limit=100)
    assert len(rest.changes) == 1 + 4
    assert rest.is_last
