"""Forms of the console that are not taken: what somebody has typed is there again, when it may be sent again."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_pages import PATIENCE
from tests.hub import PASSWORD, Caller, Hub

pytestmark = pytest.mark.slow

RULE = "/console/notifications/new"
BACK = "It was not taken. What you typed is here again."


@pytest.fixture
def person(hub: Hub, visit: Visit) -> Caller:
    person = hub.sign_up("Tilda")
    sign_in(visit.page, hub, person.email)
    return person


def write_rule(page: Page, hub: Hub) -> None:
    page.goto(hub.url + RULE)
    page.get_by_label("Name", exact=True).first.fill("tell me")
    page.get_by_label("run.failed").check()
    page.get_by_label("to a webhook").check()
    page.get_by_label("Address", exact=True).fill("https://tell.example.com/me")
    page.get_by_label("Kind").select_option("walker")


def expect_rule(page: Page) -> None:
    expect(page.get_by_role("status").filter(has_text=BACK)).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_label("Name", exact=True).first).to_have_value("tell me")
    expect(page.get_by_label("run.failed")).to_be_checked()
    expect(page.get_by_label("Address", exact=True)).to_have_value("https://tell.example.com/me")
    expect(page.get_by_label("Kind")).to_have_value("walker")


def send_rule(page: Page, person: Caller) -> None:
    page.get_by_role("button", name="Make the rule").click()
    page.wait_for_url("**/console/notifications/*")
    assert [rule["name"] for rule in person.get("/notifications").json()["results"]] == ["tell me"]
    page.goto(f"{person.url}{RULE}")
    expect(page.get_by_label("Name", exact=True).first).to_have_value("")  # it was taken, so it is kept no longer
    expect(page.get_by_text(BACK)).to_have_count(0)


def test_a_form_that_is_refused_is_filled_again_until_it_is_taken(visit: Visit, hub: Hub, person: Caller) -> None:
    page = visit.page
    refusal = page.request.get(f"{hub.url}/console/nothing", headers={"Accept": "text/html"}).text()

    def refuse(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=429, body=refusal, content_type="text/html")
        else:
            route.continue_()

    page.route(hub.url + RULE, refuse)
    write_rule(page, hub)
    for _ in range(2):
        page.get_by_role("button", name="Make the rule").click()
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()  # as the page of any error
        page.get_by_role("link", name="Home").click()
        expect(page.locator("#home")).to_be_visible()
        page.goto(hub.url + RULE)
        expect_rule(page)
    page.unroute(hub.url + RULE)
    send_rule(page, person)


def test_who_signs_in_again_is_back_at_the_form(visit: Visit, hub: Hub, person: Caller) -> None:
    page = visit.page
    write_rule(page, hub)
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Make the rule").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(hub.url + RULE)
    expect_rule(page)
    send_rule(page, person)


def test_what_is_typed_while_the_session_ends_is_there_after_the_sign_in(
    visit: Visit, hub: Hub, person: Caller
) -> None:
    """The next fires, which are shown while somebody types, tell that the session has ended."""
    page = visit.page
    page.goto(f"{hub.url}/console/schedules/new?kind=walker&of=echo")
    page.get_by_label("Name", exact=True).fill("tea")
    page.context.clear_cookies(name="sessionid")
    page.get_by_label("Every", exact=True).fill("7")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=PATIENCE)
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("tea")
    expect(page.get_by_label("Every", exact=True)).to_have_value("7")


def test_nobody_else_is_given_what_was_typed(visit: Visit, hub: Hub, person: Caller) -> None:
    page, other = visit.page, hub.sign_up("Ulla")
    write_rule(page, hub)
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Make the rule").click()
    page.get_by_label("E-mail address").fill(other.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(hub.url + RULE)
    expect(page.get_by_label("Name", exact=True).first).to_have_value("")
    assert page.evaluate("sessionStorage.getItem('taskhub-typed')") is None


def test_passwords_are_not_kept(visit: Visit, hub: Hub, person: Caller) -> None:
    page = visit.page
    page.goto(f"{hub.url}/console/you")
    page.get_by_label("Name").fill("Tilda T.")
    page.get_by_label("Current password").fill("a secret of mine")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    kept = page.evaluate("JSON.stringify(sessionStorage)")
    assert "Tilda T." in kept
    assert "a secret of mine" not in kept
