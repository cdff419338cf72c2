"""The operator's pages of crawlers: what they show, and what their actions do."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from crawlers.models import Crawler, CrawlerTask, Document, External, RejectedLine, Stream
from tests import crawler_client
from tests.conftest import Person, make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def root() -> Client:
    browser = Client()
    browser.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    return browser


@pytest.fixture
def task(owner: Person) -> CrawlerTask:
    external = crawler_client.external(owner, "http://127.0.0.1:9/shop", headers={"Authorization": "canary"})
    made = crawler_client.crawler(owner, external, {"query": "shoe", "secret": "canary"})
    fid = crawler_client.start(owner, made["crawler"])["fid"]
    body = crawler_client.lines([{"sku": "<b>a</b>"}, {"sku": 5}])
    sent = owner.post(f"/actions/tasks/{fid}/upload?on_invalid=skip", body, content_type="application/x-ndjson")
    assert sent.status_code == 200
    return CrawlerTask.objects.get(fid=fid)


def page(root: Client, row: Any) -> str:
    address = reverse(f"admin:crawlers_{row._meta.model_name}_change", args=[row.pk])
    answer = root.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def act(root: Client, action: str, row: Any) -> str:
    """What the page says after an action on one row."""
    address = reverse(f"admin:crawlers_{row._meta.model_name}_changelist")
    answer = root.post(address, {"action": action, "_selected_action": [row.pk], "post": "yes"}, follow=True)
    return "; ".join(str(message) for message in answer.context["messages"])


def test_pages_show_what_belongs_together_and_no_secret(root: Client, task: CrawlerTask) -> None:
    assert task.crawler is not None
    address = "http://127.0.0.1:9/shop/task?version=1"
    task.calls.create(run=task.run, attempt=1, method="POST", url=address, error="refused", duration_ms=1)
    rows = [
        task,
        task.crawler,
        task.stream,
        task.external,
        Document.objects.get(task=task),
        RejectedLine.objects.get(task=task),
    ]
    pages = {type(row): page(root, row) for row in rows}
    assert not [kind for kind, text in pages.items() if "canary" in text or "<b>a</b>" in text]
    assert f"/admin/runs/run/{task.run_id}/change/" in pages[CrawlerTask]
    assert f"task__id__exact={task.pk}" in pages[CrawlerTask]
    assert "102" in pages[CrawlerTask]
    assert "POST http://127.0.0.1:9/shop/task?version=1  refused" in pages[CrawlerTask]
    lists = {
        name: root.get(reverse("admin:crawlers_crawlertask_changelist"), {"running": name}) for name in ("yes", "no")
    }
    assert {name: answer.context["cl"].result_count for name, answer in lists.items()} == {"yes": 1, "no": 0}
    assert f"stream__id__exact={task.stream_id}" in pages[Stream]
    assert f"external__id__exact={task.external_id}" in pages[External]
    assert "is not of type" in pages[RejectedLine]
    of_stream = root.get(reverse("admin:crawlers_document_changelist"), {"stream__id__exact": task.stream_id})
    assert of_stream.context["cl"].result_count == 1
    of_task = root.get(reverse("admin:crawlers_document_changelist"), {"task__id__exact": task.pk})
    assert of_task.context["cl"].result_count == 1
    none = root.get(reverse("admin:crawlers_document_changelist"), {"task__id__exact": 10**6})
    assert none.context["cl"].result_count == 0
    of_run = page_of_run(root, task)
    assert reverse("admin:crawlers_crawlertask_change", args=[task.pk]) in of_run


def page_of_run(root: Client, task: CrawlerTask) -> str:
    return str(root.get(reverse("admin:runs_run_change", args=[task.run_id])).content.decode())


def test_actions_on_tasks(root: Client, task: CrawlerTask) -> None:
    assert "is running" in act(root, "start_tasks", task.crawler)
    assert act(root, "time_out_tasks", task) == "1 tasks timed out."
    task.refresh_from_db()
    assert (task.code, task.message) == (408, "Timed out by an operator.")
    assert "has ended" in act(root, "time_out_tasks", task)
    assert act(root, "retry_tasks", task) == "1 tasks started again."
    task.refresh_from_db()
    assert (task.code, task.attempt) == (0, 2)
    assert act(root, "stop_tasks", task) == "1 tasks stopped."
    task.refresh_from_db()
    assert task.code == 499
    assert act(root, "start_tasks", task.crawler) == "1 tasks started."
    assert act(root, "delete_tasks", task) == "1 tasks deleted."
    assert (
        root.get(reverse("admin:crawlers_crawlertask_change", args=[task.pk])).status_code == 302
    )  # it is not there any more


def test_deletions_take_along_what_belongs_to_them(root: Client, task: CrawlerTask) -> None:
    assert "Crawlers use this external" in act(root, "delete_externals", task.external)
    assert act(root, "delete_crawlers", task.crawler) == "1 crawlers deleted."
    assert act(root, "delete_externals", task.external) == "1 externals deleted."
    assert act(root, "delete_streams", task.stream) == "1 streams deleted."
    for model in (Crawler, External, Stream):
        address = reverse(f"admin:crawlers_{model._meta.model_name}_changelist")
        assert root.get(address).context["cl"].result_count == 0
    task.refresh_from_db()
    assert task.code == 499
