"""A process logs in once, before its first page, and its cookies are kept for all of its pages."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from extraction.models import Process, Slice
from extraction.services import process_lifecycle, slices
from extraction.services.page_table import claim_pages
from tests.conftest import Person
from tests.extraction_runs import begun, carried, extracted, records
from tests.extraction_sites import Reply, Site, html, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

FIELDS = [{"name": "t", "selector": "h1"}]
FORM = (
    '<form action="/find"><input name="q"></form><form method="post" action="/session">'
    '<input type="hidden" name="token" value="t0"><input name="user"><input type="password" name="password"></form>'
)
LOGIN: dict[str, Any] = {"form": {"user": "ada", "password": "s3cret"}}


@pytest.fixture
def members(site: Site) -> Site:
    """A site that shows its pages to those who have logged in alone."""

    def session(path: str, before: int) -> Reply:
        sent = parse_qs(site.bodies[path].decode())
        if sent != {"token": ["t0"], "user": ["ada"], "password": ["s3cret"]}:
            return Reply("wrong", 403)
        return Reply(status=302, headers={"Location": "/home", "Set-Cookie": "session=s1; Path=/"})

    def member_page(path: str, before: int) -> Reply:
        known = "session=s1" in site.seen[path].get("Cookie", "")
        return html(f"<h1>{path} {'member' if known else 'stranger'}</h1>")

    site.pages["/login"] = html(FORM)
    site.pages["/session"] = session
    site.other = member_page
    return site


def logged_in(person: Person, site: Site, login: dict[str, Any], **payload: Any) -> Process:
    request = {"urls": [f"{site.url}/{{1..3}}"]}
    return extracted(person, site, request=request, fields=FIELDS, login=login, **payload)


def test_hidden_fields_go_along_and_cookies_are_kept(owner: Person, members: Site) -> None:
    process = logged_in(owner, members, {"url": f"{members.url}/login", **LOGIN})
    assert [record["t"] for record in records(process)] == [f"/{number} member" for number in (1, 2, 3)]
    assert (members.hits["/login"], members.hits["/session"], process.pages, process.cost) == (1, 1, 4, 4)
    assert members.seen["/session"]["Referer"] == f"{members.url}/login"
    assert "s3cret" not in owner.get(f"/v1/process/{process.id}/pages").content.decode()


def test_credentials_of_the_request_are_not_for_the_site_of_the_login(owner: Person, members: Site) -> None:
    with serving() as other:
        other.other = lambda path, before: html(f"<h1>{path}</h1>")
        request = {"url": f"{other.url}/1", "headers": {"Authorization": "Bearer x"}}
        login = {"url": f"{members.url}/login", **LOGIN}
        process = extracted(owner, members, request=request, fields=FIELDS, login=login)
        assert process.status == "finished"
        assert other.seen["/1"]["Authorization"] == "Bearer x"
        assert not any("Authorization" in members.seen[path] for path in ("/login", "/session"))


def test_a_login_that_was_lost_with_its_worker_is_done_again(owner: Person, members: Site) -> None:
    login = {"url": f"{members.url}/login", **LOGIN}
    process = begun(owner, members, request={"url": f"{members.url}/1"}, fields=FIELDS, login=login)
    lost, _ = slices.claim_slice(worker="lost@test") or (None, None)
    assert lost
    assert [page.url for page in claim_pages(slice=lost, limit=10)] == [f"{members.url}/login"]
    Slice.objects.filter(pk=lost.pk).update(lease_until="2020-01-01T00:00:00Z")
    process_lifecycle.sweep()
    process = carried(process)
    assert [record["t"] for record in records(process)] == ["/1 member"]


@pytest.mark.parametrize(
    ("page", "login", "error"),
    [
        (html(FORM), {"form": {"user": "ada", "password": "wrong"}}, "The server answers 403."),
        (html("<p>no form</p>"), LOGIN, "has no such form"),
        (html(FORM), {**LOGIN, "submit": "#nothing"}, "has no such form"),
        (html('<form action="mailto:x"><input name="user"></form>'), LOGIN, "leads to no address"),
        (Reply("away", 404), LOGIN, "The server answers 404."),
    ],
)
def test_a_login_that_fails_ends_the_process(
    owner: Person, members: Site, page: Reply, login: dict[str, Any], error: str
) -> None:
    members.pages["/login"] = page
    process = logged_in(owner, members, {"url": f"{members.url}/login", **login})
    assert process.status == "failed"
    [row] = owner.get(f"/v1/process/{process.id}/pages").json()["results"]
    assert error in row["error"]
    assert not members.hits["/1"]


def test_each_run_logs_in_and_another_site_needs_the_form_again(owner: Person, members: Site) -> None:
    sent = {"request": {"url": f"{members.url}/1"}, "fields": FIELDS, "login": {"url": f"{members.url}/login", **LOGIN}}
    task = owner.post("/v1/task/create", sent).json()["id"]
    with serving() as other:
        changes = {"payload": {"login": {"url": f"{other.url}/login"}}}
        answer = owner.post(f"/v1/task/{task}/run", changes)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == "/payload/login/form"


@pytest.mark.parametrize(
    ("place", "login"),
    [
        ("/login/url", {"form": {"a": "b"}}),
        ("/login/url", {"url": "ftp://x", "form": {"a": "b"}}),
        ("/login/form", {"url": "http://x/"}),
        ("/login/form/a", {"url": "http://x/", "form": {"a": None}}),
        ("/login/submit", {"url": "http://x/", "form": {"a": "b"}, "submit": "a["}),
        ("/login/actions", {"url": "http://x/", "form": {"a": "b"}, "actions": [{"click": "a"}]}),
        ("/login/actions/0", {"url": "http://x/", "actions": [{}]}),
        ("/login/other", {"url": "http://x/", "form": {"a": "b"}, "other": 1}),
    ],
)
def test_faults_have_their_places(owner: Person, place: str, login: dict[str, Any]) -> None:
    answer = owner.post("/v1/task/create", {"request": {"url": "http://x/"}, "fields": FIELDS, "login": login})
    assert answer.status_code == 400
    assert place in [error["pointer"] for error in answer.json()["errors"]]
