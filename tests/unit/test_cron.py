"""When timetables fire: where clocks are put forward and back, where there is no such date, and everywhere else."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import ParseException, crontab
from hypothesis import given, settings
from hypothesis import strategies as st

from taskhub.runs.scheduler.cron import Crontab, Interval, Once, Timetable, instant, latest_fire
from taskhub.runs.scheduler.cron_fields import CRON_FIELDS

MINUTE = timedelta(minutes=1)
WARSAW = "Europe/Warsaw"


def table(text: str, zone: str = "UTC") -> Crontab:
    """Five fields in cron's order, read as Celery reads them."""
    minute, hour, day, month, weekday = text.split()
    read: Any = crontab(minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    return Crontab(
        minutes=frozenset(read.minute),
        hours=frozenset(read.hour),
        days=frozenset(read.day_of_month),
        months=frozenset(read.month_of_year),
        weekdays=frozenset(read.day_of_week),
        zone=ZoneInfo(zone),
        flows=minute.startswith("*") or hour.startswith("*"),
    )


def fires(timetable: Timetable, after: str, count: int) -> list[str]:
    found, moment = [], datetime.fromisoformat(after).replace(tzinfo=UTC)
    for _ in range(count):
        following = timetable.next_fire(moment)
        if following is None:
            break
        assert following > moment
        moment = following
        found.append(moment.isoformat(timespec="minutes").removesuffix("+00:00"))
    return found


# What the table says, zone, after, and the fires that follow, all in UTC.
CHANGES = [
    # At 02:00 on 29 March 2026 clocks in Warsaw show 03:00; at 03:00 on 25 October they show 02:00 again.
    ("30 2 * * *", WARSAW, "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
    ("0,15,30 2 * * *", WARSAW, "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
    ("30 2 29 3 *", WARSAW, "2026-01-01T00:00", ["2026-03-29T01:00", "2027-03-29T00:30"]),
    ("0 3 * * *", WARSAW, "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T01:00"]),
    ("30 2 * * *", WARSAW, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ("30 2,3 * * *", WARSAW, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-25T02:30", "2026-10-26T01:30"]),
    ("30 * * * *", WARSAW, "2026-03-29T00:00", ["2026-03-29T00:30", "2026-03-29T01:30"]),
    ("30 * * * *", WARSAW, "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
    ("*/20 2 * * *", WARSAW, "2026-03-28T12:00", ["2026-03-30T00:00", "2026-03-30T00:20"]),
    ("*/30 2 * * *", WARSAW, "2026-10-24T12:00", [f"2026-10-25T0{t}" for t in ("0:00", "0:30", "1:00", "1:30")]),
    ("0 */6 * * *", WARSAW, "2026-03-28T22:00", ["2026-03-28T23:00", "2026-03-29T04:00", "2026-03-29T10:00"]),
    ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
    ("30 2 * * *", "America/New_York", "2026-03-07T12:00", ["2026-03-08T07:00", "2026-03-09T06:30"]),
    # Half an hour only.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["2026-04-04T14:45", "2026-04-05T15:15"]),
    (
        "*/30 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04T13:00",
        [f"2026-04-04T{t}" for t in ("14:00", "14:30", "15:00")],
    ),
    # A day that there was not: behind 29 December 2011 comes 31 December.
    ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", ["2011-12-29T22:00", "2011-12-30T10:00", "2011-12-30T22:00"]),
    # Clocks were put forward at midnight.
    ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", ["2018-11-04T03:00", "2018-11-05T02:00"]),
    ("30 0 4 11 *", "America/Sao_Paulo", "2018-11-01T00:00", ["2018-11-04T03:00", "2019-11-04T03:30"]),
    # Clocks were put back at midnight, to the day before.
    ("30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00", ["2018-02-18T01:30", "2018-02-19T02:30"]),
    ("0 8 * * *", "Asia/Kathmandu", "2026-01-01T00:00", ["2026-01-01T02:15", "2026-01-02T02:15"]),
    ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ("0 0 29 2 mon", "UTC", "2026-01-01T00:00", ["2044-02-29T00:00", "2072-02-29T00:00"]),
    ("0 12 13 * fri", "UTC", "2026-01-01T00:00", ["2026-02-13T12:00", "2026-03-13T12:00", "2026-11-13T12:00"]),
    ("0 0 1 1 *", "UTC", "2026-01-01T00:00", ["2027-01-01T00:00"]),
]


@pytest.mark.parametrize(("text", "zone", "after", "expected"), CHANGES)
def test_fires_where_clocks_change(text: str, zone: str, after: str, expected: list[str]) -> None:
    assert fires(table(text, zone), after, max(1, len(expected))) == expected


@pytest.mark.parametrize("flows", [True, False])
def test_a_date_that_never_comes(flows: bool) -> None:
    every, month = frozenset(range(60)), frozenset({2})
    hours, weekdays = frozenset(range(24)), frozenset(range(7))
    cron = Crontab(every, hours, frozenset({30, 31}), month, weekdays, ZoneInfo("UTC"), flows=flows)
    assert fires(cron, "2026-01-01T00:00", 1) == []


def test_seconds_do_not_matter_to_a_crontab() -> None:
    after = datetime(2026, 1, 1, 12, 0, 59, 999, tzinfo=UTC)
    assert table("* * * * *").next_fire(after) == datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
    assert table("1 12 * * *").next_fire(after) == datetime(2026, 1, 1, 12, 1, tzinfo=UTC)


def test_intervals_do_not_drift() -> None:
    anchor = datetime(2026, 1, 1, 12, 0, 1, 500, tzinfo=UTC)
    every = Interval(anchor, timedelta(seconds=7))
    assert every.next_fire(anchor) == anchor + timedelta(seconds=7)
    assert every.next_fire(anchor - timedelta(microseconds=1)) == anchor
    assert every.next_fire(anchor + timedelta(days=365)) == anchor + timedelta(seconds=7 * (365 * 86400 // 7 + 1))
    assert every.next_fire(anchor - timedelta(seconds=8)) == anchor - timedelta(seconds=7)


def test_once_is_once() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert Once(at).next_fire(at - MINUTE) == at
    assert Once(at).next_fire(at) is None


def test_a_local_time_is_when_the_clock_first_shows_it() -> None:
    zone = ZoneInfo(WARSAW)
    assert instant(datetime(2026, 10, 25, 2, 30), zone) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert instant(datetime(2026, 3, 29, 2, 30), zone) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


FIELDS = st.tuples(
    st.sampled_from(["0", "*", "*/7", "5,35", "59", "10-20"]),
    st.sampled_from(["0", "*", "*/5", "2", "1-3", "9,17,23"]),
    st.sampled_from(["*", "1", "15,31", "28-31", "*/9"]),
    st.sampled_from(["*", "2", "3,10", "*/4"]),
    st.sampled_from(["*", "mon", "sat,sun", "1-5"]),
).map(" ".join)
ZONES = st.sampled_from(["UTC", WARSAW, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
MOMENTS = st.datetimes(datetime(2011, 1, 1), datetime(2035, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@settings(deadline=None)
@given(FIELDS, ZONES, MOMENTS)
def test_as_a_clock_that_is_looked_at_every_minute(text: str, zone: str, after: datetime) -> None:
    """Within a day without a change of the clock."""
    cron = table(text, zone)
    moments = [after.replace(second=0, microsecond=0) + number * MINUTE for number in range(1, 24 * 60)]
    locals_ = [moment.astimezone(cron.zone) for moment in [after - timedelta(hours=4), *moments]]
    if len({local.utcoffset() for local in locals_}) > 1:
        return
    shown = (
        moment
        for moment, local in zip(moments, locals_[1:], strict=True)
        if cron.has_day(local.date()) and local.hour in cron.hours and local.minute in cron.minutes
    )
    expected = next(shown, None)
    found = cron.next_fire(after)
    assert (found if found and found <= moments[-1] else None) == expected


@settings(deadline=None)
@given(FIELDS, ZONES, MOMENTS)
def test_fires_follow_each_other_and_show_what_the_table_says(text: str, zone: str, after: datetime) -> None:
    cron = table(text, zone)
    found: list[datetime] = [after]
    while len(found) < 6 and (following := cron.next_fire(found[-1])):
        found.append(following)
    assert all(earlier < later for earlier, later in pairwise(found))
    for moment in found[1:]:
        local = moment.astimezone(cron.zone)
        fits = cron.has_day(local.date()) and local.hour in cron.hours and local.minute in cron.minutes
        gap = local.utcoffset() != (moment - MINUTE).astimezone(cron.zone).utcoffset()
        assert fits or (gap and not cron.flows)


@settings(deadline=None)
@given(FIELDS, ZONES, MOMENTS, st.integers(0, 60 * 24 * 90))
def test_the_latest_fire_is_the_last_of_all(text: str, zone: str, after: datetime, minutes: int) -> None:
    cron, until = table(text, zone), after + minutes * MINUTE
    found = latest_fire(cron, after, until)
    if found is None:
        following = cron.next_fire(after)
        assert following is None or following > until
    else:
        assert after < found <= until
        later = cron.next_fire(found)
        assert later is None or later > until


def test_an_interval_ends_with_the_calendar() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    century = Interval(start, timedelta(days=36_525))
    assert century.next_fire(start) == datetime(2126, 1, 2, tzinfo=UTC)
    assert century.next_fire(datetime(9990, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("field", "text", "numbers"),
    [
        ("day_of_week", "7", {0}),
        ("day_of_week", "0,7", {0}),
        ("day_of_week", "5-7", {5, 6, 0}),
        ("day_of_week", "0-7", set(range(7))),
        ("day_of_week", "7-2", {0, 1, 2}),
        ("day_of_week", "7-7", {0}),
        ("day_of_week", "sat-mon", {6, 0, 1}),
        ("day_of_week", "SUN, Tuesday", {0, 2}),
        ("day_of_week", "mon-fri/2", {1, 3, 5}),
        ("day_of_week", "fri-3", {5, 6, 0, 1, 2, 3}),
        ("day_of_week", "*/2", {0, 2, 4, 6}),
        ("hour", "22-2", {22, 23, 0, 1, 2}),
        ("hour", "22-4/3", {22, 1, 4}),
        ("hour", "08", {8}),
        ("minute", "*/15", {0, 15, 30, 45}),
        ("minute", "5/20", {5, 25, 45}),
        ("minute", "1,13,30-33,50-59/4", {1, 13, 30, 31, 32, 33, 50, 54, 58}),
        ("minute", " 1 - 3 , 5 ", {1, 2, 3, 5}),
        ("day_of_month", "*/10", {1, 11, 21, 31}),
        ("month_of_year", "jan-Mar,OCTOBER", {1, 2, 3, 10}),
        ("month_of_year", "nov-feb", {11, 12, 1, 2}),
        ("month_of_year", "2-12/2", {2, 4, 6, 8, 10, 12}),
    ],
)
def test_fields_as_cron_and_celery_read_them(field: str, text: str, numbers: set[int]) -> None:
    assert CRON_FIELDS[field].numbers(text) == numbers


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("minute", text) for text in ("", "60", "-1", "1-", "-", "*/0", "*/", "/5", "1//2", "a", "1.5", "*-5")],
        *[("minute", text) for text in ("1,,2", "*/x", "1-2/", "5 6")],
        *[("hour", text) for text in ("24", "22-24", "noon", "1-2-3", "\u0661", "9" * 5000)],
        *[("day_of_week", text) for text in ("8", "fun", "mo", "jan", "5-8", "mondays", "?", "5L")],
        *[("day_of_month", text) for text in ("0", "32", "0-5", "L", "15W")],
        *[("month_of_year", text) for text in ("0", "13", "mon", "ja")],
    ],
)
def test_what_is_no_field_says_so(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|no step"):
        CRON_FIELDS[field].numbers(text)


SPECS = st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9]{1,2})?(,[0-9]{1,2})?", fullmatch=True)


@given(st.sampled_from(sorted(CRON_FIELDS)), SPECS)
def test_what_celery_reads_means_the_same_here(field: str, text: str) -> None:
    try:
        expected = getattr(crontab(**{field: text}), field)
    except (ParseException, ValueError):
        return
    assert CRON_FIELDS[field].numbers(text) == expected
