"""What is done with the things of a user by clicking: each role does what is its own, and is not shown the rest."""

from typing import NamedTuple

import pytest
from playwright.sync_api import Page, Response

from tests import crawler_client
from tests.browser.conftest import Visit
from tests.browser.populated_hub import people_of, populate
from tests.browser.test_console import sign_in, troubles
from tests.extraction_sites import bundled_site
from tests.faults.test_authorization import path_of
from tests.faults.test_authorization_console import CRAWLER, CRAWLER_TASK, EXTERNAL, PROCESS, RULE, RUN, SCHEDULE, USER
from tests.hub import Hub

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


@pytest.mark.parametrize("role", MAY)
def test_each_role_does_what_is_its_own_and_is_not_shown_the_rest(visit: Visit, hub: Hub, role: str) -> None:
    page, people = visit.page, people_of(hub)
    with bundled_site() as shop, crawler_client.example_crawler() as crawler:
        things = populate(people["user"], shop=shop, crawler=crawler)
        things |= {"<goes on>": things["goes on"]}
        sign_in(page, hub, people[role].email)
        for action in ACTIONS:
            path = path_of(action.route, things).replace("<task>", things["task/<ksuid:id>"])
            page.goto(hub.url + path)
            if action.needs in MAY[role]:
                act(page, action.buttons)
            else:
                button = page.locator("#main").get_by_role("button", name=action.buttons[0], exact=True)
                assert button.count() == 0, (action.route, action.buttons)
    hub.admin.post(f"/runs/{things['goes on']}/cancel")
    # A browser tells of pages of forms that are not opened for the role, too.
    refusals = (
        ": 403",
        ": 404",
        "responded with a status of 403 (Forbidden)",
        "responded with a status of 404 (Not Found)",
    )
    assert [one for one in troubles(visit) if not one.endswith(refusals)] == []
    assert visit.strange_urls(hub.url) == []
