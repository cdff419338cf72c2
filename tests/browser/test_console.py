"""The console in a real browser on a running hub: each page as a user and as staff, wide and narrow, light and dark."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests import crawler_client
from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_pages import PATIENCE, submit
from tests.hub import PASSWORD, Hub

pytestmark = pytest.mark.slow

AXE = Axe().axe_script
# Its whole answer, with all that keeps nobody out, takes longer to send than to find.
VIOLATIONS = """(options) => axe.run({resultTypes: ['violations'], ...options}).then(
    ({violations}) => violations.map(({id, nodes}) => `${id} ${nodes[0].target}`))"""
# What may change with nothing but the colours of a page.
OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def troubles(visit: Visit) -> list[str]:
    """Without what a page no longer waited for, such as an answer that is old."""
    given_up = ("htmx:afterRequest, ", "htmx:sendAbort, ")
    return [trouble for trouble in visit.troubles if not trouble.startswith(given_up)]


def check(visit: Visit, name: str, options: dict[str, Any] | None = None) -> None:
    """The page keeps nobody out, fits its window, and has no trouble."""
    page = visit.page
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    assert [f"{name}: {one}" for one in page.evaluate(VIOLATIONS, options or {})] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is too wide"
    assert troubles(visit) == []


def test_the_sign_in_keeps_nobody_out(visit: Visit, hub: Hub) -> None:
    visit.page.goto(f"{hub.url}/sign-in")
    check(visit, "sign-in")
    visit.page.keyboard.type("nobody@hub.example")
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.type("wrong password")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
    check(visit, "refused")
    visit.page.get_by_label("E-mail address").fill(hub.admin.email)
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_role("button", name="Sign in").click()
    visit.page.wait_for_url(f"{hub.url}/")
    expect(visit.page.get_by_label("Account")).to_be_visible()


def test_a_walker_is_started_by_its_form(visit: Visit, hub: Hub) -> None:
    page, person = visit.page, hub.sign_up("Quentin")
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    page.get_by_role("link", name="Start", exact=True).click()
    page.get_by_role("link", name="echo", exact=True).click()
    page.get_by_label("Value").fill("hello")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("value is not JSON.")).to_be_visible()
    expect(page.get_by_label("Value")).to_have_attribute("aria-invalid", "true")
    assert all("400" in trouble for trouble in visit.troubles)  # which the browser tells of, too
    visit.troubles.clear()
    check(visit, "refused-start")
    page.get_by_label("Value").fill('"hello"')
    page.get_by_text("Options of the run").click()
    page.get_by_label("Tags").fill("by hand")
    page.get_by_role("button", name="Start").dblclick()
    expect(page.locator("#summary .state")).to_have_text("success", timeout=PATIENCE)
    expect(page.locator("#summary")).to_contain_text("by hand")
    (run,) = person.get("/runs").json()["results"]
    assert page.url == f"{hub.url}/console/runs/{run['id']}"
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_a_schedule_is_made_while_its_next_fires_are_shown(visit: Visit, hub: Hub) -> None:
    page, person = visit.page, hub.sign_up("Sofia")
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    page.get_by_role("link", name="Schedules", exact=True).click()
    page.get_by_role("link", name="Make the first one").click()
    check(visit, "schedule-starts")
    page.get_by_role("link", name="echo", exact=True).click()
    times = page.locator("#preview time")
    expect(times).to_have_count(10)
    expect(page.get_by_label("Crontab", exact=True)).not_to_be_visible()
    page.get_by_label("by a crontab").check()
    expect(page.get_by_label("Every", exact=True)).not_to_be_visible()
    page.get_by_label("Crontab", exact=True).fill("30 2 30 3 *")
    page.get_by_label("Time zone").fill("Europe/Warsaw")
    page.get_by_label("Not before").fill("2098-03-01T00:00")
    expect(times.first).to_have_text("Sun 2098-03-30 03:00 CEST")  # nobody has pressed anything
    expect(page.locator("#preview")).to_contain_text("the clock leaves it out")
    page.get_by_label("Crontab", exact=True).press("End")
    page.keyboard.type(" 7")
    fault = page.locator("#id_crontab_error")
    expect(fault).to_contain_text("Must have five fields")
    expect(times).to_have_count(0)
    expect(page.get_by_label("Crontab", exact=True)).to_be_focused()
    check(visit, "schedule-fault")
    page.get_by_label("Crontab", exact=True).fill("0 6 * * *")
    expect(fault).to_be_empty()
    page.get_by_label("Not before").fill("")
    page.get_by_label("Arguments").fill('{"name": "nothing"}')
    expect(page.locator("#editor-arguments-faults")).to_contain_text("Line 1, column 2")
    page.get_by_label("Arguments").fill('{"name": "echo", "ctx": {"value": 1}}')
    expect(page.locator("#editor-arguments-faults")).to_have_text("No faults.")
    page.get_by_role("button", name="Make the schedule").dblclick()
    expect(page.get_by_text("The schedule is made.")).to_be_visible()
    (made,) = person.get("/schedules").json()["results"]
    assert made["when"] == {"crontab": "0 6 * * *", "timezone": "Europe/Warsaw"}
    page.get_by_role("link", name="Calendar").click()
    page.get_by_label("Day", exact=True).fill("2098-03-30")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="March 2098")).to_be_visible()
    expect(page.locator(".calendar td").first).to_have_css("display", "table-cell")  # a day of February, in its row
    page.get_by_role("link", name="Today").click()
    page.get_by_role("link", name="Week").click()
    expect(page.locator(".calendar").get_by_role("link", name="echo").first).to_be_visible()
    page.locator(".calendar").get_by_role("link", name="echo").first.click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("There are no schedules yet.")).to_be_visible()
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_a_document_is_found_in_its_stream(visit: Visit, hub: Hub, crawler: str) -> None:
    page, person = visit.page, hub.sign_up("Olga")
    made = crawler_client.crawler(person, crawler_client.external(person, crawler))
    crawler_client.ended(person, crawler_client.start(person, made["crawler"]))
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    page.get_by_role("link", name="Streams", exact=True).click()
    page.get_by_role("link", name="shoes").click()
    expect(page.get_by_role("region", name="Documents").get_by_role("row")).to_have_count(4)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    page.get_by_role("region", name="Documents").get_by_role("link").first.click()
    expect(page.locator(".json-tree")).to_contain_text("sku")
    check(visit, "document")
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_a_crawler_is_made_started_and_found(visit: Visit, hub: Hub, crawler: str) -> None:
    page, person = visit.page, hub.sign_up("Sofia")
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    crawler_client.external(person, crawler)
    page.keyboard.press("/")
    page.keyboard.type("sho")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{hub.url}/console/search?q=sho")
    check(visit, "found")
    page.get_by_role("link", name="shop").click()
    page.get_by_role("link", name="Make a crawler of it").click()
    page.get_by_label("Name").fill("boots")
    page.get_by_label("Query").fill("boots")
    page.get_by_label("Start a task at once").uncheck()
    page.get_by_role("button", name="Make it").click()
    page.get_by_role("link", name="Start it").click()
    page.get_by_role("spinbutton", name="Count").fill("501")
    page.get_by_role("spinbutton", name="Pause").fill("3")
    page.get_by_role("button", name="Start").dblclick()
    expect(page.locator("#summary .state").first).to_have_text("200 task done", timeout=PATIENCE)
    expect(page.locator("#summary")).to_contain_text("501 inserted")
    page.get_by_role("link", name="boots").first.click()
    expect(page.get_by_role("region", name="Tasks").locator("tbody tr")).to_have_count(1)
    (task,) = person.get("/tasks").json()["payload"]["results"]
    page.keyboard.press("/")
    page.keyboard.type(task["fid"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{hub.url}/console/crawlers/tasks/{task['fid']}")
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_a_filter_is_saved_and_deleted(visit: Visit, hub: Hub) -> None:
    page, person = visit.page, hub.sign_up("Tove")
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_label("failure").check()
    page.get_by_role("button", name="Save this filter").click()
    page.get_by_label("Name", exact=True).fill("failed")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The filter failed is saved.")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    page.get_by_role("link", name="failed", exact=True).click()
    expect(page.get_by_label("failure")).to_be_checked()
    check(visit, "saved-filter")
    page.get_by_role("button", name="Rename or delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("The filter is deleted.")).to_be_visible()
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_a_task_is_built_by_looking_at_a_page(visit: Visit, hub: Hub, shop: str) -> None:
    page, person = visit.page, hub.sign_up("Rosa")
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    page.get_by_role("link", name="Extraction", exact=True).click()
    page.get_by_role("link", name="Look at a page").first.click()
    page.get_by_label("Address").fill(f"{shop}/")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("heading", name="Suggestion 1")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#sample")).to_contain_text("Book 1")
    check(visit, "suggestions")
    page.get_by_text("Try, change or keep it").first.click()
    page.get_by_role("button", name="Try it").first.click()
    expect(page.get_by_role("heading", name="Fields")).to_be_visible(timeout=PATIENCE)
    check(visit, "preview")
    page.get_by_role("button", name="Keep it as a task").click()
    expect(page.get_by_text("The task is made.")).to_be_visible()
    assert len(person.get("/v1/tasks").json()) == 1
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])


def test_runs_are_seen_moving_and_acted_upon(visit: Visit, hub: Hub) -> None:
    page, person = visit.page, hub.sign_up("Paula")
    sign_in(page, hub, person.email)
    page.goto(hub.url)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_text("Nothing has run yet.")).to_be_visible()
    run = submit(person, "pause", {"seconds": 600, "steps": 1200})
    row = page.locator(f"#row-{run}")
    expect(row.locator(".state")).to_have_text("progress", timeout=PATIENCE)  # the page was not loaded anew

    page.get_by_label("success").check()
    expect(page.get_by_text("No run is like that.")).to_be_visible()
    page.wait_for_url(f"{hub.url}/console/runs?state=SUCCESS")
    page.get_by_role("link", name="Clear").click()
    row.get_by_role("link").click()

    expect(page.locator("#summary progress")).to_have_attribute("max", "1200")
    done = page.locator("#summary progress").get_attribute("value")
    expect(page.locator("#summary progress")).not_to_have_attribute("value", done or "", timeout=PATIENCE)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_text("The run is cancelled.")).to_be_visible()
    assert person.get(f"/runs/{run}").json()["state"] == "REVOKED"

    page.get_by_role("link", name="Run again").click()
    page.get_by_label("Arguments").fill('{"ctx": {"seconds": 0.1, "steps": 1}}')
    page.get_by_role("button", name="Run with these arguments").click()
    expect(page.locator("#summary .state")).to_have_text("success", timeout=PATIENCE)
    expect(page.locator("#values")).to_contain_text("report", timeout=PATIENCE)
    page.get_by_label("Search in Arguments").fill("seconds")
    expect(page.locator("mark")).to_have_text(["seconds"])

    page.get_by_role("link", name="Runs", exact=True).first.click()
    page.locator(f"#select-{run}").check()
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("button", name="Run them again").click()
    expect(page.get_by_text("1 run accepted again.")).to_be_visible()
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel them").click()
    expect(page.get_by_text("1 run cancelled.")).to_be_visible()

    page.get_by_label("Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])
