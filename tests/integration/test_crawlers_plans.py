"""Plans of what reads and removes documents: along an index, also before PostgreSQL knows anything of the table."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from crawlers.models import CrawlerTask, Document, Stream
from crawlers.services import (
    change_feed,
    document_removal,
    document_retention,
    document_selection,
    stream_reader,
    stream_statistics,
)
from crawlers.services.document_selection import DocumentSelection
from taskhub.db.plans import reads_along_indexes
from tests import crawler_client
from tests.conftest import make_person, undone_in_the_end
from tests.table_statistics import forget_statistics

pytestmark = pytest.mark.django_db
NUMBER = 40_000
OF_OTHERS = "rows of other streams"
WHOLE = {"Sort", "Seq Scan", "Bitmap Heap Scan", OF_OTHERS}  # what looks at all rows before it gives the first


@pytest.fixture(scope="module")
def task(django_db_setup: None, django_db_blocker: Any) -> Iterator[CrawlerTask]:
    """A task of whose rows most are other streams' by now: as where many streams are written at once."""
    with django_db_blocker.unblock(), undone_in_the_end():
        owner = make_person("owner@example.com")
        made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/shop"), start=True)
        lines = crawler_client.lines([{"sku": f"{n:06}"} for n in range(NUMBER)])
        answer = owner.post(f"/actions/tasks/{made['task']['fid']}/upload", lines, content_type="text/plain")
        assert answer.json()["inserted"] == NUMBER
        with connection.cursor() as cursor:
            cursor.execute("UPDATE crawlers_document SET stream_id = stream_id + id % 100")
        yield CrawlerTask.objects.get()


def learn_statistics() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE crawlers_document")


def nodes(plan: dict[str, Any]) -> set[str]:
    own = {plan["Node Type"]} | ({OF_OTHERS} if "stream_id" in plan.get("Filter", "") else set())
    return own.union(*(nodes(inner) for inner in plan.get("Plans", [])))


def plan_of(statement: str, values: dict[str, Any]) -> set[str]:
    with reads_along_indexes(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT json) {statement}", values)
        return nodes(cursor.fetchone()[0][0]["Plan"])


@pytest.mark.parametrize("is_analyzed", [False, True])
@pytest.mark.parametrize("conditions", [{}, {"since": datetime(2020, 1, 1, tzinfo=UTC)}, {"where": "$.sku"}])
@pytest.mark.parametrize("of_task", [False, True])
def test_documents_are_read_along_an_index(
    task: CrawlerTask, conditions: dict[str, Any], of_task: bool, is_analyzed: bool
) -> None:
    learn_statistics() if is_analyzed else forget_statistics(Document)
    for newest in (False, True):
        selection = DocumentSelection(Stream.objects.get(), task if of_task else None, newest=newest, **conditions)
        values = selection.values(selection.next_stretch(selection.start, 1000)) | {"limit": 100, "bytes": 100}
        statement = selection.statement("id, key, task_id, at, body")
        for read in (statement, f"{statement} LIMIT 100", stream_reader.page_statement(selection)):
            assert not plan_of(read, values) & WHOLE
    end = {"stream": task.stream_id, "after": "", "stretch": 1000}
    assert not plan_of(document_selection._END_OF_STRETCH, end) & WHOLE
    rows = end | {"above": 0, "below": document_selection.ROW_MAX}
    for direction in ("ASC", "DESC"):
        assert not plan_of(document_selection._ROWS_OF_STRETCH.format(direction=direction), rows) & WHOLE


def test_changes_are_read_along_an_index(task: CrawlerTask) -> None:
    values: dict[str, Any] = {"stream": task.stream_id, "removed": [], "after": 0, "began": 0, "limit": 100}
    values |= {"upto": task.last_row, "highest": 10**9, "bytes": 10**6}
    puts = change_feed._PUTS.format(is_shown=document_selection.IS_SHOWN)
    assert not plan_of(change_feed._WITHIN_BYTES.format(changes=puts), values) & WHOLE
    # The few versions of one document are sorted.
    found = plan_of(change_feed._WITHIN_BYTES.format(changes=change_feed._TOMBSTONES), values)
    assert not found & (WHOLE - {"Sort"})


def test_samples_and_what_is_too_old_are_read_along_an_index(task: CrawlerTask) -> None:
    values: dict[str, Any] = {"stream": task.stream_id, "removed": [], "most": 100, "rows": 100, "limit": 10}
    part = stream_statistics._PART.format(is_shown=document_selection.IS_SHOWN)
    assert not plan_of(part, values | {"first": 0, "end": 10**9}) & WHOLE
    values |= {"after": 0, "upto": 10**9, "since": timezone.now(), "surplus": 0}
    assert not plan_of(document_retention._DROP, values) & WHOLE


def test_documents_are_removed_along_an_index(task: CrawlerTask) -> None:
    values: dict[str, Any] = {
        "task": task.pk,
        "fid": task.fid,
        "stream": task.stream_id,
        "removed": timezone.now(),
        "batch": 100,
    }
    values |= {"after": (task.first_row or 0) - 1, "last": task.last_row}
    assert not plan_of(document_removal._DELETE_OF_TASK, values) & WHOLE
    assert not plan_of(document_removal._DELETE_OF_STREAM, values) & WHOLE
    assert Document.objects.count() == NUMBER
