"""Every page of the console in a real browser, by each role that may open it, wide and narrow, light and dark.

Each page is opened four times: once in each look, and by each role at least once, but not by each role in each look.
It offers its visitor no form and no link that he is refused, and asks no question that Enter alone answers with yes to
what cannot be undone.
"""

from typing import NamedTuple

import pytest
from django.urls import resolve
from playwright.sync_api import Browser, expect

from tests import crawler_client
from tests.browser.conftest import Visit
from tests.browser.populated_hub import STAFF, people_of, populate, write_sequence
from tests.browser.test_console import check, sign_in
from tests.browser.test_pages import PATIENCE
from tests.extraction_sites import bundled_site
from tests.faults.test_authorization import path_of
from tests.faults.test_authorization_console import CRAWLER_TASK, RULE, RUN, TABLE, expected_of_role
from tests.hub import Caller, Hub

pytestmark = pytest.mark.slow

LOOKS = [(width, colours) for width in (1440, 390) for colours in ("light", "dark")]
ROLES = ("user", *STAFF)
AUTHORS = ("operator", "admin")  # of stored sequences
PARTS = 2  # in which a role's pages are opened, so that no test takes long
# What is no page of its own, and what is looked at elsewhere.
LEFT_OUT = {
    "sign-in",
    "sign-in/code",
    "sign-up",
    "console/charts",
    f"{RUN}/summary",
    f"{RUN}/story",
    f"{RUN}/values",
    "console/sequences/followed/<uuid:run_id>",
    "console/extraction/look/<ksuid:id>",  # is shown once; test_console.py looks at it
}
# The same pages once more, as they look with something else in them; and like which page they are opened.
VARIANTS = {
    "console/runs?name=nothing": "console/runs",
    "console/search?q=sho": "console/search",
    "console/sequences/new?recipe=refresh_a_token": "console/sequences/new",
    "console/runs/{goes on}": RUN,
    "console/runs/{of a sequence}": "console/sequences",  # of staff
    "console/schedules/new?kind=walker&name=echo": "console/schedules/new",
}
# What the page shows once all its parts have come.
LOADED = {
    "": ("#charts", "Runs that ended"),
    RUN: ("#values", "Arguments"),
}
PARTLY = {f"POST {RULE}/action", f"POST {CRAWLER_TASK}/action"}  # operators are refused some of what is sent there
# What a page offers, and the questions that whoever presses Enter at once answers with yes.
OFFERS = """() => {
  const sent = [...document.forms].filter((form) => form.getAttribute("method") === "post");
  const isRisky = (question) => {
    question.showPopover();
    const chosen = question.contains(document.activeElement) ? document.activeElement : null;
    question.hidePopover();
    return question.querySelector(".danger") && (!chosen || chosen.matches(".danger"));
  };
  return {
    links: [...document.links].filter((link) => link.origin === location.origin).map((link) => link.pathname),
    forms: sent.map((form) => new URL(form.getAttribute("action") || "", location.href).pathname),
    risky: [...document.querySelectorAll("[popover]")].filter(isRisky).map((question) => question.id),
  };
}"""


class Stop(NamedTuple):
    """A page that a role opens in one look."""

    look: tuple[int, str]
    path: str
    route: str


def may_open(route: str, role: str) -> bool:
    """Whether it is shown a page of what a user has; stored sequences are their authors'."""
    return role in AUTHORS if "/stored/" in route else expected_of_role(f"GET {route}", role) == 200


def stops_of(role: str, things: dict[str, str]) -> list[Stop]:
    """The looks of a page go round among the roles that may open it, the next page begins with the next role."""
    routes = sorted({call.removeprefix("GET ") for call in TABLE if call.startswith("GET ")} - LEFT_OUT)
    pages = [(path_of(route, things), route) for route in routes]
    pages += [(f"/{path.format(**things)}", route) for path, route in VARIANTS.items()]
    stops = []
    for place, (path, route) in enumerate(pages):
        roles = [one for one in ROLES if may_open(route, one)]
        stops += [
            Stop(look, path, route) for number, look in enumerate(LOOKS) if roles[(place + number) % len(roles)] == role
        ]
    return stops


@pytest.fixture(scope="module")
def people(hub: Hub) -> dict[str, Caller]:
    return people_of(hub)


@pytest.fixture(scope="module")
def things(hub: Hub, people: dict[str, Caller]) -> dict[str, str]:
    with bundled_site() as shop, crawler_client.example_crawler() as crawler:
        things = populate(people["user"], shop=shop, crawler=crawler)
    for role in AUTHORS:
        things |= write_sequence(people[role], hub)
    return things


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("role", ROLES)
def test_each_page_is_seen_by_each_role_and_in_each_look(
    browser: Browser, hub: Hub, people: dict[str, Caller], things: dict[str, str], role: str, part: int
) -> None:
    context = browser.new_context(locale="en-GB")
    visit = Visit(context.new_page())
    sign_in(visit.page, hub, people[role].email)
    for (width, colours), path, route in sorted(stops_of(role, things)[part::PARTS]):
        visit.page.set_viewport_size({"width": width, "height": 900})
        visit.page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
        visit.page.goto(hub.url + path)
        if route in LOADED:
            place, words = LOADED[route]
            expect(visit.page.locator(place)).to_contain_text(words, timeout=PATIENCE)
        where = f"{path} as {role} at {width} px, {colours}"
        check(visit, where)
        seen = visit.page.evaluate(OFFERS)
        assert seen["risky"] == [], where
        assert refused(seen["links"], "GET", role) == [], where
        assert refused(seen["forms"], "POST", role) == [], where
    assert visit.strange_urls(hub.url) == []
    context.close()


def refused(paths: list[str], method: str, role: str) -> list[str]:
    """Those that the role may not open, or send; stored sequences are its own."""
    calls = {path: f"{method} {resolve(path).route}" for path in paths if "/stored/" not in path}
    refused = {call for call in calls.values() if call in TABLE and expected_of_role(call, role) in {403, 404}}
    return [path for path, call in calls.items() if call in refused - (PARTLY if role == "operator" else set())]
