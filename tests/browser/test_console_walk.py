"""Every page of the console in a real browser, wide and narrow, light and dark, and by each role that may open it.

A browser opens each page for two roles, which go round from page to page: once wide, in both colours, and once narrow,
in either. No width has colours of its own, so what is seen in both widths is seen in both colours, and what is seen in
one of them alone is part of more than one page. What a page offers is in its source, and is read there for each role:
no form and no link that it is refused, and no question that Enter alone answers with yes to what cannot be undone.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import pytest
from django.urls import resolve
from lxml import html
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.populated_hub import STAFF, people_of, populate, write_sequence
from tests.browser.sessions import session_of, sign_in
from tests.browser.test_console import AXE, OF_COLOURS, check
from tests.browser.test_pages import PATIENCE
from tests.faults.test_authorization import path_of
from tests.faults.test_authorization_console import CRAWLER_TASK, RULE, RUN, TABLE, expected_of_role
from tests.hub import Caller, Hub

pytestmark = pytest.mark.slow

WIDE, NARROW = 1440, 390
COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
ROLES = ("user", *STAFF)
AUTHORS = ("operator", "admin")  # of stored sequences
PARTS = {"console/charts", f"{RUN}/summary", f"{RUN}/story", f"{RUN}/values"}  # of other pages
# What test_console.py looks at, for it is shown once, or before somebody has signed in.
LEFT_OUT = {
    "sign-in",
    "sign-in/code",
    "sign-up",
    "console/sequences/followed/<uuid:run_id>",
    "console/extraction/look/<ksuid:id>",
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
    """A page that a role opens in one width, and in which colours."""

    width: int
    path: str
    route: str
    colours: tuple[Literal["light", "dark"], ...]


def may_open(route: str, role: str) -> bool:
    """Whether it is shown a page of what a user has; stored sequences are their authors'."""
    return role in AUTHORS if "/stored/" in route else expected_of_role(f"GET {route}", role) == 200


def pages_of(things: dict[str, str]) -> list[tuple[str, str]]:
    """Paths, and like which page they are opened."""
    routes = sorted({call.removeprefix("GET ") for call in TABLE if call.startswith("GET ")} - LEFT_OUT)
    pages = [(path_of(route, things), route) for route in routes]
    return pages + [(f"/{path.format(**things)}", route) for path, route in VARIANTS.items()]


def stops_of(role: str, things: dict[str, str]) -> list[Stop]:
    """Those of a role in a browser: each page is opened wide by one, and narrow by another where more may open it."""
    stops = []
    for place, (path, route) in enumerate(page for page in pages_of(things) if page[1] not in PARTS):
        roles = [one for one in ROLES if may_open(route, one)]
        if roles[place % len(roles)] == role:
            stops.append(Stop(WIDE, path, route, COLOURS))
        if roles[(place + len(roles) // 2) % len(roles)] == role:
            stops.append(Stop(NARROW, path, route, (COLOURS[place // len(ROLES) % 2],)))
    return sorted(stops)


@pytest.fixture(scope="module")
def people(hub: Hub) -> dict[str, Caller]:
    return people_of(hub)


@pytest.fixture(scope="module")
def things(hub: Hub, people: dict[str, Caller], shop: str, crawler: str) -> Iterator[dict[str, str]]:
    things = populate(people["user"], shop=shop, crawler=crawler)
    for role in AUTHORS:
        things |= write_sequence(people[role], hub)
    yield things
    hub.admin.post(f"/runs/{things['goes on']}/cancel")


@pytest.mark.parametrize("role", ROLES)
def test_each_page_is_seen_in_each_look(
    browser: Browser, hub: Hub, people: dict[str, Caller], things: dict[str, str], role: str
) -> None:
    context = browser.new_context(locale="en-GB", reduced_motion="reduce")
    context.add_init_script(AXE)
    visit = Visit(context.new_page())
    page = visit.page
    sign_in(page, hub, people[role].email)
    for width, path, route, colours in stops_of(role, things):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=colours[0])
        page.goto(hub.url + path)
        if route in LOADED:
            place, words = LOADED[route]
            expect(page.locator(place)).to_contain_text(words, timeout=PATIENCE)
        where = f"{path} as {role} at {width} px"
        check(visit, f"{where}, {colours[0]}")
        seen = page.evaluate(OFFERS)
        assert seen["risky"] == [], where
        assert refused(seen["links"], "GET", role) == [], where
        assert refused(seen["forms"], "POST", role) == [], where
        for other in colours[1:]:
            page.emulate_media(color_scheme=other)
            check(visit, f"{where}, {other}", OF_COLOURS)
    assert visit.strange_urls(hub.url) == []
    context.close()


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_offered_nothing_that_it_is_refused(
    hub: Hub, people: dict[str, Caller], things: dict[str, str], role: str
) -> None:
    with session_of(hub, people[role].email) as session:
        for path, route in pages_of(things):
            if not may_open(route, role):
                continue
            answer = session.get(hub.url + path, timeout=60)
            assert answer.status_code == 200, path
            page, where = html.fromstring(answer.text), f"{path} as {role}"
            page.make_links_absolute(answer.url)
            links = [urlsplit(link) for link in page.xpath("//a/@href")]
            forms = page.xpath("//form[@method='post']")
            own = [link.path for link in links if f"{link.scheme}://{link.netloc}" == hub.url]
            assert refused(own, "GET", role) == [], where
            assert refused([urlsplit(form.get("action") or answer.url).path for form in forms], "POST", role) == [], (
                where
            )
            assert [question.get("id") for question in page.xpath("//*[@popover]") if is_risky(question)] == [], where


def is_risky(question: Any) -> bool:
    """Whether it has the focus on what is dangerous, or on nothing, when it opens."""
    chosen = question.xpath(".//*[@autofocus]")
    return bool(question.find_class("danger")) and (not chosen or "danger" in chosen[0].classes)


def refused(paths: list[str], method: str, role: str) -> list[str]:
    """Those that the role may not open, or send; stored sequences are its own."""
    calls = {path: f"{method} {resolve(path).route}" for path in paths if "/stored/" not in path}
    refused = {call for call in calls.values() if call in TABLE and expected_of_role(call, role) in {403, 404}}
    return [path for path, call in calls.items() if call in refused - (PARTLY if role == "operator" else set())]
