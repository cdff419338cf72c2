"""The pages that people open, in a real browser on a running hub."""

import re
from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.hub import Caller, Hub

pytestmark = pytest.mark.slow
PATIENCE = 30_000  # ms


def sign_in(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/admin/")
    page.get_by_label("E-mail").fill(hub.environment["TASKHUB_ADMIN_EMAIL"])
    page.get_by_label("Password").fill(hub.environment["TASKHUB_ADMIN_PASSWORD"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=PATIENCE)


def submit(person: Caller, walker: str, ctx: dict[str, Any]) -> str:
    answer = person.post("/js/walker_run", {"name": walker, "ctx": ctx, "is_async": True})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def until(person: Caller, run: str, *signs: bytes) -> None:
    """Waits for an event of the run that holds one of `signs`."""
    with person.session.get(f"{person.url}/runs/{run}/events", stream=True, timeout=30) as events:
        if any(sign in line for line in events.iter_lines() for sign in signs):
            return
    pytest.fail(f"The run ended without {signs}: {person.get(f'/runs/{run}').text}")


def row_of(page: Page, run: str) -> Locator:
    """The run's row in the list, looked up by its id as an operator would."""
    page.locator("#searchbar").fill(run)
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(re.compile(f"q={run}"))
    row = page.locator("#result_list tbody tr")
    expect(row).to_have_count(1)
    return row


def act(page: Page, row: Locator, action: str) -> None:
    row.get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option(label=action)
    page.get_by_role("button", name="Go", exact=True).click()


def test_an_operator_follows_cancels_and_tries_again(visit: Visit, hub: Hub) -> None:
    page, person = visit.page, hub.sign_up("Olga")
    run = submit(person, "pause", {"seconds": 600, "steps": 1200})
    until(person, run, b'"state":"PROGRESS"')
    sign_in(page, hub)
    page.locator(".model-run").get_by_role("link", name="Runs", exact=True).click()
    row = row_of(page, run)
    expect(row.locator(".field-state")).to_have_text("PROGRESS")
    expect(row.locator(".field-name")).to_have_text("pause")
    expect(row.locator(".field-owner")).to_contain_text(person.email)
    expect(row.locator("progress")).to_have_attribute("max", "1200")
    expect(row.locator("progress")).to_be_visible()

    act(page, row, "Cancel the selected runs")
    expect(page.locator(".messagelist")).to_have_text("1 runs cancelled.")
    expect(row.locator(".field-state")).to_have_text("REVOKED")
    assert person.get(f"/runs/{run}").json()["state"] == "REVOKED"

    act(page, row, "Try the selected runs again")
    page.get_by_role("button", name="Yes").click()  # what starts work asks first
    expect(page.locator(".messagelist")).to_have_text("1 runs accepted again.")
    row.locator(".field-created_at").get_by_role("link").click()
    lineage = page.locator(".field-shown_retries")
    lineage.get_by_role("link").click()
    expect(page.locator(".field-shown_retry_of").get_by_role("link")).to_have_attribute("href", re.compile(run))
    again = page.locator(".field-id .readonly").inner_text()
    assert again != run
    assert person.get(f"/runs/{again}").json()["retry_of"] == run
    assert hub.admin.post(f"/runs/{again}/cancel").json()["state"] == "REVOKED"
    assert (visit.strange_urls(hub.url), visit.troubles) == ([], [])


def test_the_docs_show_the_operations(visit: Visit, hub: Hub) -> None:
    page = visit.page
    document = hub.anonymous.get("/openapi.json").json()
    tags = Counter(said["tags"][0] for item in document["paths"].values() for said in item.values())
    page.goto(f"{hub.url}/docs/")
    expect(page.locator(".opblock-tag")).to_have_count(len(tags), timeout=PATIENCE)
    for tag, operations in tags.items():
        page.locator(f'.opblock-tag[data-tag="{tag}"]').click()
        expect(page.locator(".opblock")).to_have_count(operations, timeout=PATIENCE)
        page.locator(f'.opblock-tag[data-tag="{tag}"]').click()
    page.locator('.opblock-tag[data-tag="walker_runs"]').click()
    expect(page.locator(".opblock-summary-path", has_text="/docs/")).to_have_count(0)
    page.locator(".opblock", has_text="/js/walker_run").first.click()
    expect(page.locator(".opblock-body").first).to_be_visible()
    assert (visit.strange_urls(hub.url), visit.troubles) == ([], [])
