"""What is done with the things of a user by clicking: each role does what is its own, and is not shown the rest."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from lxml import html
from playwright.sync_api import Page, Response

from tests.browser.conftest import Visit
from tests.browser.populated_hub import people_of, populate
from tests.browser.sessions import session_of, sign_in
from tests.browser.test_console import troubles
from tests.faults.test_authorization import path_of
from tests.faults.test_authorization_console import CRAWLER, CRAWLER_TASK, EXTERNAL, PROCESS, RULE, RUN, SCHEDULE, USER
from tests.hub import Caller, Hub

pytestmark = pytest.mark.slow


class Action(NamedTuple):
    """The page, and the buttons that are clicked one after the other; the last sends a form."""

    needs: str  # of a role, if it is not the owner's: see `Row` of the table of authorization
    route: str
    buttons: tuple[str, ...]


ACTIONS = [
    Action("operate", "console/runs/<goes on>", ("Cancel", "Cancel it")),
    Action("operate", f"{RUN}/again", ("Run again",)),
    Action("operate", SCHEDULE, ("Run now", "Start it")),
    Action("operate", SCHEDULE, ("Pause",)),
    Action("operate", SCHEDULE, ("Resume",)),
    Action("operate", RULE, ("Send a test",)),
    Action("operate", f"{CRAWLER}/start", ("Start",)),
    Action("operate", CRAWLER_TASK, ("Try again", "Try it again")),
    Action("operate", PROCESS, ("Try failed pages again",)),
    Action("operate", "console/extraction?task=<task>", ("Run",)),
    Action("manage", f"{SCHEDULE}/change", ("Save",)),
    Action("manage", f"{RULE}/change", ("Save",)),
    Action("manage", RULE, ("Pause",)),
    Action("manage", f"{CRAWLER}/change", ("Save",)),
    Action("manage", f"{EXTERNAL}/change", ("Save",)),
    Action("manage", SCHEDULE, ("Delete", "Delete it")),
    Action("manage", RULE, ("Delete", "Delete it")),
    Action("manage", CRAWLER_TASK, ("Delete", "Delete it")),
    Action("manage", CRAWLER, ("Delete", "Delete it")),
    Action("manage", EXTERNAL, ("Delete", "Delete it")),
    Action("administer", USER, ("Give the role",)),
    Action("administer", USER, ("Sign out everywhere", "Sign out")),
    Action("administer", USER, ("Deactivate", "Deactivate")),
    Action("administer", USER, ("Activate",)),
]
# What comes in place of another button, once that is pressed.
LATER = (Action("operate", SCHEDULE, ("Resume",)), Action("administer", USER, ("Activate",)))
MAY = {
    "user": {"operate", "manage"},
    "viewer": set[str](),
    "operator": {"operate"},
    "admin": {"operate", "manage", "administer"},
}


def act(page: Page, buttons: tuple[str, ...]) -> None:
    main = page.locator("#main")
    for button in buttons[:-1]:
        main.get_by_role("button", name=button, exact=True).click()
    place = main.locator("[popover]:popover-open") if len(buttons) > 1 else main

    def is_answer(response: Response) -> bool:
        return response.request.method == "POST" and response.request.is_navigation_request()

    with page.expect_response(is_answer) as sent:
        place.get_by_role("button", name=buttons[-1], exact=True).click()
    assert sent.value.status == 302, buttons
    page.wait_for_load_state()
    assert page.locator(".messages .error, .messages .warning").all_inner_texts() == [], buttons


@pytest.fixture
def people(hub: Hub) -> dict[str, Caller]:
    return people_of(hub)


@pytest.fixture
def things(hub: Hub, people: dict[str, Caller], shop: str, crawler: str) -> Iterator[dict[str, str]]:
    things = populate(people["user"], shop=shop, crawler=crawler)
    yield things | {"<goes on>": things["goes on"]}
    hub.admin.post(f"/runs/{things['goes on']}/cancel")


def address_of(action: Action, hub: Hub, things: dict[str, str]) -> str:
    return hub.url + path_of(action.route, things).replace("<task>", things["task/<ksuid:id>"])


@pytest.mark.parametrize("role", [role for role in MAY if MAY[role]])
def test_each_role_does_what_is_its_own(
    visit: Visit, hub: Hub, people: dict[str, Caller], things: dict[str, str], role: str
) -> None:
    page = visit.page
    sign_in(page, hub, people[role].email)
    for action in ACTIONS:
        if action.needs in MAY[role]:
            page.goto(address_of(action, hub, things))
            act(page, action.buttons)
    assert troubles(visit) == []
    assert visit.strange_urls(hub.url) == []


def test_each_role_is_not_shown_the_rest(hub: Hub, people: dict[str, Caller], things: dict[str, str]) -> None:
    """A button is in the source of its page, or nowhere."""
    shown, expected = {}, {}
    for role, may in MAY.items():
        with session_of(hub, people[role].email) as session:
            for action in ACTIONS:
                button = f"{role}: {action.route}: {action.buttons[0]}"
                source = session.get(address_of(action, hub, things), timeout=60).text
                found = html.fromstring(source).xpath("//main//button[normalize-space()=$name]", name=action.buttons[0])
                shown[button] = bool(found)
                expected[button] = action.needs in may and action not in LATER
    assert shown == expected
