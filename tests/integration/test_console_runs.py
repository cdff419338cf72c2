"""The console's pages of runs: the list with its filters, one run with its story, and what is done with them."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from sequences.models import SequenceStep
from sequences.services.sequence_runs import submit_sequence
from taskhub.console import home_charts, saved_filters
from taskhub.console.models import SavedFilter
from taskhub.console.run_list import PAGE_ROWS
from taskhub.errors import Rejected
from taskhub.runs.domain import State, oldest_id
from taskhub.runs.models import Run
from taskhub.runs.queue import cancel, submit
from taskhub.usage.services import add_usage
from tests.conftest import Person, make_person
from walkers.walks.principal import active_context

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(owner: Person) -> Client:
    return signed_in(owner)


@pytest.fixture
def staff(colleague: Person) -> Client:
    return signed_in(colleague)


def signed_in(person: Person) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(person.user)
    return browser


def run_of(person: Person, name: str = "echo", **options: Any) -> Run:
    graph = str(active_context(user=person.user).graph_id)
    arguments = {"name": "echo", "snt": "taskhub", "nd": graph, "ctx": options.pop("ctx", {"value": "hello"})}
    return submit(kind="walker", owner=person.user, name=name, arguments=arguments, **options)


def shown(page: Any) -> list[str]:
    """The ids of the runs in a list, in its order."""
    return [part.partition('"')[0] for part in page.text.split('name="run" value="')[1:]]


def test_users_see_their_runs_and_staff_all(browser: Client, staff: Client, owner: Person, stranger: Person) -> None:
    own, others = run_of(owner), run_of(stranger)
    page = browser.get("/console/runs")
    assert shown(page) == [str(own.pk)]
    assert stranger.user.email not in page.text
    page = staff.get("/console/runs")
    assert shown(page) == [str(others.pk), str(own.pk)]
    assert stranger.user.email in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=echo", ["echo"]),
        ("state=REVOKED", ["fail"]),
        ("state=PENDING&state=REVOKED&name=&since=", ["fail", "echo"]),
        ("state=SUCCESS", []),
        ("kind=sequence", []),
        ("since=2020-01-01", ["fail", "echo"]),
        ("until=2020-01-01", []),
    ],
)
def test_filters_are_in_the_address(browser: Client, owner: Person, query: str, found: list[str]) -> None:
    runs = {"echo": run_of(owner), "fail": run_of(owner, "fail")}
    cancel(run=runs["fail"])
    page = browser.get(f"/console/runs?{query}")
    assert shown(page) == [str(runs[name].pk) for name in found]
    assert ("No run is like that." in page.text) == (not found)


@pytest.mark.parametrize("query", ["state=NONSENSE", "since=yesterday", "nonsense=1", "after=nonsense", "parent=x"])
def test_a_filter_that_cannot_be_is_told(browser: Client, query: str) -> None:
    page = browser.get(f"/console/runs?{query}")
    assert page.status_code == 200
    assert f'role="alert">{query.partition("=")[0]}' in page.text


def test_the_list_has_pages(browser: Client, owner: Person) -> None:
    runs = [str(run_of(owner).pk) for _ in range(PAGE_ROWS + 2)][::-1]
    first = browser.get("/console/runs?name=echo")
    assert shown(first) == runs[:PAGE_ROWS]
    older = f"/console/runs?name=echo&after={runs[PAGE_ROWS - 1]}"
    assert older.replace("&", "&amp;") in first.text
    second = browser.get(older)
    assert shown(second) == runs[PAGE_ROWS:]
    assert shown(browser.get(f"/console/runs?name=echo&before={runs[PAGE_ROWS]}")) == runs[:PAGE_ROWS]


def test_htmx_gets_the_rows_alone_and_the_address(browser: Client, owner: Person) -> None:
    run_of(owner)
    headers = {"HX-Request": "true", "HX-Trigger": "filters"}
    part = browser.get("/console/runs?name=echo&kind=", headers=headers)
    assert "<html" not in part.text
    assert part["HX-Push-Url"] == "/console/runs?name=echo"
    assert "HX-Push-Url" not in browser.get("/console/runs", headers={"HX-Request": "true", "HX-Trigger": "runs"})


def test_a_new_hub_says_what_to_do(browser: Client) -> None:
    assert "Nothing has run yet." in browser.get("/console/runs").text


def test_selected_runs_are_cancelled_and_run_again(browser: Client, owner: Person, stranger: Person) -> None:
    runs, others = [run_of(owner) for _ in range(2)], run_of(stranger)
    form = {"action": "cancel", "run": [str(run.pk) for run in (*runs, others)], "back": "/console/runs?name=echo"}
    answer = browser.post("/console/runs/selected", form)
    assert (answer.status_code, answer["Location"]) == (302, "/console/runs?name=echo")
    page = browser.get(answer["Location"]).text
    assert "2 runs cancelled." in page
    assert f"{others.pk}: There is no run" in page
    assert set(Run.objects.filter(owner=owner.user).values_list("state", flat=True)) == {State.REVOKED}
    assert Run.objects.get(pk=others.pk).state == State.PENDING
    browser.post("/console/runs/selected", form | {"action": "retry"})
    assert set(Run.objects.filter(state=State.PENDING, owner=owner.user).values_list("retry_of", flat=True)) == {
        run.pk for run in runs
    }


@pytest.mark.parametrize("form", [{"action": "delete"}, {"action": "cancel", "run": "x"}, {}])
def test_what_no_form_sends_is_refused(browser: Client, form: dict[str, str]) -> None:
    assert browser.post("/console/runs/selected", form).status_code == 400


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example/", "elsewhere", ""])
def test_the_way_back_leads_nowhere_else(browser: Client, back: str) -> None:
    answer = browser.post("/console/runs/selected", {"action": "cancel", "back": back})
    assert (answer.status_code, answer["Location"]) == (302, "/console/runs")


def test_a_run_is_shown_with_what_belongs_to_it(browser: Client, owner: Person) -> None:
    parent = run_of(owner, tags=["nightly"], metadata={"customer": "4711"})
    child = run_of(owner, "fail", parent=parent)
    page = browser.get(f"/console/runs/{parent.pk}").text
    assert "nightly" in page
    assert "4711" in page
    assert f'data-events="/runs/{parent.pk}/logs?follow=true&amp;moves=true"' in page
    assert str(child.pk) in browser.get(f"/console/runs/{parent.pk}/story").text
    assert str(parent.pk) in browser.get(f"/console/runs/{child.pk}").text
    assert "hello" in browser.get(f"/console/runs/{parent.pk}/values").text


def test_texts_of_runs_are_shown_as_they_are(browser: Client, owner: Person) -> None:
    run = run_of(owner, tags=["<b>bold</b>"])
    error = {"type": "<i>Error</i>", "message": "<script>alert(1)</script>"}
    Run.objects.filter(pk=run.pk).update(error=error, name="<u>name</u>", progress={"done": 1, "message": "<s>one</s>"})
    paths = ("/console/runs", f"/console/runs/{run.pk}", f"/console/runs/{run.pk}/values", "/")
    pages = "".join(browser.get(path).text for path in paths)
    assert "&lt;u&gt;name" in pages
    assert not [tag for tag in ("<b>bold", "<i>Error", "<script>alert", "<u>name", "<s>one") if tag in pages]


@pytest.mark.parametrize("key", ["items", "keys", "get", "0", "<b>", "a.b"])
def test_metadata_has_whatever_keys_its_owner_chose(browser: Client, owner: Person, key: str) -> None:
    run = run_of(owner, metadata={key: "4711", "other": "x"})
    page = browser.get(f"/console/runs/{run.pk}").text
    assert f"<dt>{html.escape(key)}</dt><dd>4711</dd>" in page


def test_a_moment_in_the_address_stays_when_another_filter_is_chosen(browser: Client, owner: Person) -> None:
    """A browser empties a field for dates that holds more than a date."""
    page = browser.get("/console/runs?since=2020-01-01T12:00:00Z&until=2999-01-01").text
    assert '<input type="text" id="filter-since" name="since" value="2020-01-01T12:00:00Z"' in page
    assert '<input type="date" id="filter-until" name="until" value="2999-01-01"' in page


def test_a_list_that_tells_a_fault_does_not_tell_it_again_and_again(browser: Client) -> None:
    assert "data-every" not in browser.get("/console/runs?state=NONSENSE").text
    assert "data-every" in browser.get("/console/runs?state=FAILURE").text


def test_home_leads_to_the_failures_that_it_counts(browser: Client, owner: Person) -> None:
    """By when they ended, however long ago they were accepted."""
    old, new = run_of(owner), run_of(owner)
    now, ago = new.created_at, new.created_at - timedelta(days=2)
    failed = Run.objects.filter(pk__in=[old.pk, new.pk])
    failed.update(state=State.FAILURE, ready=False, finished_at=now, error={"type": "E", "message": "no tea"})
    Run.objects.filter(pk=new.pk).update(id=oldest_id(ago))
    Run.objects.filter(pk=old.pk).update(finished_at=ago, error={"type": "E", "message": "too old"})
    home = browser.get("/").text
    assert ("no tea" in home, "too old" in home) == (True, False)
    (address,) = re.findall(r'href="([^"]*)"><strong>1</strong><span>failed', home)
    assert shown(browser.get(html.unescape(address))) == [str(oldest_id(ago))]


def test_secrets_are_masked(browser: Client, owner: Person) -> None:
    run = run_of(owner, ctx={"value": {"password": "opensesame", "text": "it is opensesame"}})
    cancel(run=run)
    for part in ("values", "again"):
        page = browser.get(f"/console/runs/{run.pk}/{part}").text
        assert "***" in page
        assert "opensesame" not in page


def test_the_steps_of_a_sequence_are_its_story(staff: Client, colleague: Person) -> None:
    run = submit_sequence(arguments={"requests": []}, owner=colleague.user)
    for number, path in enumerate(("requests[0]", "requests[1].__def_loop__[0].requests[0]"), 1):
        SequenceStep.objects.create(
            run=run, number=number, path=path, method="GET", url="http://h/<x>", duration_ms=number
        )
    page = staff.get(f"/console/runs/{run.pk}/story").text
    assert page.index("requests[0]") < page.index("__def_loop__[0]")
    assert 'aria-level="3"' in page
    assert staff.get(f"/console/runs/{run.pk}/story?after=7").status_code == 400
    assert "http://h/&lt;x&gt;" in page


def test_those_who_may_not_run_sequences_see_no_steps(browser: Client, owner: Person) -> None:
    run = submit_sequence(arguments={"requests": []}, owner=owner.user)
    SequenceStep.objects.create(run=run, number=1, path="requests[0]", method="GET", url="http://h/", duration_ms=1)
    assert "requests[0]" not in browser.get(f"/console/runs/{run.pk}/story").text


def test_a_run_is_cancelled_once(browser: Client, owner: Person) -> None:
    run = run_of(owner)
    answers = [browser.post(f"/console/runs/{run.pk}/cancel", follow=True).text for _ in range(2)]
    assert "The run is cancelled." in answers[0]
    assert "notice warning" in answers[1]
    assert Run.objects.get(pk=run.pk).state == State.REVOKED


def test_a_run_is_run_again_as_it_was_and_with_other_arguments(browser: Client, owner: Person) -> None:
    run = run_of(owner)
    refused = browser.post(f"/console/runs/{run.pk}/again", follow=True)
    assert "The run has not ended; it is PENDING." in refused.text
    cancel(run=run)
    browser.post(f"/console/runs/{run.pk}/again")
    changed = {"ctx": {"value": "goodbye"}}
    answer = browser.post(f"/console/runs/{run.pk}/again", {"arguments": json.dumps(changed)})
    assert answer.status_code == 302, answer.text
    again, other = Run.objects.filter(retry_of=run).order_by("id")
    assert (again.arguments["ctx"], other.arguments["ctx"]) == ({"value": "hello"}, {"value": "goodbye"})
    assert answer["Location"] == f"/console/runs/{other.pk}"


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"ctx": {"password": "***"}}', "nonsense"], ids=["broken", "list", "stars", "word"]
)
def test_other_arguments_that_cannot_be_are_told(browser: Client, owner: Person, text: str) -> None:
    run = run_of(owner)
    cancel(run=run)
    page = browser.post(f"/console/runs/{run.pk}/again", {"arguments": text})
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert not Run.objects.filter(retry_of=run).exists()


def test_home_shows_what_runs_and_what_failed(browser: Client, owner: Person) -> None:
    stranger = make_person("elsewhere@example.com")
    for person, name in ((owner, "mine"), (stranger, "theirs")):
        run = run_of(person, name)
        Run.objects.filter(pk=run.pk).update(
            state=State.FAILURE, ready=False, finished_at=run.created_at, error={"type": "E", "message": f"no {name}"}
        )
    page = browser.get("/").text
    assert "E: no mine" in page
    assert "theirs" not in page
    assert "<html" not in browser.get("/", headers={"HX-Request": "true"}).text


@pytest.mark.parametrize("time", ["hour", "day", "week"])
def test_charts_tell_what_ended_and_was_done(browser: Client, owner: Person, stranger: Person, time: str) -> None:
    for person in (owner, stranger, stranger):
        cancel(run=run_of(person))
        add_usage(person.user.pk, pages=12, failed_pages=3, inserted=40, updated=5, credits=15)
    page = browser.get(f"/console/charts?time={time}").text
    for words in ("1 revoked", "12 read", "3 failure", "40 inserted", "5 updated", "15 spent"):
        assert words in page
    assert "<title>" in page
    assert 'aria-pressed="true"' in page


def test_usage_is_charted_where_runs_are_too_many(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise Rejected("There are too many.")

    monkeypatch.setattr(home_charts, "count_runs", refuse)
    page = browser.get("/console/charts").text
    assert "There are too many." in page
    assert "Credits" in page


def test_there_is_no_other_span_of_time(browser: Client) -> None:
    assert browser.get("/console/charts?time=year").status_code == 400


def test_home_shows_queues_and_to_staff_the_workers(browser: Client, staff: Client, owner: Person) -> None:
    run_of(owner)
    page = browser.get("/").text
    assert "no worker" in page
    assert "<h2>Workers</h2>" not in page
    assert "<h2>Workers</h2>" in staff.get("/").text


def test_why_a_run_waits_is_told(browser: Client, owner: Person) -> None:
    run = run_of(owner)
    for path in ("/console/runs", f"/console/runs/{run.pk}"):
        assert owner.get(f"/runs/{run.pk}").json()["waiting_for"]["detail"] in html.unescape(browser.get(path).text)


FILTERS = "/console/runs/filters"


def saved(page: Any) -> list[tuple[str, str]]:
    """The saved filters above a list: their addresses and names."""
    row = page.text.partition('aria-label="Saved filters">')[2].partition("</div>")[0]
    return [(html.unescape(address), name) for address, name in re.findall(r'href="([^"]*)"[^>]*>(.*?)</a>', row)]


def test_a_filter_is_saved_renamed_and_deleted_by_whose_it_is(
    browser: Client, staff: Client, owner: Person, stranger: Person
) -> None:
    assert "Save this filter" not in browser.get("/console/runs").text
    page = browser.get("/console/runs?state=FAILURE&kind=walker")
    assert "Save this filter" in page.text
    query = "state=FAILURE&kind=walker&after=0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
    page = browser.post(FILTERS, {"action": "save", "name": " failed walkers ", "query": query}, follow=True)
    address = "/console/runs?kind=walker&state=FAILURE"
    assert page.redirect_chain == [(address, 302)]
    assert saved(page) == [(address, "failed walkers")]
    assert "Rename or delete" in page.text
    assert saved(browser.get("/console/runs")) == [(address, "failed walkers")]
    assert "Rename or delete" in browser.get("/console/runs?state=FAILURE&kind=walker").text
    number = SavedFilter.objects.get().pk
    for other in (staff, signed_in(stranger)):
        assert saved(other.get("/console/runs")) == []
        for action in ("rename", "delete"):
            assert other.post(FILTERS, {"action": action, "id": number, "name": "mine"}).status_code == 404
    page = browser.post(FILTERS, {"action": "rename", "id": number, "name": "failed", "query": query}, follow=True)
    assert saved(page) == [(address, "failed")]
    page = browser.post(FILTERS, {"action": "delete", "id": number, "query": query}, follow=True)
    assert (saved(page), SavedFilter.objects.count()) == ([], 0)
    assert "The filter is deleted." in page.text


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"name": "", "query": "kind=walker"}, "name: "),
        ({"name": "a\nb", "query": "kind=walker"}, "name: "),
        ({"name": "x" * 61, "query": "kind=walker"}, "name: "),
        ({"name": "all", "query": ""}, "query: "),
        ({"name": "all", "query": "after=0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"}, "query: "),
        ({"name": "wrong", "query": "state=NONSENSE"}, "state"),
        ({"name": "wrong", "query": "nonsense=1"}, "nonsense"),
        ({"name": "others", "query": "owner=0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"}, "owner: "),
        ({"name": "long", "query": "q=" + "x" * 200 + "&tag=" + "&tag=".join(["y" * 50] * 90)}, "query: "),
        ({"name": "kept", "query": "kind=walker"}, "You have a filter kept already."),
    ],
    ids=lambda value: None if isinstance(value, dict) else value.strip(": "),
)
def test_what_cannot_be_saved_is_told(browser: Client, owner: Person, sent: dict[str, str], fault: str) -> None:
    SavedFilter.objects.create(owner=owner.user, name="kept", query="kind=webhook")
    page = browser.post(FILTERS, {"action": "save", **sent}, follow=True)
    assert fault in page.text.partition('class="notice warning">')[2].partition("</p>")[0]
    assert SavedFilter.objects.count() == 1


def test_filters_have_an_end(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_filters, "FILTERS_MAX", 1)
    for name in ("a", "b"):
        browser.post(FILTERS, {"action": "save", "name": name, "query": f"name={name}"})
    assert [row.name for row in SavedFilter.objects.all()] == ["a"]


def test_there_is_nothing_else_to_do_with_filters(browser: Client) -> None:
    for sent in ({"action": "empty", "id": "1"}, {"action": "delete", "id": "x"}, {"action": "rename"}, {}):
        assert "There is no such action." in browser.post(FILTERS, sent, follow=True).text
