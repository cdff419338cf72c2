"""A newcomer's path by clicking alone: a first sequence and its schedule, a first file, a first stream."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_console import troubles
from tests.browser.test_pages import PATIENCE
from tests.hub import Hub

pytestmark = pytest.mark.slow


def go_to(page: Page, place: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=place, exact=True).click()


def store_a_sequence(page: Page, hub: Hub) -> None:
    go_to(page, "Sequences")
    page.get_by_role("link", name="New sequence").click()
    is_it_there = {"requests": [{"method": "GET", "url": f"{hub.url}/livez", "save_to": "answer"}]}
    page.get_by_label("Sequence", exact=True).fill(json.dumps(is_it_there))
    expect(page.locator("#editor-sequence-faults")).to_contain_text("No faults.")
    page.get_by_label("Name").fill("is-it-there")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("It is stored as version 1.")).to_be_visible()


def schedule_it(page: Page) -> str:
    """From the page of the sequence to the end of a run; the schedule's number."""
    page.get_by_role("link", name="Schedule it").click()
    page.get_by_label("Every", exact=True).fill("5")
    page.get_by_label("Unit").select_option("minutes")
    expect(page.locator("#preview li")).to_have_count(10)
    expect(page.locator("#preview li").last).to_contain_text(" min")  # by then, not hours as at first
    page.get_by_role("button", name="Make the schedule").click()
    expect(page.get_by_text("The schedule is made.")).to_be_visible()
    number = page.url.rpartition("/")[2]
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("button", name="Start it").click()
    expect(page.get_by_text("A run is started: this is it.")).to_be_visible()
    expect(page.locator("#summary .state")).to_have_text("success", timeout=PATIENCE)
    expect(page.locator("#story")).to_contain_text("/livez", timeout=PATIENCE)
    return number


def extract_a_file(page: Page, shop: str) -> str:
    """What is in the file."""
    go_to(page, "Extraction")
    page.get_by_role("link", name="Look at a page").first.click()
    page.get_by_label("Address").fill(f"{shop}/")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("heading", name="Suggestion 1")).to_be_visible(timeout=PATIENCE)
    page.get_by_text("Try, change or keep it").first.click()
    page.get_by_role("button", name="Keep it as a task").first.click()
    expect(page.get_by_text("The task is made.")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("It is started: this is the process.")).to_be_visible()
    results = page.get_by_role("link", name="Results")
    expect(results).to_be_visible(timeout=PATIENCE)  # the page was not loaded anew
    with page.expect_download() as download:
        results.click()
    return Path(download.value.path()).read_text()


def fill_a_stream(page: Page, endpoint: str) -> None:
    go_to(page, "Crawlers")
    page.get_by_role("link", name="External crawlers").click()
    page.get_by_role("link", name="Register one", exact=True).click()
    page.get_by_label("Name", exact=True).fill("shop")
    page.get_by_label("Endpoint").fill(endpoint)
    page.get_by_role("button", name="Register").click()
    page.get_by_role("link", name="Make a crawler of it").click()
    page.get_by_label("Name", exact=True).fill("first stream")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("region", name="Tasks")).to_contain_text("200 task done", timeout=PATIENCE)
    go_to(page, "Streams")
    page.get_by_role("link", name="first stream").click()
    expect(page.get_by_role("region", name="Documents").get_by_role("row")).to_have_count(4)


def test_a_newcomer_comes_to_a_schedule_a_file_and_a_stream(visit: Visit, hub: Hub, shop: str, crawler: str) -> None:
    page, person = visit.page, hub.sign_up("Nora")
    assert hub.admin.patch(f"/users/{person.id}", {"role": "operator"}).status_code == 200  # sequences are for staff
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    store_a_sequence(page, hub)
    schedule = schedule_it(page)
    assert "Book 24" in extract_a_file(page, shop)
    fill_a_stream(page, crawler)
    assert hub.admin.delete(f"/schedules/{schedule}").status_code == 204  # else it goes on while other tests run
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])
