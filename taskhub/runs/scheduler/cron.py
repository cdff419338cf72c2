"""Timetables: intervals, crontabs and single times. Pure: times are aware datetimes, and `now` is passed in.

What clocks do in spring and autumn follows the cron of Debian: a crontab at fixed local times fires once for each of
them, at the end of the gap where the time does not exist, and at the first of two where it comes twice; one with a
wildcard or a step in its hours or minutes goes by the time that passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

DAYS_MAX = 366 * 40  # within which every date that there is comes on every weekday
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}  # months


class Timetable(Protocol):
    def next_fire(self, after: datetime, until: datetime | None = None) -> datetime | None:
        """The first fire later than `after`, in UTC; None when there is none any more.

        Nobody asks for one later than `until`: it may be None then, so that rare dates are not looked for in vain.
        """


@dataclass(frozen=True)
class Interval:
    """At `anchor`, and at every multiple of `every` before and after it."""

    anchor: datetime
    every: timedelta

    def next_fire(self, after: datetime, until: datetime | None = None) -> datetime | None:
        try:
            return self.anchor + ((after - self.anchor) // self.every + 1) * self.every
        except OverflowError:  # there are no dates after the year 9999
            return None


@dataclass(frozen=True)
class Once:
    at: datetime

    def next_fire(self, after: datetime, until: datetime | None = None) -> datetime | None:
        return self.at if self.at > after else None


@dataclass(frozen=True)
class Crontab:
    """Local times of `zone` that are in all of the sets; weekdays count from Sunday, which is 0.

    `flows`: by the time that passes, rather than at fixed local times.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    zone: ZoneInfo
    flows: bool = False

    def next_fire(self, after: datetime, until: datetime | None = None) -> datetime | None:
        if not any(min(self.days, default=32) <= _LONGEST.get(month, 31) for month in self.months):
            return None
        days = DAYS_MAX if until is None else min(DAYS_MAX, max(0, (until - after).days) + 2)
        try:
            return self._flowing(after, days) if self.flows else self._fixed(after, days)
        except OverflowError:  # there are no dates after the year 9999
            return None

    def has_day(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _fixed(self, after: datetime, days: int) -> datetime | None:
        local = after.astimezone(self.zone).replace(tzinfo=None)
        for day in (local.date() + timedelta(days=number) for number in range(days)):
            if self.has_day(day):
                # The clock may have been put back since: so not only what is later on it.
                earliest = local - 4 * HOUR if day == local.date() else datetime.min
                for moment in self._moments(day, earliest):
                    if moment > after:
                        return moment
        return None

    def _moments(self, day: date, earliest: datetime) -> Iterator[datetime]:
        for hour in sorted(self.hours):
            if datetime.combine(day, time(hour, 59)) >= earliest:
                for minute in sorted(self.minutes):
                    yield instant(datetime.combine(day, time(hour, minute)), self.zone)

    def _flowing(self, after: datetime, days: int) -> datetime | None:
        moment = after.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
        begun, longest = moment, timedelta(days=days)
        while moment - begun < longest:
            local = moment.astimezone(self.zone)
            if not self.has_day(local.date()):
                step = timedelta(days=1) - timedelta(hours=local.hour, minutes=local.minute)
            elif local.hour not in self.hours:
                step = HOUR - timedelta(minutes=local.minute)
            elif local.minute not in self.minutes:
                step = MINUTE
            else:
                return moment
            # Over a change of the clock no step is taken in the dark.
            later = moment + step
            moment = later if later.astimezone(self.zone).utcoffset() == local.utcoffset() else moment + MINUTE
        return None


def latest_fire(timetable: Timetable, after: datetime, until: datetime) -> datetime | None:
    """The last fire later than `after` and not later than `until`, or None."""
    latest = timetable.next_fire(after)
    if latest is None or latest > until:
        return None
    earlier, later = after, until  # behind the first there is a fire, behind the second none
    while later - earlier > timedelta(seconds=1):
        middle = earlier + (later - earlier) / 2
        following = timetable.next_fire(middle, until)
        if following is not None and following <= until:
            earlier, latest = middle, following
        else:
            later = middle
    return latest


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant when a local clock first shows this time; where it never does, the end of the gap."""
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    return _change_between(local.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a change of the clock between two times."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
