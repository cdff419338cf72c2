"""Usage: counted where pages are read and documents come, rolled up by maintenance, told by `GET /usage`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from extraction.domain.pages_payload import PagesPayload
from extraction.domain.process_status import PageState
from extraction.services import page_table, slices
from extraction.services.process_lifecycle import add_first_pages
from extraction.services.processes import run_task
from extraction.services.tasks import create_task
from taskhub.usage import services
from taskhub.usage.models import AMOUNTS, UsageEntry
from taskhub.usage.services import add_usage, roll_up
from tests import crawler_client
from tests.conftest import Person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, 30, 30, tzinfo=UTC)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)


def entry(person: Person, minutes_ago: float, **amounts: int) -> None:
    UsageEntry.objects.create(owner=person.user, at=NOW - timedelta(minutes=minutes_ago), **amounts)


def spans() -> list[tuple[int, str, int]]:
    rows = UsageEntry.objects.order_by("at", "pages").values_list("span", "at", "pages")
    return [(span, f"{at:%d %H:%M:%S}", pages) for span, at, pages in rows]


def told(person: Person, **query: Any) -> list[dict[str, Any]]:
    answer = person.get("/usage", query)
    assert answer.status_code == 200, answer.content
    return list(answer.json()["results"])


def test_documents_of_uploads_are_counted(owner: Person, stranger: Person, colleague: Person) -> None:
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/", parameters=[]), {})
    task = crawler_client.start(owner, made["crawler"])
    for price in (1, 2, 2):
        body = crawler_client.lines([{"sku": "a", "price": price}, {"sku": f"b{price}"}])
        assert owner.post(f"/actions/tasks/{task['fid']}/upload", body).status_code == 200
    for person, sums in ((owner, (3, 1)), (colleague, (3, 1)), (stranger, (0, 0))):
        counts = told(person)
        assert (sum(one["inserted"] for one in counts), sum(one["updated"] for one in counts)) == sums


def test_nothing_is_no_entry(owner: Person) -> None:
    add_usage(owner.user.pk, pages=0, credits=0)
    assert not UsageEntry.objects.exists()


@pytest.mark.usefixtures("noon")
def test_entries_are_rolled_up_to_minutes_and_hours_and_go(owner: Person, stranger: Person) -> None:
    for minutes in (0.1, 0.2, 5.1, 5.2, 190, 191, 250, 60 * 24 * 36):
        entry(owner, minutes, pages=1)
    entry(stranger, 5.1, pages=10)
    before = told(owner, bucket="day")
    assert roll_up() > 0
    while roll_up():
        pass
    assert spans() == [
        (3600, "01 08:00:00", 1),
        (3600, "01 09:00:00", 2),
        (60, "01 12:25:00", 2),
        (60, "01 12:25:00", 10),
        (0, "01 12:30:18", 1),
        (0, "01 12:30:24", 1),
    ]
    assert told(owner, bucket="day") == before


@pytest.mark.usefixtures("noon")
def test_a_batch_has_an_end(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BATCH", 2)
    for _ in range(3):
        entry(owner, 5, **dict.fromkeys(AMOUNTS, 1))
    assert roll_up() == 2
    assert sorted(pages for _, _, pages in spans()) == [1, 2]
    roll_up()
    assert told(owner)[0] == {"bucket": "2026-03-01T12:00:00Z", **dict.fromkeys(AMOUNTS, 3)}


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    ("query", "pages"),
    [
        ({"bucket": "minute"}, [1, 2, 4]),
        ({}, [3, 4]),
        ({"since": "2026-03-01T12:00:00Z"}, [3]),
        ({"until": "2026-03-01T12:00:00Z"}, [4]),
        ({"bucket": "day"}, [7]),
    ],
)
def test_usage_is_told_by_time(owner: Person, query: dict[str, str], pages: list[int]) -> None:
    for minutes, number in ((1, 2), (20, 1), (45, 4)):
        entry(owner, minutes, pages=number)
    found = told(owner, **query)
    assert sorted(one["pages"] for one in found) == pages
    assert [one["bucket"] for one in found] == sorted(one["bucket"] for one in found)


@pytest.mark.parametrize("query", [{"bucket": "year"}, {"since": "yesterday"}, {"nonsense": "1"}])
def test_what_cannot_be_counted_is_told(owner: Person, query: dict[str, str]) -> None:
    answer = owner.get("/usage", query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(query))}"


def test_a_removed_user_leaves_nothing(owner: Person) -> None:
    add_usage(owner.user.pk, pages=1)
    type(owner.user).with_deleted.filter(pk=owner.user.pk).delete()
    assert not UsageEntry.objects.exists()


def test_pages_of_extraction_are_counted_with_what_they_cost(owner: Person) -> None:
    body = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
    process = run_task(task=create_task(owner=owner.user, body=body))
    add_first_pages(process=process, payload=PagesPayload.parse(body))
    for state in (PageState.READY, PageState.FAILED):
        slice, _ = slices.claim_slice(worker="test@test") or (None, None)
        assert slice
        (page,) = page_table.claim_pages(slice=slice, limit=10)
        slices.reserve(slice=slice, wanted=10)
        outcome = page_table.PageOutcome(page, state, cost=2, error="no", wait=0)
        page_table.write_batch(slice=slice, outcomes=[outcome], max_pages=10)
    assert [(entry.pages, entry.failed_pages, entry.credits) for entry in UsageEntry.objects.order_by("pk")] == [
        (0, 0, 2),
        (0, 1, 2),
    ]
