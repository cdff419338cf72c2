"""Records over time: each once, as many as may be, and compared with those of the process before."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from extraction import worker_loop
from extraction.models import ExtractionPage, ExtractionTask, Process
from extraction.services import process_lifecycle, processes, retention, tasks
from extraction.services.result_export import ResultExport
from extraction.services.result_files import open_result
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_runs import carried, extracted, page, records
from tests.extraction_sites import Reply, Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

FIELDS = [{"name": "id", "selector": "b"}, {"name": "price", "selector": "i"}]
PAYLOAD: dict[str, Any] = {"commonParent": "p", "fields": FIELDS, "unique": "id", "changes": True, "format": "JSON"}


def shop(**prices: int) -> Reply:
    return html("".join(f"<p><b>{name}</b><i>{price}</i></p>" for name, price in prices.items()))


def stored(owner: Person, site: Site, **payload: Any) -> ExtractionTask:
    body = {"payload": {"request": {"url": f"{site.url}/"}, **PAYLOAD, **payload}, "webhook": f"{site.url}/hook"}
    return tasks.create_task(owner=owner.user, body=body)


def began(task: ExtractionTask) -> Process:
    process = processes.run_task(task=task)
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    return process


def ran(task: ExtractionTask) -> Process:
    process = carried(began(task))
    assert process.status == "finished", process.error
    return process


def told(process: Process) -> dict[str, str]:
    return {record["id"]: record["_change"] for record in records(process)}


def test_records_say_what_became_of_them(owner: Person, site: Site) -> None:
    site.pages["/"] = shop(a=1, b=2, c=3)
    task = stored(owner, site)
    first = ran(task)
    assert told(first) == {"a": "new", "b": "new", "c": "new"}
    site.pages["/"] = shop(c=3, d=4, a=9)
    second = ran(task)
    assert told(second) == {"c": "same", "d": "new", "a": "changed", "b": "gone"}
    assert records(second)[-1] == {"id": "b", "price": "2", "_change": "gone"}
    with open_result(second.results) as file:
        assert json.loads(file.read()) == records(second)
    assert second.changes == {"same": 1, "new": 1, "changed": 1, "gone": 1}
    assert told(first) == {"a": "new", "b": "new", "c": "new"}
    assert set(told(ran(task)).values()) == {"same"}
    assert owner.get(f"/runs/{second.run_id}").json()["result"]["changes"] == second.changes


def test_only_what_changed(owner: Person, site: Site) -> None:
    site.pages["/"] = shop(a=1, b=2)
    task = stored(owner, site, changes="only")
    assert told(ran(task)) == {"a": "new", "b": "new"}
    site.pages["/"] = shop(a=1, b=3)
    assert told(ran(task)) == {"b": "changed"}
    assert told(ran(task)) == {}


def test_webhooks_are_told_of_changes_alone(owner: Person, site: Site) -> None:
    site.pages["/"] = shop(a=1)
    task = stored(owner, site)
    ran(task)
    ran(task)
    assert not Run.objects.filter(kind="webhook", name="process.changed").exists()
    site.pages["/"] = shop(a=2)
    process = ran(task)
    [delivery] = Run.objects.filter(kind="webhook", name="process.changed")
    assert (delivery.parent_id, delivery.arguments["data"]["changes"]) == (process.run_id, {"changed": 1})
    assert delivery.arguments["data"]["id"] == process.id
    assert Run.objects.filter(kind="webhook", name="process.finished", parent_id=process.run_id).count() == 1


def test_without_unique_fields_a_record_is_the_same_or_another(owner: Person, site: Site) -> None:
    site.pages["/"] = html("<p><b>a</b></p><p><b>a</b></p><p><b>b</b></p>")
    task = stored(owner, site, unique=None)
    assert [record["_change"] for record in records(ran(task))] == ["new", "new", "new"]
    site.pages["/"] = shop(a=1) if False else html("<p><b>a</b></p><p><b>c</b></p>")
    assert [(record["id"], record["_change"]) for record in records(ran(task))] == [
        ("a", "same"),
        ("c", "new"),
        ("b", "gone"),
    ]


def test_nothing_is_gone_where_pages_failed_and_times_are_no_changes(owner: Person, site: Site) -> None:
    site.other = lambda path, before: shop(**{path[1:]: 1})
    urls = [f"{site.url}/{name}" for name in "abc"]
    task = stored(owner, site, request={"urls": urls}, meta=True)
    ran(task)
    site.pages["/b"] = Reply("gone", 404)
    assert told(ran(task)) == {"a": "same", "c": "same"}
    assert told(ran(task)) == {"a": "same", "c": "same"}


def test_processes_that_did_not_finish_are_not_compared_with(owner: Person, site: Site) -> None:
    site.pages["/"] = shop(a=1)
    task = stored(owner, site)
    first = ran(task)
    canceled = began(task)
    processes.cancel_process(process=canceled)
    canceled = carried(canceled)
    assert canceled.status == "canceled"
    site.pages["/"] = Reply("away", 404)
    assert carried(began(task)).status == "failed"
    site.pages["/"] = shop(a=2)
    last = ran(task)
    assert (last.compared_with, told(last)) == (first.pk, {"a": "changed"})


def test_what_is_compared_with_is_chosen_once_whoever_writes(
    owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker dies after the file is written and before that is on record; meanwhile another process has finished."""
    site.pages["/"] = shop(a=1)
    task = stored(owner, site)
    first = ran(task)
    site.pages["/"] = shop(a=2)
    process = began(task)
    finish = process_lifecycle.finish_process

    def die(**_: Any) -> bool:
        raise KeyboardInterrupt

    slice, claimed = _claim_result(process)
    monkeypatch.setattr(process_lifecycle, "finish_process", die)
    with pytest.raises(KeyboardInterrupt):
        worker_loop.write_results(slice=slice, process=claimed)
    monkeypatch.setattr(process_lifecycle, "finish_process", finish)
    other = Process.objects.create(
        task=task,
        owner=owner.user,
        payload=process.payload,
        format="json",
        status="finished",
        finished_at=timezone.now(),
    )
    process_lifecycle.end_slice(slice=slice)
    process = carried(process)
    assert (process.compared_with, process.changes) == (first.pk, {"changed": 1})
    assert other.pk != process.compared_with
    deliveries = Run.objects.filter(kind="webhook", name="process.changed", parent_id=process.run_id)
    assert deliveries.count() == 1


def _claim_result(process: Process) -> tuple[Any, Process]:
    """A slice for the result of a process whose pages have all come."""
    from extraction.services import slices
    from extraction.services.slices import SliceSort

    for _ in range(50):
        claimed = slices.claim_slice(worker="dying@test", sorts=[SliceSort.RESULT])
        if claimed and claimed[1].pk == process.pk:
            return claimed
        page_slice = slices.claim_slice(worker="pages@test", sorts=[SliceSort.BASE])
        if page_slice:
            _fetch(*page_slice)
    raise AssertionError("no result is to be written")


def _fetch(slice: Any, process: Process) -> None:
    import asyncio

    from extraction import fetch_loop

    asyncio.run(fetch_loop.fetch_slice(slice, process, asyncio.Event()))


def test_a_process_that_is_retried_is_compared_anew(owner: Person, site: Site) -> None:
    site.other = lambda path, before: shop(**{path[1:]: 1})
    urls = [f"{site.url}/{name}" for name in "abc"]
    task = stored(owner, site, request={"urls": urls})
    site.pages["/c"] = Reply("away", 404)
    first = ran(task)
    second = ran(task)
    assert second.compared_with == first.pk
    del site.pages["/c"]
    process_lifecycle.retry_process(process=second)
    second = carried(second)
    assert (told(second), second.compared_with) == ({"a": "same", "b": "same", "c": "new"}, first.pk)


def test_the_last_process_of_a_task_is_kept_to_be_compared_with(owner: Person, site: Site) -> None:
    site.pages["/"] = shop(a=1)
    compared, other = stored(owner, site), stored(owner, site, changes=None)
    kept, goes = [ran(compared), ran(compared)], ran(other)
    Process.objects.update(finished_at=timezone.now() - timedelta(days=1000))
    Process.objects.filter(pk=kept[1].pk).update(finished_at=timezone.now() - timedelta(days=999))
    while retention.prune():
        pass
    assert set(Process.objects.values_list("pk", flat=True)) == {kept[1].pk}
    assert goes.pk not in set(ExtractionPage.objects.values_list("process_id", flat=True))
    retention.delete_task(task=compared)
    while retention.prune():
        pass
    assert not Process.objects.exists()


def test_one_record_for_each_value_of_the_unique_fields(owner: Person, site: Site) -> None:
    site.pages["/"] = html(
        "<p><b>a</b><i>1</i></p><p><b>a</b><i>2</i></p><p><i>3</i></p><p><i>3</i></p><p><b>b</b></p>"
    )
    process = extracted(owner, site, commonParent="p", fields=FIELDS, unique=["id"])
    assert [(record["id"], record["price"]) for record in records(process)] == [
        ("a", "1"),
        (None, "3"),
        (None, "3"),
        ("b", None),
    ]
    both = extracted(owner, site, commonParent="p", fields=FIELDS, unique=["id", "price"])
    assert len(records(both)) == 4


@pytest.mark.parametrize(("most", "asked"), [(1, 1), (3, 2), (4, 2), (100, 5)])
def test_a_limit_of_records_ends_the_process(owner: Person, site: Site, most: int, asked: int) -> None:
    def answer(path: str, before: int) -> Reply:
        number = int(path.partition("=")[2] or 1)
        onward = f'<a href="/?p={number + 1}">next</a>' if number < 5 else ""
        return html(f"<p><b>{number}a</b></p><p><b>{number}b</b></p>{onward}")

    site.other = answer
    process = extracted(owner, site, commonParent="p", fields=FIELDS[:1], paginator="a", maxRecords=most)
    names = [f"{number}{letter}" for number in range(1, 6) for letter in "ab"]
    assert [record["id"] for record in records(process)] == names[:most]
    assert (process.status, process.pages, process.open) == ("finished", asked, 0)


def test_a_limit_of_records_leaves_their_details_in(owner: Person, site: Site) -> None:
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    site.pages["/list"] = html("".join(f'<p><a href="/{n}">{n}</a></p>' for n in range(9)))
    fields = [{"name": "a", "selector": "a", "details": {"fields": [{"name": "h", "selector": "h1"}]}}]
    urls = [f"{site.url}/list", *(f"{site.url}/more{n}" for n in range(200))]
    process = extracted(owner, site, request={"urls": urls}, fields=fields, maxRecords=3)
    assert [record["a_details"] for record in records(process)] == [[{"h": f"/{n}"}] for n in range(3)]
    assert page(process, "/2").state == "done"
    assert site.hits["/3"] == 0  # of a record that is not in the result
    assert process.status == "finished"
    assert process.pages == ExtractionPage.objects.filter(process=process).count()


LINKED = [
    {"name": "file", "selector": "u a", "download": True},
    {"name": "more", "selector": "b a", "details": {"fields": [{"name": "h", "selector": "h1"}]}},
]


@pytest.mark.parametrize(
    ("terms", "asked"),
    [
        ({"maxRecords": 4}, [1, 2, 3, 4]),
        ({"maxRecords": 3}, [1, 2, 3]),
        ({"maxRecords": 3, "paginator": None}, [1, 2, 3]),
        ({"maxRecords": 9}, [1, 2, 3, 4, 5, 6]),
        ({"maxRecords": 3, "unique": "file"}, [1, 2, 3, 4]),  # it is not known which records are the first
    ],
    ids=["of the second page", "in a page", "of one page", "more than there are", "of unique ones"],
)
def test_files_and_details_of_records_beyond_the_limit_are_not_asked_for(
    owner: Person, site: Site, terms: dict[str, Any], asked: list[int]
) -> None:
    def listing(first: int, onward: str = "") -> Reply:
        numbers = range(first, first + (2 if terms.get("paginator", "i a") else 6))
        blocks = (f'<p><u><a href="/file{n}">f</a></u><b><a href="/details{n}">d</a></b></p>' for n in numbers)
        return html("".join(blocks) + (f'<i><a href="{onward}">next</a></i>' if onward else ""))

    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    site.pages |= {"/": listing(1, "/2"), "/2": listing(3, "/3"), "/3": listing(5)}
    payload = {"commonParent": "p", "fields": LINKED, "paginator": "i a", **terms}
    process = extracted(owner, site, **{name: value for name, value in payload.items() if value is not None})
    assert process.status == "finished", list(ExtractionPage.objects.values_list("url", "error"))
    assert len(records(process)) == min(6, terms["maxRecords"])
    for name in ("file", "details"):
        assert [number for number in range(1, 7) if site.hits[f"/{name}{number}"]] == asked


def test_an_export_while_a_process_runs_tells_no_changes(owner: Person, site: Site) -> None:
    site.pages["/"] = shop(a=1)
    process = ran(stored(owner, site))
    process.compared_with = None
    assert list(ResultExport(process).records()) == [{"id": "a", "price": "1", "_change": None}]


@pytest.mark.parametrize(
    ("place", "terms"),
    [
        ("/unique/0", {"unique": "nothing"}),
        ("/unique/1", {"unique": ["id", "gone"]}),
        ("/unique", {"unique": [5]}),
        ("/changes", {"changes": "some"}),
        ("/changes", {"changes": 1}),
        ("/maxRecords", {"maxRecords": 0}),
        ("/fields/0/name", {"changes": True, "fields": [{"name": "_change", "selector": "b"}], "unique": None}),
    ],
)
def test_faults_have_their_places(owner: Person, place: str, terms: dict[str, Any]) -> None:
    sent = {"request": {"url": "http://x.example/"}, **PAYLOAD, **terms}
    answer = owner.post("/v1/task/create", {name: value for name, value in sent.items() if value is not None})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [place]
