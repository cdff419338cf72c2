"""The calendar of schedules: what fires on which day, and what came of it; bounded, however much that is."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import lxml.html
import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from taskhub.runs.domain import State
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.ends import end_revoked
from taskhub.runs.queue.submission import create_run
from taskhub.runs.schedules import fire_calendar
from taskhub.runs.schedules.fire_calendar import describe_times, month_span, read_calendar, week_of
from tests.conftest import Person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 10, 14, 12, tzinfo=UTC)  # a Wednesday
MONDAY = date(2026, 10, 12)


def make(person: Person, when: dict[str, Any], name: str = "daily", **more: Any) -> int:
    sent = {"name": name, "kind": "walker", "arguments": {"name": "echo", "ctx": {"value": 1}}, "when": when, **more}
    answer = person.post("/schedules", sent)
    assert answer.status_code == 201, answer.content
    return int(answer.json()["id"])


def fired(schedule_id: int, due_at: datetime, state: str = "SUCCESS", error: dict[str, str] | None = None) -> Run:
    schedule = Schedule.objects.get(pk=schedule_id)
    run = create_run(
        kind="walker", owner=schedule.owner, name="echo", arguments={}, schedule=schedule.name,
        schedule_id=schedule_id, due_at=due_at,
    )  # fmt: skip
    if state == "REVOKED":
        end_revoked(run=run, error=error or {"type": "Cancelled", "message": ""})
    else:
        finished = {"finished_at": due_at} if state in {"SUCCESS", "FAILURE"} else {}
        Run.objects.filter(pk=run.pk).update(state=state, ready=False, **finished)
    return run


def week(
    zone: str = "UTC", first: date = MONDAY, days: int = 7
) -> dict[int, list[tuple[str, list[str], dict[str, int]]]]:
    """By day of the month what fires: names, times in the zone, and outcomes."""
    place = ZoneInfo(zone)
    read, _ = read_calendar(Schedule.objects.select_related("periodic"), first=first, days=days, zone=place, now=NOW)
    return {
        day.date.day: [
            (entry.schedule.name, [f"{moment.astimezone(place):%H:%M}" for moment in entry.times], entry.outcomes)
            for entry in day.entries
        ]
        for day in read
        if day.entries
    }


def test_days_tell_of_what_came_of_past_fires_and_of_those_to_come(owner: Person) -> None:
    daily = make(owner, {"crontab": "30 6 * * 1-5"})
    make(owner, {"clocked": "2099-01-01T00:00:00Z"}, "late")
    Schedule.objects.filter(periodic__name="late").update(due_at=None)  # it has fired
    make(owner, {"crontab": "0 3 16 10 *"}, "early")
    fired(daily, datetime(2026, 10, 12, 6, 30, tzinfo=UTC))
    fired(daily, datetime(2026, 10, 13, 6, 30, tzinfo=UTC), "FAILURE")
    fired(daily, datetime(2026, 10, 14, 6, 30, tzinfo=UTC), "REVOKED", {"type": "Missed", "message": ""})
    assert week() == {
        12: [("daily", ["06:30"], {"SUCCESS": 1})],
        13: [("daily", ["06:30"], {"FAILURE": 1})],
        14: [("daily", ["06:30"], {"missed": 1})],
        15: [("daily", ["06:30"], {})],
        16: [("early", ["03:00"], {}), ("daily", ["06:30"], {})],
    }


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", {24: ["00:00"], 25: ["00:00"], 26: ["00:00"]}),
        ("Europe/Warsaw", {24: ["02:00"], 25: ["02:00"], 26: ["01:00"]}),  # the clock is put back on the 25th
        ("America/New_York", {23: ["20:00"], 24: ["20:00"], 25: ["20:00"]}),
    ],
)
def test_days_are_those_of_a_zone(owner: Person, zone: str, expected: dict[int, list[str]]) -> None:
    make(owner, {"crontab": "0 0 24-26 10 *"})
    found = week(zone, first=date(2026, 10, 19), days=14)
    assert {day: times for day, [(_, times, _)] in found.items()} == expected


@pytest.mark.parametrize(
    ("when", "more", "days"),
    [
        ({"interval": {"every": 2, "period": "days"}}, {"start": "2026-10-12T09:00:00Z"}, {16: 1, 18: 1}),
        ({"crontab": "0 9 * * *"}, {"end": "2026-10-16T10:00:00Z"}, {15: 1, 16: 1}),
        ({"crontab": "0 9 * * *"}, {"start": "2026-10-17T00:00:00Z"}, {17: 1, 18: 1}),
        ({"crontab": "0 9 * * *"}, {"one_off": True}, {15: 1}),
        ({"solar": {"event": "solar_noon", "latitude": 0, "longitude": 0}}, {}, {15: 1, 16: 1, 17: 1, 18: 1}),
        ({"clocked": "2099-01-01T00:00:00Z"}, {}, {}),
        ({"crontab": "0 9 * * *"}, {"enabled": False}, {}),
    ],
)
def test_each_sort_of_times_is_planned(
    owner: Person, when: dict[str, Any], more: dict[str, Any], days: dict[int, int]
) -> None:
    end = more.pop("end", None)
    make(owner, when, **more)
    if end:  # which is past by the real clock
        PeriodicTask.objects.update(expires=datetime.fromisoformat(end))
    Schedule.objects.filter(due_at__isnull=False).update(due_at=NOW)
    if when.get("interval"):
        Schedule.objects.update(due_at=datetime(2026, 10, 12, 9, tzinfo=UTC))
    found = {day: len(entries[0][1]) for day, entries in week().items()}
    assert {day: count for day, count in found.items() if day > 14} == days


def test_what_fires_all_the_time_is_cut_short(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    minutely = make(owner, {"interval": {"every": 1, "period": "minutes"}})
    Run.objects.bulk_create(
        Run(
            kind="walker", owner=owner.user, name="echo", state=State.SUCCESS, ready=False, schedule="daily",
            schedule_id=minutely, due_at=NOW - timedelta(minutes=number), finished_at=NOW,
        )
        for number in range(1, 300)
    )  # fmt: skip
    read, is_cut = read_calendar(
        Schedule.objects.select_related("periodic"), first=MONDAY, days=7, zone=ZoneInfo("UTC"), now=NOW
    )
    (today,) = read[2].entries
    assert (len(today.fires), today.has_more_fires, len(today.planned), today.has_more_planned) == (
        100,
        True,
        100,
        True,
    )
    assert (is_cut, describe_times(today.schedule)) == (False, "every minute")
    make(owner, {"crontab": "0 1 * * *"}, "other")
    monkeypatch.setattr(fire_calendar, "SCHEDULES_MAX", 1)
    read, is_cut = read_calendar(
        Schedule.objects.select_related("periodic"), first=MONDAY, days=7, zone=ZoneInfo("UTC"), now=NOW
    )
    assert (is_cut, {entry.schedule.name for day in read for entry in day.entries}) == (True, {"daily"})


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"interval": {"every": 1, "period": "days"}}, "every day"),
        ({"interval": {"every": 15, "period": "seconds"}}, "every 15 seconds"),
        ({"crontab": "*/5 * * * *"}, "*/5 * * * *"),
        ({"solar": {"event": "dawn_civil", "latitude": 1, "longitude": 1}}, "dawn civil"),
        ({"clocked": "2099-01-01T00:00:00Z"}, "once"),
    ],
)
def test_times_are_told_in_words(owner: Person, when: dict[str, Any], words: str) -> None:
    make(owner, when)
    assert describe_times(Schedule.objects.get()) == words


def test_months_are_whole_weeks() -> None:
    assert month_span(date(2026, 10, 14)) == (date(2026, 9, 28), 35)
    assert month_span(date(2026, 12, 31)) == (date(2026, 11, 30), 35)
    assert month_span(date(2027, 2, 1)) == (date(2027, 2, 1), 28)
    assert month_span(date(2026, 8, 1)) == (date(2026, 7, 27), 42)
    assert week_of(date(2026, 10, 18)) == MONDAY


# The call


def test_the_call_has_the_same_days(owner: Person, stranger: Person) -> None:
    daily = make(owner, {"crontab": "30 6 * * *"})
    fired(daily, datetime(2026, 1, 14, 6, 30, tzinfo=UTC), "FAILURE")
    query = {"first": "2026-01-14", "days": "2", "timezone": "Europe/Warsaw"}
    entry = {"schedule": daily, "name": "daily", "planned": [], "more_planned": False}
    assert owner.get("/schedules/calendar", query).json() == {
        "timezone": "Europe/Warsaw",
        "more_schedules": False,
        "days": [
            {"date": "2026-01-14", "entries": [{**entry, "outcomes": {"FAILURE": 1}, "more_outcomes": False}]},
            {"date": "2026-01-15", "entries": []},
        ],
    }
    week = owner.get("/schedules/calendar").json()
    assert (len(week["days"]), week["timezone"]) == (7, "UTC")
    planned = [moment for day in week["days"] for one in day["entries"] for moment in one["planned"]]
    assert planned == owner.get(f"/schedules/{daily}").json()["next_fires"][: len(planned)]
    assert len(planned) in {6, 7}
    assert not any(day["entries"] for day in stranger.get("/schedules/calendar", query).json()["days"])
    assert not any(day["entries"] for day in owner.get("/schedules/calendar", {"kind": "crawler"}).json()["days"])


@pytest.mark.parametrize(
    ("name", "text"),
    [("first", "soon"), ("first", "9999-12-31"), ("days", "43"), ("days", "0"), ("timezone", "Mars"), ("day", "1")],
)
def test_the_call_refuses_what_is_no_calendar(owner: Person, name: str, text: str) -> None:
    refused = owner.get("/schedules/calendar", {name: text})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, f"/{name}")


# The page


def cells(page: Any) -> dict[str, str]:
    """By day, the texts of the days on which something fires."""
    found = lxml.html.fromstring(page.text).xpath(
        "//table[contains(@class, 'calendar')]//td[not(contains(@class, 'blank'))]"
    )
    return {cell.xpath("a/@href")[0].rpartition("=")[2]: " ".join(cell.text_content().split()) for cell in found}


def test_a_month_and_a_week_are_shown(browser: Client, owner: Person) -> None:
    daily = make(owner, {"crontab": "30 6 * * *"})
    run = fired(daily, datetime(2026, 1, 14, 6, 30, tzinfo=UTC), "FAILURE")
    page = browser.get("/console/schedules/calendar?day=2026-01-31")
    assert cells(page) == {"2026-01-14": "Wed 14 January daily 06:30 failure"}
    for text in ("January 2026", f"/console/runs/{run.pk}", 'day=2025-12-31" rel="prev"', 'day=2026-02-01" rel="next"'):
        assert text in page.text
    week = browser.get("/console/schedules/calendar?view=week&day=2026-01-14&timezone=Europe/Warsaw")
    assert cells(week) == {"2026-01-14": "Wed 14 January daily 07:30 failure"}
    assert "12 January to 18 January 2026" in week.text
    to_come = cells(
        browser.get(f"/console/schedules/calendar?view=week&day={timezone.now().date() + timedelta(days=14)}")
    )
    assert len(to_come) == 7


def test_much_of_a_day_is_summed_up(browser: Client, owner: Person) -> None:
    often = make(owner, {"interval": {"every": 1, "period": "minutes"}}, "often")
    noon = datetime(2026, 1, 14, 12, tzinfo=UTC)
    for minutes in range(5):
        fired(often, noon + timedelta(minutes=minutes), "SUCCESS" if minutes else "FAILURE")
    for number in range(6):
        fired(make(owner, {"crontab": "0 0 * * *"}, f"other {number}"), noon + timedelta(hours=1))
    page = browser.get("/console/schedules/calendar?day=2026-01-14")
    assert "often 5 times, every minute 4 success failure" in cells(page)["2026-01-14"]
    assert cells(page)["2026-01-14"].endswith("and 2 more")
    assert "/console/runs?schedule=often&amp;state=SUCCESS&amp;since=2026-01-14" in page.text
    page = browser.get("/console/schedules/calendar")
    assert ">often</a> every minute" in page.text  # once, and not on each day to come
    assert [day for day, text in cells(page).items() if "often" in text] == []
    assert "other 5" in browser.get("/console/schedules/calendar?day=2026-01-14&view=week").text


@pytest.mark.parametrize(
    ("zone", "since"), [("Asia/Tokyo", "2026-01-13T15:00:00Z"), ("America/Los_Angeles", "2026-01-14T08:00:00Z")]
)
def test_what_is_summed_up_leads_to_the_runs_of_the_day_in_its_zone(
    browser: Client, owner: Person, zone: str, since: str
) -> None:
    often = make(owner, {"interval": {"every": 1, "period": "minutes"}}, "often")
    for minutes in range(2):
        fired(often, datetime(2026, 1, 14, 12, minutes, tzinfo=UTC))
    page = browser.get(f"/console/schedules/calendar?day=2026-01-14&timezone={zone}")
    (link,) = [one for one in lxml.html.fromstring(page.text).xpath("//a/@href") if "state=SUCCESS" in one]
    assert parse_qs(link)["since"] == [since]


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("view=year", "is not a valid choice"),
        ("day=tomorrow", "Date has wrong format"),
        ("day=0001-01-01", "The calendar has the years"),
        ("day=9999-12-31", "The calendar has the years"),
        ("timezone=Mars", "There is no such zone"),
        ("schedule=0", "greater than or equal to 1"),
        ("colour=red", "There is no such name here."),
    ],
)
def test_what_is_no_calendar_is_told(browser: Client, query: str, fault: str) -> None:
    page = browser.get(f"/console/schedules/calendar?{query}")
    assert (page.status_code, fault in page.text) == (200, True)


def test_a_calendar_is_of_what_the_viewer_may_see(browser: Client, owner: Person, stranger: Person) -> None:
    mine, other = make(owner, {"crontab": "0 0 * * *"}, "mine"), make(stranger, {"crontab": "0 0 * * *"}, "theirs")
    page = browser.get("/console/schedules/calendar").text
    assert ("mine" in page, "theirs" in page) == (True, False)
    assert "There is no schedule to show." in browser.get(f"/console/schedules/calendar?schedule={other}").text
    assert "mine" in browser.get(f"/console/schedules/calendar?schedule={mine}").text
    assert "There is no schedule to show." in browser.get("/console/schedules/calendar?kind=crawler").text
