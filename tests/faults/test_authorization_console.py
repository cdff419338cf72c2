"""Who may open which page of the console: every page for everybody. A page that is not in here fails."""

from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client

from taskhub.console.urls import urlpatterns
from tests.faults.credentials import SESSION_COOKIE, Credentials, World
from tests.faults.test_authorization import path_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]

SCHEDULE = "console/schedules/<int:schedule_id>"
DELIVERY = "console/webhooks/<uuid:run_id>"
RULE = "console/notifications/<int:rule_id>"
RUN = "console/runs/<uuid:run_id>"
CRAWLER = "console/crawlers/<uuid:fid>"
CRAWLER_TASK = "console/crawlers/tasks/<uuid:fid>"
EXTERNAL = "console/crawlers/externals/<uuid:fid>"
STREAM = "console/streams/<uuid:fid>"
SAMPLE = "console/extraction/look/<ksuid:id>"
KEY = "console/you/keys/<str:prefix>"
SECRET = "console/you/secrets/<str:name>"
SESSION = "console/you/sessions/<uuid:sign_in_id>"
USER = "console/users/<uuid:user_id>"
NEW_USER = {"email": "new@example.com", "password": "correct horse battery", "role": "viewer"}
PROCESS = "console/extraction/process/<ksuid:id>"
SEQUENCE = "console/sequences/stored/<str:name>"


class Row(NamedTuple):
    """What a page answers to its owner, to a stranger, to admins, and to those who have not signed in.

    `needs` is what a role needs to do it with what others own.
    """

    owner: int
    stranger: int
    staff: int
    nobody: int = 302  # to the sign-in
    needs: str = "manage"
    viewer: int | None = None  # what others than admins get of staff, where that is something else
    operator: int | None = None
    sent: dict[str, Any] = {}


def own(status: int, **sent: Any) -> Row:
    return Row(status, 404, status, sent=sent)


def authors(status: int, staff: int | None = None, **sent: Any) -> Row:
    """Of those who may run sequences, which of the three is staff; `staff` where it is the owner's alone."""
    return Row(403, 403, status if staff is None else staff, sent=sent)


def each(status: int, **sent: Any) -> Row:
    return Row(status, status, status, sent=sent)


def operated(status: int, **sent: Any) -> Row:
    """What operators do with what others own, too."""
    return Row(status, 404, status, needs="operate", sent=sent)


TABLE: dict[str, Row] = {
    "GET ": each(200),
    "GET console/charts": each(200),
    "GET sign-in": Row(302, 302, 302, nobody=200),
    "POST sign-in": Row(302, 302, 302, nobody=200),
    "GET sign-in/code": each(302),  # the password has its turn first
    "POST sign-in/code": each(302),
    "POST sign-out": each(302),
    "GET sign-up": Row(403, 403, 403, nobody=403),  # it is closed
    "POST sign-up": Row(403, 403, 403, nobody=403, sent={"email": "new@example.com"}),
    "GET console/you": each(200),
    "POST console/you": each(400),
    "GET console/you/keys": each(200),
    "POST console/you/keys": each(200, scopes=["read"], expires_in="0"),
    f"POST {KEY}/revoke": each(302),
    "GET console/you/secrets": each(200),
    "POST console/you/secrets": each(302, name="KEY", value="abcdef"),
    "GET console/you/second-factor": each(200),
    "POST console/you/second-factor": each(302, action="begin", current_password="correct horse battery"),
    "GET console/you/sessions": each(200),
    "POST console/you/sessions": each(302, action="end-others"),
    f"POST {SESSION}/end": each(302),
    f"POST {SECRET}/delete": each(302),
    "GET console/password": each(200),
    "POST console/password": each(400),
    "GET console/parts": Row(404, 404, 200),
    "GET console/users": Row(404, 404, 200),
    "GET console/users/new": Row(404, 404, 200, viewer=403, operator=403),
    "POST console/users/new": Row(404, 404, 302, viewer=403, operator=403, sent=NEW_USER),
    f"GET {USER}": Row(404, 404, 200),
    f"POST {USER}/action": Row(404, 404, 302, viewer=403, operator=403, sent={"action": "role", "role": "operator"}),
    "GET console/audit": Row(404, 404, 200),
    "GET console/runs": each(200),
    "GET console/start": each(200),
    "GET console/start/<str:walker>": each(200),
    "POST console/start/<str:walker>": each(302),
    "GET console/sequences": authors(200),
    "GET console/sequences/new": authors(200),
    "POST console/sequences/new": authors(400),
    "POST console/sequences/check": authors(200),
    "GET console/sequences/followed/<uuid:run_id>": authors(200),
    f"GET {SEQUENCE}": authors(200),
    f"GET {SEQUENCE}/edit": authors(200),
    f"POST {SEQUENCE}/edit": authors(302, action="save-over", sequence='{"requests": []}'),
    f"POST {SEQUENCE}/run": authors(302),
    f"POST {SEQUENCE}/delete": authors(302),
    "GET console/schedules": each(200),
    "GET console/extraction": each(200),
    "GET console/extraction/look": each(200),
    "POST console/extraction/look": each(400),
    f"GET {SAMPLE}": Row(200, 404, 404),
    f"POST {SAMPLE}": Row(200, 404, 404),
    f"GET {PROCESS}": own(200),
    f"POST {PROCESS}/retry": operated(302),
    "POST console/extraction/task/<ksuid:id>/run": operated(302),
    "GET console/crawlers": each(200),
    "GET console/crawlers/externals": each(200),
    "GET console/crawlers/externals/new": each(200),
    "POST console/crawlers/externals/new": each(400),
    f"GET {EXTERNAL}": own(200),
    f"GET {EXTERNAL}/change": own(200),
    f"POST {EXTERNAL}/change": own(400),
    f"POST {EXTERNAL}/delete": own(302),
    f"GET {EXTERNAL}/crawler": own(200),
    f"POST {EXTERNAL}/crawler": own(400),
    f"GET {CRAWLER}": own(200),
    f"GET {CRAWLER}/start": operated(200),
    f"POST {CRAWLER}/start": operated(302),
    f"GET {CRAWLER}/change": own(200),
    f"POST {CRAWLER}/change": own(400),
    f"POST {CRAWLER}/state": own(302),
    f"POST {CRAWLER}/delete": own(302),
    f"GET {CRAWLER_TASK}": own(200),
    f"POST {CRAWLER_TASK}/action": own(302, action="delete"),
    f"GET {CRAWLER_TASK}/rejected": own(200),
    f"POST {CRAWLER_TASK}/rejected": own(302),
    "GET console/search": each(200),
    "GET console/streams": each(200),
    f"GET {STREAM}": own(200),
    f"GET {STREAM}/docs/<path:document_id>": own(200),
    f"GET {SCHEDULE}": own(200),
    f"POST {SCHEDULE}/action": operated(302, action="run"),
    "GET console/schedules/calendar": each(200),
    "GET console/schedules/new": each(200),
    "POST console/schedules/new": each(400),
    "POST console/schedules/check": each(200),
    "POST console/schedules/preview": each(200),
    f"GET {SCHEDULE}/change": own(200),
    f"POST {SCHEDULE}/change": own(400),
    f"POST {SCHEDULE}/delete": own(302),
    "GET console/webhooks": each(200),
    "GET console/webhooks/test": each(200),
    "POST console/webhooks/test": each(400),
    "GET console/webhooks/secret": each(200),
    "POST console/webhooks/secret": each(400),
    f"GET {DELIVERY}": own(200),
    f"POST {DELIVERY}/send": operated(302),
    "GET console/notifications": each(200),
    "GET console/notifications/new": each(200),
    "POST console/notifications/new": each(400),
    f"GET {RULE}": own(200),
    f"GET {RULE}/change": own(200),
    f"POST {RULE}/change": own(400),
    f"POST {RULE}/action": own(302, action="pause"),
    f"POST {RULE}/delete": own(302),
    f"POST {RULE}/messages/<uuid:run_id>/send": operated(302),
    "POST console/runs/filters": each(302, action="save", name="mine", query="kind=walker"),
    "POST console/runs/selected": each(302, action="cancel"),
    f"GET {RUN}": own(200),
    f"GET {RUN}/summary": own(200),
    f"GET {RUN}/story": own(200),
    f"GET {RUN}/values": own(200),
    f"POST {RUN}/cancel": operated(302),
    f"GET {RUN}/again": operated(200),
    f"POST {RUN}/again": operated(302),
}


# Nothing but forms: who may not send one does not open it.
FORMS = {
    f"GET {route}"
    for route in (
        "console/start",
        "console/start/<str:walker>",
        f"{RUN}/again",
        "console/sequences/new",
        f"{SEQUENCE}/edit",
        "console/schedules/new",
        f"{SCHEDULE}/change",
        "console/notifications/new",
        f"{RULE}/change",
        "console/webhooks/test",
        "console/extraction/look",
        "console/crawlers/externals/new",
        f"{EXTERNAL}/change",
        f"{EXTERNAL}/crawler",
        f"{CRAWLER}/start",
        f"{CRAWLER}/change",
    )
}
READ_BY_POST = {"POST console/schedules/preview", "POST console/schedules/check", "POST console/sequences/check"}
# A viewer changes these, too.
OWN_ACCOUNT = {
    "POST sign-in",
    "POST sign-in/code",
    "POST sign-up",
    "POST sign-out",
    "POST console/password",
    "POST console/runs/filters",
    *(page for page in TABLE if page.startswith("POST console/you") and SECRET not in page and "secrets" not in page),
}


def ask(page: str, things: dict[str, str], by: Credentials, *, csrf: bool = True) -> int:
    """The status of one page, whose effects are undone."""
    method, _, route = page.partition(" ")
    client = Client(raise_request_exception=False, enforce_csrf_checks=True, headers={"Accept": "text/html"})
    if by.session:
        client.cookies[SESSION_COOKIE] = by.session
    headers = dict(by.headers)
    if csrf:
        client.cookies["csrftoken"] = headers["X-CSRFToken"] = "c" * 32
    with transaction.atomic():
        answer = getattr(client, method.lower())(path_of(route, things), TABLE[page].sent, headers=headers)
        transaction.set_rollback(True)
    return int(answer.status_code)


def test_the_table_has_every_page_and_no_other() -> None:
    views: list[tuple[str, Any]] = [(str(pattern.pattern), pattern.callback) for pattern in urlpatterns]
    pages = {
        f"{method} {route}"
        for route, view in views
        for method in ("GET", "POST")
        if hasattr(view.view_class, method.lower())
    }
    assert pages == set(TABLE)


@pytest.mark.parametrize("page", TABLE)
def test_people_see_what_is_theirs_and_staff_all(page: str, world: World) -> None:
    row = TABLE[page]
    expected = {"owner": row.owner, "stranger": row.stranger, "staff": row.staff}
    got = {name: ask(page, world.things, world.good[name]["session"]) for name in expected}
    assert got == expected
    nobodys = {"none": Credentials(), "inactive": world.bad["session of the inactive"]}
    assert {how: ask(page, world.things, given) for how, given in nobodys.items()} == dict.fromkeys(nobodys, row.nobody)


def expected_of_role(page: str, role: str) -> int:
    """What it answers to staff about what an owner has, and to a `user` about what is his own.

    As the same calls of the API: a viewer changes nothing but the own account.
    """
    row = TABLE[page]
    if role == "user":
        return row.owner
    # A stored sequence is its owner's alone; what is saved under its name is another.
    allowed = 404 if SEQUENCE in page and page != f"POST {SEQUENCE}/edit" else row.staff
    refused = allowed if row.stranger == 403 else row.stranger  # what is for staff is for all of them
    is_read = (page.startswith("GET") and page not in FORMS) or page in READ_BY_POST | OWN_ACCOUNT
    if role == "viewer":
        return row.viewer or (allowed if is_read else 403)
    if role == "admin":
        return row.staff
    may_write = role == "operator" and row.needs == "operate"
    return row.operator or (allowed if is_read or may_write else refused)


@pytest.mark.parametrize("page", TABLE)
def test_roles(page: str, world: World) -> None:
    roles = ("viewer", "operator", "roleless")
    expected = {role: expected_of_role(page, role) for role in roles}
    assert {role: ask(page, world.things, world.good[role]["session"]) for role in roles} == expected


@pytest.mark.parametrize("page", [page for page in TABLE if page.startswith("POST")])
def test_what_changes_something_needs_the_csrf_token(page: str, world: World) -> None:
    assert ask(page, world.things, world.good["owner"]["session"], csrf=False) == 403


@pytest.mark.parametrize("page", [page for page in TABLE if page.startswith("GET console")])
def test_credentials_of_programs_open_no_page(page: str, world: World) -> None:
    """Whoever has a key's scopes only could otherwise do in the console what the key may not."""
    by = {how: given for how, given in world.good["owner"].items() if how != "session"}
    assert {how: ask(page, world.things, given) for how, given in by.items()} == dict.fromkeys(by, 302)
