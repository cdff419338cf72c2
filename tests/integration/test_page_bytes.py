"""A page of a list ends by what its rows weigh, too: every list whose rows may be large."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from crawlers.models import Crawler, CrawlerTask, RejectedLine
from extraction.models import ExtractionPage, Process
from sequences.models import SequenceStep
from sequences.services.sequence_runs import submit_sequence
from taskhub.runs.models import Run
from taskhub.runs.queue import submit
from taskhub.web import cursor_pagination
from taskhub.web.cursor_pagination import FIRST_ROWS, read_page
from tests import crawler_client
from tests.conftest import Person
from tests.problems import problem
from walkers.models import Node
from walkers.services.graphs import create_graph, spawn
from walkers.walks.principal import active_context

pytestmark = pytest.mark.django_db

ROWS = 3
LARGE = "x" * 6_000
EVERY_DAY = {"type": "interval", "conf": {"every": 1, "period": "days"}}
PAYLOAD: dict[str, Any] = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_pagination, "PAGE_BYTES", 10_000)


def externals(owner: Person) -> str:
    for _ in range(ROWS):
        crawler_client.external(owner, "http://127.0.0.1:9/", schema={"description": LARGE})
    return "/externals"


def crawlers(owner: Person) -> str:
    external = crawler_client.external(owner, "http://127.0.0.1:9/", parameters=[{"name": "a", "type": "string"}])
    for _ in range(ROWS):
        crawler_client.crawler(owner, external, {"a": LARGE})
    return "/crawlers"


def streams(owner: Person) -> str:
    for _ in range(ROWS):
        owner.post("/streams", {"meta": {"description": LARGE}})
    return "/streams"


def tasks(owner: Person) -> str:
    crawlers(owner)
    for fid in Crawler.objects.values_list("fid", flat=True):
        crawler_client.start(owner, {"fid": fid})
    return "/tasks"


def rejected_lines(owner: Person) -> str:
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/"))["crawler"]
    task = CrawlerTask.objects.get(fid=crawler_client.start(owner, made)["fid"])
    RejectedLine.objects.bulk_create(RejectedLine(task=task, line=n, reason="", body=LARGE) for n in range(ROWS))
    return f"/tasks/{task.fid}/rejected"


def runs(owner: Person) -> str:
    start = str(active_context(user=owner.user).graph_id)
    for _ in range(ROWS):
        arguments = {"name": "echo", "snt": "taskhub", "nd": start, "ctx": {}}
        submit(kind="walker", owner=owner.user, name="echo", arguments=arguments)
    Run.objects.update(progress={"done": 1, "total": None, "message": LARGE})
    return "/runs"


def sequences(owner: Person) -> str:
    for _ in range(ROWS):
        submit_sequence(arguments={"requests": []}, owner=owner.user)
    Run.objects.update(error={"type": "SequenceStopped", "message": LARGE})
    return "/sequences/runs"


def steps(owner: Person) -> str:
    run = submit_sequence(arguments={"requests": []}, owner=owner.user)
    step = {"path": "requests[0]", "method": "GET", "url": "http://h/", "duration_ms": 1, "answer": LARGE}
    SequenceStep.objects.bulk_create(SequenceStep(run=run, number=n + 1, **step) for n in range(ROWS))
    return f"/sequences/runs/{run.pk}/steps"


def deliveries(owner: Person) -> str:
    for _ in range(ROWS):
        owner.post("/webhooks/test", {"url": f"http://127.0.0.1:9/{LARGE[:1900]}"})
    Run.objects.update(error={"type": "Undelivered", "message": LARGE})
    return "/webhooks/deliveries"


def extraction_tasks(owner: Person) -> str:
    for _ in range(ROWS):
        owner.post("/v1/task/create", {**PAYLOAD, "request": {**PAYLOAD["request"], "headers": {"A": LARGE[:4000]}}})
    return "/v1/tasks"


def pages(owner: Person) -> str:
    task = owner.post("/v1/task/create", PAYLOAD).json()
    process = Process.objects.get(id=owner.post(f"/v1/task/{task['id']}/run").json()["id"])
    urls = {bytes([n]) * 16: f"http://127.0.0.1:9/{n}{LARGE}" for n in range(ROWS)}
    ExtractionPage.objects.bulk_create(
        ExtractionPage(process=process, key=key, chain=key, url=url) for key, url in urls.items()
    )
    return f"/v1/process/{process.id}/pages"


def schedules(owner: Person) -> str:
    for n in range(ROWS):
        sent = {"name": f"daily {n}", "schedule": EVERY_DAY, "body": {"name": "echo", "ctx": {"value": LARGE}}}
        assert owner.post("/js/add_scheduled_walker", sent).status_code == 200
    return "/js/get_scheduled_queues"


def schedules_by_offset(owner: Person) -> str:
    return f"{schedules(owner)}?asc=true&limit=0"


def nodes(owner: Person) -> str:
    graph = create_graph(owner=owner.user)
    for _ in range(ROWS - 1):
        spawn(source=graph.nodes.get(pk=graph.pk), kind="", context={"a": LARGE}, edge="", edge_context={})
    Node.objects.filter(pk=graph.pk).update(context={"a": LARGE})
    return f"/js/graph_get?gph={graph.pk}"


LISTS: list[Callable[[Person], str]] = [
    *(externals, crawlers, streams, tasks, rejected_lines, runs, sequences, steps, deliveries, extraction_tasks, pages),
    *(schedules, schedules_by_offset, nodes),
]


def page_of(answer: Any) -> tuple[list[Any], str | None, str | None]:
    """Results, and the addresses of the next page and of the one before."""
    assert answer.status_code == 200, answer.content
    body = answer.json()
    if isinstance(body, list):
        return body, answer.headers.get("Link", "").partition(">")[0].lstrip("<") or None, None
    body = body.get("payload", body)
    return body.get("results", body.get("nodes")), body["next"], body["previous"]


def walk(owner: Person, address: str | None) -> Iterator[tuple[list[Any], str | None]]:
    while address:
        results, address, previous = page_of(owner.get(address))
        yield results, previous


@pytest.mark.parametrize("make", LISTS, ids=lambda make: str(make.__name__))
def test_a_page_of_large_rows_is_short_and_none_is_lost(make: Any, owner: Person) -> None:
    owner.user.is_staff = True
    owner.user.save()
    read = list(walk(owner, make(owner)))
    assert [len(results) for results, _ in read] == [1] * ROWS
    assert len({str(results) for results, _ in read}) == ROWS
    if read[-1][1] and "offset" not in read[-1][1]:
        assert page_of(owner.get(read[-1][1]))[0] == read[-2][0]


def test_small_rows_fill_a_page_in_two_statements(
    owner: Person, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursor_pagination, "PAGE_BYTES", 100_000)
    now = timezone.now()
    Run.objects.bulk_create(Run(kind="walker", owner=owner.user, name="a", created_at=now) for _ in range(70))
    with django_assert_num_queries(2):
        page = read_page(Run.objects.brief(), "-id", 60)
    ids = [run.pk for run in Run.objects.order_by("-id")]
    assert ([run.pk for run in page.rows], page.has_next, page.has_previous) == (ids[:60], True, False)
    with django_assert_num_queries(1):
        page = read_page(Run.objects.brief(), "-id", FIRST_ROWS - 1, after=ids[60], backwards=True)
    assert [run.pk for run in page.rows] == ids[60 - FIRST_ROWS + 1 : 60]
    assert (page.has_next, page.has_previous) == (True, True)


def test_a_neighbourhood_is_refused_where_it_weighs_too_much(owner: Person) -> None:
    address = nodes(owner)
    problem(owner.get(f"/js/object_get?obj={address.partition('=')[2]}&depth=1"), 400, "/depth")
