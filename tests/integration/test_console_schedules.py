"""The console's pages of schedules."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import lxml.html
import pytest
from django.test import Client
from django_celery_beat.models import PeriodicTask

from taskhub.console import schedule_pages
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.ends import end_revoked
from taskhub.runs.scheduler.schedules import run_schedule_now
from tests import crawler_client
from tests.conftest import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def daily(owner: Person) -> int:
    sent = {
        "name": "<b>daily</b>",
        "kind": "walker",
        "arguments": {"name": "echo", "ctx": {"value": "hello"}},
        "when": {"interval": {"every": 1, "period": "days"}},
    }
    return int(owner.post("/schedules", sent).json()["id"])


def act(browser: Client, schedule: int, action: str) -> Any:
    return browser.post(f"/console/schedules/{schedule}/action", {"action": action}, follow=True)


def test_schedules_are_listed_for_those_who_may_see_them(browser: Client, daily: int, stranger: Person) -> None:
    page = browser.get("/console/schedules").text
    assert f"/console/schedules/{daily}" in page
    assert "&lt;b&gt;daily" in page
    assert "in 23 h" in page
    browser.force_login(stranger.user)
    assert "There are no schedules yet." in browser.get("/console/schedules").text


def test_a_schedule_is_paused_resumed_and_run(browser: Client, owner: Person, daily: int) -> None:
    assert "The schedule is paused." in act(browser, daily, "pause").text
    assert owner.get(f"/schedules/{daily}").json()["enabled"] is False
    assert "The schedule goes on." in act(browser, daily, "resume").text
    assert owner.get(f"/schedules/{daily}").json()["enabled"] is True
    page = act(browser, daily, "run").text
    assert "A run is started: this is it." in page
    assert str(Run.objects.get(schedule_id=daily).pk) in page
    assert act(browser, daily, "delete").status_code == 400


def test_what_stops_a_schedule_is_told(browser: Client, daily: int) -> None:
    PeriodicTask.objects.update(task="nothing.that.is.installed")
    page = act(browser, daily, "run").text
    assert "notice error" in page
    assert not Run.objects.exists()


# Made, changed, deleted


ARGUMENTS = '{\n    // every morning\n    "name": "echo",\n    "ctx": {"value": "hello"}\n}'
ENTERED = {
    "name": "nightly",
    "kind": "walker",
    "arguments": ARGUMENTS.replace("\n", "\r\n"),  # as browsers send it
    "times": "interval",
    "every": "2",
    "period": "hours",
    "timezone": "UTC",
    "overlap": "skip",
    "missed": "latest",
    "jitter": "0",
    "enabled": "on",
}
INTERVAL = {"interval": {"every": 2, "period": "hours"}}


def fault_at(page: Any, field: str) -> str:
    """What the page says at a field."""
    if field == "arguments":
        faults = lxml.html.fromstring(page.text).get_element_by_id("editor-arguments-faults")
        return " ".join(faults.text_content().split())
    return str(page.text.partition(f'id="id_{field}_error"')[2].partition(">")[2].partition("</p>")[0])


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({}, {"when": INTERVAL, "enabled": True}),
        (
            {"times": "crontab", "crontab": "*/5 8-17 * * 1-5", "timezone": "Europe/Warsaw"},
            {"when": {"crontab": "*/5 8-17 * * 1-5", "timezone": "Europe/Warsaw"}},
        ),
        ({"times": "crontab", "crontab": "@daily"}, {"when": {"crontab": "0 0 * * *", "timezone": "UTC"}}),
        (
            {"times": "solar", "event": "sunset", "latitude": "52.23", "longitude": "21.01"},
            {"when": {"solar": {"event": "sunset", "latitude": 52.23, "longitude": 21.01}}},
        ),
        (
            {"times": "clocked", "clocked": "2099-01-01T00:00", "timezone": "Europe/Warsaw"},
            {"when": {"clocked": "2098-12-31T23:00:00Z"}, "one_off": True},
        ),
        (
            {"start": "2098-07-01T12:00", "end": "2099-01-01T12:00:30", "timezone": "Europe/Warsaw", "one_off": "on"},
            {"start": "2098-07-01T10:00:00Z", "end": "2099-01-01T11:00:30Z", "one_off": True},
        ),
        (
            {"overlap": "wait", "missed": "all", "jitter": "30", "webhook": "https://example.com/hook", "enabled": ""},
            {"overlap": "wait", "missed": "all", "jitter": 30, "webhook": "https://example.com/hook", "enabled": False},
        ),
        (
            {
                "run-tags": "a\r\nb",
                "run-metadata": '{"shop": 7}',
                "run-priority": "9",
                "run-concurrency": '{"key": "k"}',
            },
            {"tags": ["a", "b"], "metadata": {"shop": 7}, "priority": 9, "concurrency": {"key": "k"}},
        ),
        # What stands in a panel that does not show is not read.
        ({"crontab": "nonsense", "latitude": "1000", "clocked": "never"}, {"when": INTERVAL}),
    ],
)
def test_a_schedule_is_made(browser: Client, owner: Person, sent: dict[str, str], shown: dict[str, Any]) -> None:
    answer = browser.post("/console/schedules/new?kind=walker", {**ENTERED, **sent})
    assert answer.status_code == 302, answer.text
    (made,) = owner.get("/schedules").json()["results"]
    assert answer["Location"] == f"/console/schedules/{made['id']}"
    assert {name: made[name] for name in shown} == shown
    assert made["arguments"] == {"name": "echo", "ctx": {"value": "hello"}}
    assert Schedule.objects.get().written == ARGUMENTS  # comments and all


@pytest.mark.parametrize(
    ("sent", "field", "fault"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"kind": "nothing"}, "kind", "Select a valid choice."),
        ({"arguments": '{"name": "nothing"}'}, "arguments", "Line 1, column 2 name The sentinel global has no walker"),
        (
            {"arguments": '{"name": "pause",\n "ctx": {"steps": 0}}'},
            "arguments",
            "Line 2, column 10 ctx.steps Input should be",
        ),
        ({"arguments": '{\n"name": }'}, "arguments", "Line 2, column 9 "),
        ({"every": ""}, "every", "This is required."),
        ({"every": "99999999999"}, "every", "less than or equal"),
        ({"times": "crontab", "crontab": "61 * * * *"}, "crontab", "minute: 61 is no minute"),
        ({"times": "crontab", "crontab": "0 0 30 2 *"}, "crontab", "It never fires."),
        ({"times": "crontab", "crontab": "* *"}, "crontab", "Must have five fields"),
        ({"timezone": "../../etc/passwd"}, "timezone", "There is no zone"),
        ({"times": "solar", "event": "sunset", "latitude": "91", "longitude": "0"}, "latitude", "less than or equal"),
        ({"times": "solar", "event": "sunset", "latitude": "", "longitude": "0"}, "latitude", "This is required."),
        ({"times": "clocked", "clocked": "soon"}, "clocked", "This is no time"),
        ({"times": "clocked", "clocked": "2001-01-01T00:00"}, "clocked", "It never fires."),
        ({"start": "2026-02-30T00:00"}, "start", "This is no time"),
        ({"end": "2001-01-01T00:00"}, "end", "Its end is past."),
        ({"overlap": "never"}, "overlap", "Select a valid choice."),
        ({"jitter": "86401"}, "jitter", "less than or equal to 86400"),
        ({"webhook": "ftp://example.com"}, "webhook", "http"),
        ({"run-tags": "a,b"}, "run-tags", "/0: A tag has no comma"),
        ({"run-priority": "10"}, "run-priority", "less than or equal to 9"),
        ({"run-concurrency": '{"limit": 2}'}, "run-concurrency", "/key: This is required."),
    ],
)
def test_what_is_wrong_is_told_at_its_field(browser: Client, sent: dict[str, str], field: str, fault: str) -> None:
    page = browser.post("/console/schedules/new?kind=walker", {**ENTERED, **sent})
    assert page.status_code == 400
    assert fault in fault_at(page, field)
    assert "&quot;hello&quot;" in page.text or "arguments" in sent  # nothing that was written is lost
    assert not Schedule.objects.exists()


def test_a_name_is_an_owners_once(browser: Client, owner: Person) -> None:
    assert browser.post("/console/schedules/new?kind=walker", ENTERED).status_code == 302
    page = browser.post("/console/schedules/new?kind=walker", ENTERED)
    assert (page.status_code, Schedule.objects.count()) == (409, 1)
    assert "already" in fault_at(page, "name")


@pytest.fixture
def whole(owner: Person) -> int:
    """A schedule with everything that one may have, and secrets."""
    sent = {
        "name": "whole",
        "kind": "walker",
        "arguments": '{"name": "echo", // as it is\n "ctx": {"value": "x"}}',
        "when": {"crontab": "0 6 * * *", "timezone": "Europe/Warsaw"},
        "start": "2026-01-01T00:00:00.25Z",
        "end": "2099-01-01T00:00:00Z",
        "overlap": "cancel",
        "missed": "none",
        "jitter": 5,
        "webhook": "https://example.com/hook?key=abcdef",
        "tags": ["a", "b"],
        "metadata": {"token": "abcdef", "shop": 1},
        "priority": 7,
        "concurrency": {"key": "k", "limit": 2},
    }
    return int(owner.post("/schedules", sent).json()["id"])


def entered(page: Any) -> dict[str, str]:
    """What the form on a page would send if nobody touched it."""
    form = lxml.html.fromstring(page.text).get_element_by_id("schedule")
    return {name: str(value or "").removeprefix("\n") for name, value in form.form_values()}  # as browsers read areas


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_first_and_the_last_time_that_there_is_may_be_changed(browser: Client, owner: Person, zone: str) -> None:
    sent = {
        "name": "always",
        "kind": "walker",
        "arguments": {"name": "echo", "ctx": {"value": "x"}},
        "when": {"crontab": "0 6 * * *", "timezone": zone},
        "start": "0001-01-01T00:00:00Z",
        "end": "9999-12-31T23:59:59Z",
    }
    made = owner.post("/schedules", sent).json()
    address = f"/console/schedules/{made['id']}/change"
    assert browser.post(address, entered(browser.get(address)) | {"jitter": "7"}).status_code == 302
    changed = owner.get(f"/schedules/{made['id']}").json()
    assert {**changed, "next_fires": []} == {**made, "next_fires": [], "jitter": 7}


@pytest.mark.parametrize("person", ["owner", "staff"])
def test_what_nobody_touches_stays(browser: Client, owner: Person, colleague: Person, whole: int, person: str) -> None:
    before = [
        owner.get(f"/schedules/{whole}").json(),
        Schedule.objects.get().written,
        Schedule.objects.get().run_options,
    ]
    if person == "staff":
        browser.force_login(colleague.user)
    page = browser.get(f"/console/schedules/{whole}/change")
    assert ("abcdef" in page.text) == (person == "owner")
    assert browser.post(f"/console/schedules/{whole}/change", entered(page)).status_code == 302
    after = [
        owner.get(f"/schedules/{whole}").json(),
        Schedule.objects.get().written,
        Schedule.objects.get().run_options,
    ]
    assert after == before


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"name": "other"}, {"name": "other"}),
        ({"crontab": "0 7 * * *"}, {"when": {"crontab": "0 7 * * *", "timezone": "Europe/Warsaw"}}),
        (
            {"timezone": "UTC"},  # of the other times on the page, too
            {
                "when": {"crontab": "0 6 * * *", "timezone": "UTC"},
                "start": "2026-01-01T01:00:00.250000Z",
                "end": "2099-01-01T01:00:00Z",
            },
        ),
        ({"times": "interval"}, {"when": {"interval": {"every": 1, "period": "hours"}}, "one_off": False}),
        ({"start": ""}, {"start": None}),
        ({"run-tags": "", "run-metadata": "", "run-priority": ""}, {"tags": [], "metadata": {}, "priority": None}),
        ({"webhook": ""}, {"webhook": ""}),
        ({"arguments": '{"name": "pause", "ctx": {}}'}, {"arguments": {"name": "pause", "ctx": {}}}),
        ({"enabled": None}, {"enabled": False}),
    ],
)
def test_a_schedule_is_changed(
    browser: Client, owner: Person, whole: int, sent: dict[str, Any], shown: dict[str, Any]
) -> None:
    before = owner.get(f"/schedules/{whole}").json()
    form = {**entered(browser.get(f"/console/schedules/{whole}/change")), **sent}
    answer = browser.post(
        f"/console/schedules/{whole}/change", {name: text for name, text in form.items() if text is not None}
    )
    assert answer.status_code == 302, answer.text
    after = owner.get(f"/schedules/{whole}").json()
    assert {name: after[name] for name in shown} == shown
    untouched = before.keys() - {*shown, "next_fires"}
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


def test_stars_are_no_metadata(browser: Client, owner: Person, whole: int) -> None:
    form = entered(browser.get(f"/console/schedules/{whole}/change"))
    assert "***" in form["run-metadata"]
    form["run-metadata"] = form["run-metadata"].replace("1", "2")
    page = browser.post(f"/console/schedules/{whole}/change", form)
    assert "These are stars" in fault_at(page, "run-metadata")
    refused = owner.call("PATCH", f"/schedules/{whole}", {"metadata": {"token": "***"}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/metadata/token")
    assert Schedule.objects.get().run_options["metadata"]["token"] == "abcdef"


def test_a_schedule_is_deleted_and_its_runs_stay(browser: Client, daily: int) -> None:
    assert 'id="ask-delete"' in browser.get(f"/console/schedules/{daily}").text
    act(browser, daily, "run")
    page = browser.post(f"/console/schedules/{daily}/delete", follow=True)
    assert "is deleted. Its runs stay." in page.text
    assert (Schedule.objects.count(), Run.objects.count()) == (0, 1)


# What to start


def test_what_there_is_to_start_leads_to_the_form(browser: Client, owner: Person, colleague: Person) -> None:
    empty = browser.get("/console/schedules/new").text
    assert "You have no extraction task yet." in empty
    assert '"/console/crawlers/externals"' in empty
    external = crawler_client.external(owner, "http://127.0.0.1:9/shop", parameters=[])
    crawler = crawler_client.crawler(owner, external, {})["crawler"]["fid"]
    payload = {"name": "shoes", "request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
    task = owner.post("/v1/task/create", payload).json()["id"]
    page = browser.get("/console/schedules/new").text
    for query, name, arguments in [
        (
            "kind=walker&of=pause&snt=taskhub",
            "pause",
            {"name": "pause", "snt": "taskhub", "ctx": {"seconds": 1.0, "steps": 10}},
        ),
        (f"kind=crawler&of={crawler}", None, {"crawler": crawler}),
        (f"kind=extraction&of={task}", "shoes", {"task": task}),
    ]:
        assert f'href="?{query.replace("&", "&amp;")}"' in page
        form = entered(browser.get(f"/console/schedules/new?{query}"))
        assert json.loads(form["arguments"]) == arguments
        assert name in (None, form["name"])
        assert browser.post("/console/schedules/new", {**form, "name": query}).status_code == 302
    assert "You have no stored sequence" not in page  # who may not run sequences
    browser.force_login(colleague.user)
    assert "You have no stored sequence" in browser.get("/console/schedules/new").text
    assert crawler not in browser.get("/console/schedules/new").text  # what is another's


@pytest.mark.parametrize(
    ("query", "status"),
    [("kind=walker", 200), ("kind=sequence", 200), ("kind=nothing", 404), ("kind=walker&of=nothing", 404)],
)
def test_only_what_there_is_can_be_written_down(browser: Client, query: str, status: int) -> None:
    page = browser.get(f"/console/schedules/new?{query}")
    assert page.status_code == status
    assert ("// " in page.text) == (status == 200)  # an example with its comments


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"kind": "walker", "arguments": ARGUMENTS}, "No faults."),
        (
            {"kind": "walker", "arguments": '{"name": "nothing"}'},
            "Line 1, column 2 /name The sentinel global has no walker",
        ),
        ({"kind": "walker", "arguments": ""}, "/name This is required"),
        ({"kind": "walker", "arguments": "[]"}, "The arguments are no object."),
        ({"kind": "walker", "arguments": "{"}, "Line 1, column 2"),
        ({"kind": "sequence", "arguments": "{}"}, "Sequences are for staff"),
        ({"kind": "extraction", "arguments": '{"task": "1XtQA0Z15N3fqKZuzPKESUsTIW1"}'}, "task Must be the id of one"),
        ({"kind": "crawler", "arguments": "{}"}, "crawler"),
        ({}, "No faults."),
    ],
)
def test_arguments_are_checked_while_somebody_writes(browser: Client, sent: dict[str, str], told: str) -> None:
    page = browser.post("/console/schedules/check", sent, headers={"HX-Request": "true"})
    assert told in " ".join(lxml.html.fromstring(f"<div>{page.text}</div>").text_content().split())


def test_arguments_are_checked_as_those_of_the_owner(browser: Client, colleague: Person, whole: int) -> None:
    sent = {"kind": "sequence", "arguments": '{"requests": []}', "schedule": str(whole)}
    browser.force_login(colleague.user)
    assert "Sequences are for staff" in browser.post("/console/schedules/check", sent).text
    assert "No faults." in browser.post("/console/schedules/check", {**sent, "schedule": ""}).text
    assert browser.post("/console/schedules/check", {**sent, "schedule": "999999"}).status_code == 404


# The preview


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"times": "crontab", "crontab": "0 6 * * *"}, ["06:00 UTC", "in "]),
        (
            {"times": "crontab", "crontab": "30 2 30 3 *", "timezone": "Europe/Warsaw", "start": "2098-03-01T00:00"},
            ["2098-03-30 03:00 CEST", "the clock leaves it out"],
        ),
        ({"times": "clocked", "clocked": "2099-01-01T00:00:07"}, ["2099-01-01 00:00:07 UTC"]),
        ({"times": "crontab", "crontab": "61 * * * *"}, ["61 is no minute", "These times are not valid yet."]),
        ({"times": "interval", "every": ""}, ["This is required."]),
        ({}, ["This field is required."]),
    ],
)
def test_the_next_fires_are_shown_while_somebody_writes(browser: Client, sent: dict[str, str], told: list[str]) -> None:
    page = browser.post("/console/schedules/preview", sent, headers={"HX-Request": "true"})
    assert page.status_code == 200  # what is wrong is told in the page
    assert [text for text in told if text not in page.text] == []
    assert ("<time" in page.text) == ("These times" not in page.text)
    assert 'id="id_crontab_error" hx-swap-oob="true"' in page.text


def test_the_preview_needs_no_script(browser: Client) -> None:
    page = browser.post("/console/schedules/new", {**ENTERED, "preview": "1"})
    assert page.text.count("<time") == 10
    assert not Schedule.objects.exists()


# The list, and what came of it


def test_schedules_are_filtered_as_by_the_call(browser: Client, daily: int, whole: int) -> None:
    rows = {
        query: [
            f"/console/schedules/{one}" in browser.get(f"/console/schedules?{query}").text for one in (daily, whole)
        ]
        for query in ("name=whole", "kind=walker", "kind=crawler", "enabled=false", "name=&kind=")
    }
    assert rows == {
        "name=whole": [False, True],
        "kind=walker": [True, True],
        "kind=crawler": [False, False],
        "enabled=false": [False, False],
        "name=&kind=": [True, True],
    }
    assert "No schedule is like that." in browser.get("/console/schedules?kind=crawler").text
    assert "nothing" in browser.get("/console/schedules?kind=nothing").text


def test_lists_go_on_with_their_filter(
    browser: Client, daily: int, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_pages, "PAGE_ROWS", 1)
    page = browser.get("/console/schedules?kind=walker").text
    assert (f"/console/schedules/{whole}" in page, f"/console/schedules/{daily}" in page) == (True, False)
    assert f'href="?kind=walker&amp;after={whole}"' in page
    assert f"/console/schedules/{daily}" in browser.get(f"/console/schedules?kind=walker&after={whole}").text


def test_fires_are_listed_with_their_lag_and_outcome(
    browser: Client, owner: Person, daily: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for hours, error in enumerate([None, {"type": "Missed", "message": "It was due at noon."}]):
        run = run_schedule_now(schedule=Schedule.objects.get())
        moment = due + timedelta(hours=hours)
        Run.objects.filter(pk=run.pk).update(due_at=moment, created_at=moment + timedelta(seconds=75))
        if error:
            end_revoked(run=run, error=error)
    act(browser, daily, "run")  # which was never due
    rows = rows_of(browser.get(f"/console/schedules/{daily}"))
    assert [row[1:3] for row in rows] == [["1 min 15 s", "missed"], ["1 min 15 s", "run"]]
    assert rows[0][-1] == "Missed: It was due at noon."
    monkeypatch.setattr(schedule_pages, "FIRES", 1)
    page = browser.get(f"/console/schedules/{daily}")
    (older,) = lxml.html.fromstring(page.text).xpath("//a[@rel='next']/@href")
    assert [row[2] for row in rows_of(page)] == ["missed"]
    assert [row[2] for row in rows_of(browser.get(f"/console/schedules/{daily}{older}"))] == ["run"]


def rows_of(page: Any) -> list[list[str]]:
    """The texts of the fires on a page."""
    rows = lxml.html.fromstring(page.text).xpath("//section[@id='fires']//tbody/tr")
    return [[" ".join(cell.text_content().split()) for cell in row] for row in rows]
