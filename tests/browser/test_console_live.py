"""Pages of the console that stay open: what moves in them disturbs nobody, costs little, and ends with the session."""

import pytest
from playwright.sync_api import Page, Request, Response, expect

from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_console import troubles
from tests.browser.test_pages import PATIENCE, submit
from tests.hub import Caller, Hub

pytestmark = pytest.mark.slow

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def person(hub: Hub, visit: Visit) -> Caller:
    person = hub.sign_up("Sara")
    sign_in(visit.page, hub, person.email)
    return person


def is_refresh(response: Response) -> bool:
    return "hx-request" in response.request.headers


def is_stream(request: Request) -> bool:
    return request.resource_type == "eventsource"


def await_refreshes(page: Page, number: int = 2) -> None:
    for _ in range(number):
        with page.expect_response(is_refresh, timeout=PATIENCE):
            pass


def test_rows_that_come_anew_disturb_nobody(visit: Visit, hub: Hub, person: Caller) -> None:
    page, run = visit.page, submit(person, "pause", {"seconds": 600, "steps": 1200})
    page.goto(f"{hub.url}/console/runs")
    row = page.locator(f"#row-{run}")
    expect(row.locator(".state")).to_have_text("progress", timeout=PATIENCE)
    done = row.locator("progress").get_attribute("value") or ""
    row.get_by_role("checkbox").check()
    row.get_by_role("link").focus()
    submit(person, "echo", {"value": "another"})
    await_refreshes(page)
    expect(page.locator("tbody tr")).to_have_count(2, timeout=PATIENCE)
    expect(row.locator("progress")).not_to_have_attribute("value", done, timeout=PATIENCE)
    expect(row.get_by_role("link")).to_be_focused()
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(page.locator("[data-selected]")).to_have_text("1 selected")
    person.post(f"/runs/{run}/cancel")
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_a_page_has_one_stream_and_none_while_nobody_looks(visit: Visit, hub: Hub, person: Caller) -> None:
    page, run = visit.page, submit(person, "pause", {"seconds": 600, "steps": 1200})
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if is_stream(request) else None)
    page.goto(f"{hub.url}/console/runs/{run}")
    progress = page.locator("#summary progress")
    expect(progress).to_be_visible(timeout=PATIENCE)
    expect(progress).not_to_have_attribute("value", progress.get_attribute("value") or "", timeout=PATIENCE)
    assert len(streams) == 1
    with page.expect_event("requestfailed", is_stream):
        page.evaluate(HIDE, True)
    with page.expect_request(is_stream):
        page.evaluate(HIDE, False)
    person.post(f"/runs/{run}/cancel")
    expect(page.locator("#summary .state")).to_have_text("revoked", timeout=PATIENCE)
    expect(page.locator("#values")).to_contain_text("Arguments")
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_pages_that_are_open_lead_to_the_sign_in_when_the_session_ends(visit: Visit, hub: Hub, person: Caller) -> None:
    page, run = visit.page, submit(person, "pause", {"seconds": 600, "steps": 1200})
    page.goto(f"{hub.url}/console/runs/{run}")
    expect(page.locator("#summary progress")).to_be_visible(timeout=PATIENCE)
    rows = page.context.new_page()
    rows.goto(f"{hub.url}/console/runs?kind=walker")
    other = page.context.new_page()
    other.goto(hub.url)
    other.get_by_label("Account").click()
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    other.go_back()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    for opened in (rows, page):
        opened.wait_for_url("**/sign-in?next=*", timeout=PATIENCE)
        expect(opened.locator("main")).to_have_count(1)
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{hub.url}/console/runs/{run}")
    person.post(f"/runs/{run}/cancel")


def test_a_button_that_is_pressed_twice_acts_once(visit: Visit, hub: Hub, person: Caller) -> None:
    page, run = visit.page, submit(person, "echo", {"value": "hello"})
    person.get("/js/walker_queue_wait", {"task_id": run, "timeout": 60})
    page.goto(f"{hub.url}/console/runs/{run}/again")
    page.get_by_role("button", name="Run again").dblclick()
    expect(page.get_by_text("It runs again")).to_be_visible()
    assert len(person.get("/runs", {"retry_of": run}).json()["results"]) == 1
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])
