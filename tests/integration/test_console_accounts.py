"""The console's sign-in, sign-out and change of the password, and what each of its pages has."""

import html
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.cache import caches
from django.test import Client
from knox.models import AuthToken

from taskhub.web.rest_policies import RouteThrottle
from tests.conftest import Person

PASSWORD = "correct horse battery"
RIGHT = {"username": "owner@example.com", "password": PASSWORD}
WRONG = {"username": "owner@example.com", "password": "wrong"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A minute that does not end, and that no other test counts in."""
    monkeypatch.setattr(RouteThrottle, "timer", staticmethod(lambda: 60.0 * 77_777_777))
    yield
    caches["local"].clear()
    caches["default"].clear()


def test_people_sign_in_and_come_back_to_where_they_were(client: Client, owner: Person) -> None:
    asked = client.get("/console/runs?state=FAILURE")
    assert (asked.status_code, asked["Location"]) == (302, "/sign-in?next=/console/runs%3Fstate%3DFAILURE")
    answer = client.post(asked["Location"], RIGHT | {"next": "/console/runs?state=FAILURE"})
    assert (answer.status_code, answer["Location"]) == (302, "/console/runs?state=FAILURE")
    assert client.get(answer["Location"]).status_code == 200


@pytest.mark.parametrize("next", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", ""])
def test_nobody_is_led_elsewhere(client: Client, owner: Person, next: str) -> None:
    answer = client.post("/sign-in", RIGHT | {"next": next})
    assert (answer.status_code, answer["Location"]) == (302, "/")


@pytest.mark.parametrize(
    "next", ["/sign-in", "/sign-in/", "/sign-in?next=/sign-in", "/sign-out", "http://testserver/sign-in"]
)
def test_nobody_is_led_in_a_circle(client: Client, browser: Client, next: str) -> None:
    assert client.post("/sign-in", RIGHT | {"next": next})["Location"] == "/"
    for address in ("/sign-in", "/sign-in/"):
        answer = browser.get(address, {"next": next})
        assert (answer.status_code, answer["Location"]) == (302, "/")


@pytest.mark.parametrize("form", [WRONG, {"username": "nobody@example.com", "password": PASSWORD}, {}])
def test_what_is_wrong_tells_nothing_more(client: Client, owner: Person, form: dict[str, str]) -> None:
    page = client.post("/sign-in", form)
    assert page.status_code == 200
    assert ("The e-mail address or the password is wrong." in page.text) == bool(form)
    assert "_auth_user_id" not in client.session


def test_the_inactive_do_not_sign_in(client: Client, owner: Person) -> None:
    type(owner.user).objects.update(is_active=False)
    assert "The e-mail address or the password is wrong." in client.post("/sign-in", RIGHT).text


@pytest.mark.usefixtures("clock")
def test_sign_ins_are_counted_with_those_of_the_api(client: Client, owner: Person, anonymous: Person) -> None:
    address = "2001:db8:77::1"
    assert {client.post("/sign-in", WRONG, REMOTE_ADDR=address).status_code for _ in range(59)} == {200}
    assert anonymous.post("/user/token/", {"email": "a@b.example", "password": "x"}, REMOTE_ADDR=address).status_code
    answer = client.post("/sign-in", RIGHT, REMOTE_ADDR=address)
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    assert "The rate limit is reached." in answer.text
    assert client.get("/sign-in", REMOTE_ADDR=address).status_code == 200
    assert client.post("/sign-in", RIGHT, REMOTE_ADDR="2001:db8:78::1").status_code == 302


def test_the_sign_out_ends_the_session(browser: Client) -> None:
    assert browser.get("/sign-out").status_code == 405
    answer = browser.post("/sign-out")
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in")
    assert browser.get("/console/runs").status_code == 302


def test_a_new_password_ends_other_sessions_and_tokens(browser: Client, owner: Person) -> None:
    other = Client()
    other.force_login(owner.user)
    new = "battery horse correct"
    answer = browser.post("/console/password", {"current_password": PASSWORD, "password": new, "repeated": new})
    assert answer.status_code == 302
    assert "The password is changed." in browser.get(answer["Location"]).text
    assert other.get("/console/runs").status_code == 302
    assert not AuthToken.objects.exists()
    assert Client().post("/sign-in", RIGHT | {"password": new}).status_code == 302


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"current_password": "wrong"}, "This is not the current password."),
        ({"repeated": "another one"}, "The two passwords differ."),
        ({"password": "12345678", "repeated": "12345678"}, "entirely numeric"),
        ({"password": ""}, "This field is required."),
    ],
    ids=["current", "repeated", "weak", "missing"],
)
def test_a_password_that_is_refused_says_why(browser: Client, form: dict[str, str], words: str) -> None:
    good = {"current_password": PASSWORD, "password": "battery horse correct", "repeated": "battery horse correct"}
    page = browser.post("/console/password", good | form)
    assert page.status_code == 400
    assert words in page.text


@pytest.mark.usefixtures("clock")
def test_guesses_at_the_current_password_are_limited(browser: Client) -> None:
    assert {browser.post("/console/password", {}).status_code for _ in range(60)} == {400}
    assert browser.post("/console/password", {}).status_code == 429


PAGES = [
    "/sign-in",
    "/",
    "/console/runs",
    "/console/password",
    "/console/you",
    "/console/runs/nothing",
    "/console/parts",
]


@pytest.mark.parametrize("path", [path for path in PAGES if "nothing" not in path])
def test_each_page_allows_nothing_but_the_hubs_own(browser: Client, path: str) -> None:
    answer = browser.get(path)
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert answer["Cache-Control"].startswith("no-store") or "no-store" in answer["Cache-Control"]
    assert "<style" not in answer.text
    assert "style=" not in answer.text
    assert "<script>" not in answer.text


def test_an_error_is_a_page(browser: Client) -> None:
    answer = browser.get("/console/runs/0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is no run 0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70, or it is not yours." in answer.text


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("get", "/console/nonsense", {}, 404),
        ("get", "/console/runs/nonsense", {}, 404),
        ("get", "/console/runs?q=%00", {}, 400),
        ("get", "/sign-out", {}, 405),
        ("post", "/console/password", {}, 403),
        ("post", "/sign-in", {}, 403),
        ("get", "/admin/nonsense", {}, 404),
    ],
    ids=["no address", "no id", "NUL", "no page", "no token", "no token at the sign-in", "admin"],
)
def test_people_see_a_page_where_programs_get_a_problem(
    colleague: Person, method: str, path: str, sent: dict[str, str], status: int
) -> None:
    browser = Client(raise_request_exception=False, enforce_csrf_checks=True)
    browser.force_login(colleague.user)
    ask = getattr(browser, method)
    page = ask(path, sent, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert (page["X-Content-Type-Options"], page["X-Frame-Options"]) == ("nosniff", "DENY")
    assert "no-store" in page["Cache-Control"]
    if status != 405:
        problem = ask(path, sent, headers={"Accept": "*/*"})
        assert problem["Content-Type"] == "application/problem+json"
        assert problem.json()["detail"] in html.unescape(page.text)


def test_a_form_that_is_too_long_is_told_on_a_page(colleague: Person) -> None:
    browser = Client(raise_request_exception=False, headers={"Accept": "text/html"})
    browser.force_login(colleague.user)
    page = browser.post("/console/extraction/look", {"payload": "x" * 3_000_000})
    assert (page.status_code, page["Content-Type"]) == (413, "text/html; charset=utf-8")


def test_a_part_of_a_page_leads_the_page_to_the_sign_in(client: Client, db: None) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/console/runs?kind=walker"}
    answer = client.get("/console/runs", headers=headers)
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/sign-in?next=http%3A%2F%2Ftestserver%2Fconsole%2Fruns%3Fkind%3Dwalker"
    assert client.get("/console/runs", headers=headers | {"HX-History-Restore-Request": "true"}).status_code == 302


@pytest.mark.parametrize("name", ["console/console.css", "console/console.js", "console/icon.svg"])
def test_what_pages_need_is_served_by_the_hub(client: Client, name: str) -> None:
    answer = client.get(f"/static/{name}")
    assert (answer.status_code, len(answer.getvalue()) > 100) == (200, True)


def test_htmx_comes_in_a_package(client: Client) -> None:
    page: Any = client.get("/sign-in").text
    name = "django_htmx/htmx-2.min.js"
    assert f'src="/static/{name}"' in page
    assert "site-packages" in str(finders.find(name))
