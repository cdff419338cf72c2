"""The operator's pages of extraction."""

import zlib
from typing import Any

import orjson
import pytest
from django.test import Client
from django.urls import reverse

from extraction.domain.process_status import PageState
from extraction.models import CreditAccount, CreditEntry, ExtractionPage, ExtractionTask, Process
from extraction.services import credits, process_lifecycle, processes
from extraction.services.payloads import check_payload
from extraction.services.tasks import create_task
from tests.conftest import Person, make_person

pytestmark = pytest.mark.django_db

PAYLOAD: dict[str, Any] = {
    "name": "Shop",
    "request": {"url": "http://127.0.0.1:9/", "headers": {"Authorization": "Basic s3cr3tword"}},
    "fields": [{"name": "a", "selector": "a"}],
}


@pytest.fixture
def root() -> Client:
    browser = Client()
    browser.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    return browser


@pytest.fixture
def process(owner: Person) -> Process:
    """Its first page is done and showed sixty records; one has failed, one waits."""
    process = processes.run_task(task=create_task(owner=owner.user, body=PAYLOAD))
    process_lifecycle.add_first_pages(process=process, payload=check_payload(process.payload, owner.user))
    records = zlib.compress(orjson.dumps([{"a": f"<b>{n}</b>"} for n in range(60)]))
    ExtractionPage.objects.update(state=PageState.DONE, records=records, status=200)
    for number, state in enumerate((PageState.FAILED, PageState.READY)):
        key = bytes([number]) * 16
        values = {"process": process, "key": key, "chain": key, "url": f"http://x/{number}", "rule": 0}
        ExtractionPage.objects.create(**values, state=state, status=404, error="The server answers 404.")
    Process.objects.update(pages=3, open=1, failed=1)
    return Process.objects.get()


def page(root: Client, name: str, row: Any) -> str:
    answer = root.get(reverse(f"admin:extraction_{name}_change", args=[row.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def act(root: Client, name: str, action: str, row: Any) -> str:
    address = reverse(f"admin:extraction_{name}_changelist")
    answer = root.post(address, {"action": action, "_selected_action": [row.pk], "post": "yes"}, follow=True)
    return answer.content.decode()


def test_a_process_shows_how_far_it_is_and_what_it_found(root: Client, process: Process) -> None:
    text = page(root, "process", process)
    assert '<progress value="2" max="3"></progress> 2 of 3' in text
    assert text.count("&lt;b&gt;") == 50  # a preview, in which a site's tags are text
    assert "s3cr3tword" not in text
    assert "s3cr3tword" not in page(root, "extractiontask", process.task)


def test_pages_of_a_process_by_state_and_status(root: Client, process: Process) -> None:
    address = reverse("admin:extraction_extractionpage_changelist")
    of_it = {"process__seq__exact": process.pk}
    assert "http://x/0" in root.get(address, of_it | {"state__exact": "failed"}).content.decode()
    text = root.get(address, of_it | {"state__exact": "failed", "status__exact": "404"}).content.decode()
    assert "http://x/0" in text
    assert "http://x/1" not in text
    assert "http://x/0" not in root.get(address, of_it | {"status__exact": "500"}).content.decode()


def test_actions(root: Client, process: Process) -> None:
    assert "1 processes started" in act(root, "extractiontask", "run_tasks", process.task)
    assert "1 processes stopped" in act(root, "process", "cancel_processes", process)
    process.refresh_from_db()
    assert process.status == "canceled"
    assert "has ended" in act(root, "process", "cancel_processes", process)
    assert "1 processes retried" in act(root, "process", "retry_processes", process)
    assert "has not ended" in act(root, "process", "retry_processes", process)
    assert "1 tasks deleted" in act(root, "extractiontask", "delete_tasks", process.task)
    assert ExtractionTask.objects.get().removed_at
    assert process.task
    assert process.task.id not in root.get(reverse("admin:extraction_extractiontask_changelist")).content.decode()


def test_search_by_id(root: Client, process: Process) -> None:
    address = reverse("admin:extraction_process_changelist")
    assert process.id in root.get(address, {"q": process.id}).content.decode()
    assert process.id not in root.get(address, {"q": process.id[:-1]}).content.decode().replace(f"?q={process.id}", "")


def test_top_up_and_limits(root: Client, owner: Person, process: Process) -> None:
    account = credits.credit_account(owner.user.pk)
    Process.objects.update(status="pending", missing=1)
    CreditAccount.objects.update(balance=0)
    address = reverse("admin:extraction_creditaccount_change", args=[account.pk])
    answer = root.post(address, {"amount": "25", "note": "gift", "max_pages": "9"}, follow=True)
    assert "+25 credits; 1 processes go on" in answer.content.decode()
    account.refresh_from_db()
    assert (account.balance, account.max_pages) == (25, 9)
    entry = CreditEntry.objects.get(kind="top_up")
    assert (entry.amount, entry.note, entry.by.email) == (25, "gift", "root@example.com")
    assert "below zero" in root.post(address, {"amount": "-26"}, follow=True).content.decode()
    ledger_page = root.get(reverse("admin:extraction_creditentry_changelist"), {"account__pk__exact": account.pk})
    assert "gift" in ledger_page.content.decode()
