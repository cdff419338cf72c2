"""The form of when a schedule fires, and what it would be: the same fields as the times of `/schedules`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django import forms
from django.utils.dateparse import parse_datetime
from django_celery_beat.models import SolarSchedule

from taskhub.console.placed_form import PlacedForm
from taskhub.errors import Problem
from taskhub.jsontools.field_types import format_timestamp, parse_timestamp
from taskhub.runs.scheduler.cron import instant
from taskhub.runs.scheduler.schedule_preview import DueTime, preview
from taskhub.runs.scheduler.schedule_spec import zone_names
from taskhub.runs.schedules.serializers import PREVIEWED, SHOWN_DUE_TIMES

MOMENTS = ("clocked", "start", "end")
# The fields of each sort of times, all of which it needs.
NEEDED = {
    "interval": ("every", "period"),
    "crontab": ("crontab",),
    "solar": ("event", "latitude", "longitude"),
    "clocked": ("clocked",),
}
SORTS = [
    ("interval", "at intervals"),
    ("crontab", "by a crontab"),
    ("solar", "with the sun"),
    ("clocked", "once"),
]


def _moment_field(label: str, help_text: str = "") -> forms.CharField:
    """A local time in the form's zone; as a text, so that one which nobody touched is known."""
    widget = forms.TextInput(attrs={"step": "any"})
    widget.input_type = "datetime-local"
    return forms.CharField(label=label, required=False, max_length=40, help_text=help_text, widget=widget)


class TimesForm(PlacedForm):
    """When a schedule fires. The times of day in it are those of `timezone`."""

    places: ClassVar[Mapping[str, str]] = {
        "/when/interval": "every",
        "/when/interval/period": "period",
        "/when/crontab": "crontab",
        "/when/timezone": "timezone",
        "/when/solar": "event",
        "/when/solar/latitude": "latitude",
        "/when/solar/longitude": "longitude",
        "/when/clocked": "clocked",
        "/when": "times",
        "/start": "start",
        "/end": "end",
        "/one_off": "one_off",
    }
    times = forms.ChoiceField(label="It fires", choices=SORTS, initial="interval", widget=forms.RadioSelect)
    every = forms.IntegerField(required=False, min_value=1, initial=1)
    period = forms.ChoiceField(
        label="Unit",
        required=False,
        initial="hours",
        choices=[(name, name) for name in ("seconds", "minutes", "hours", "days")],
    )
    crontab = forms.CharField(
        required=False,
        initial="30 6 * * 1-5",
        help_text="Minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly.",
    )
    event = forms.ChoiceField(
        required=False,
        initial="sunrise",
        choices=[(name, name.replace("_", " ")) for name, _ in SolarSchedule._meta.get_field("event").choices or ()],
    )
    latitude = forms.FloatField(required=False, min_value=-90, max_value=90)
    longitude = forms.FloatField(required=False, min_value=-180, max_value=180)
    clocked = _moment_field("At")
    timezone = forms.CharField(
        label="Time zone",
        required=False,
        initial="UTC",
        help_text="Of the crontab, and of the times on this page.",
        widget=forms.TextInput(attrs={"list": "zones"}),
    )
    start = _moment_field("Not before", "Intervals count from it.")
    end = _moment_field("Not after")
    one_off = forms.BooleanField(label="Fires once", required=False)

    def clean(self) -> dict[str, Any]:
        chosen = self.cleaned_data.get("times", "")
        for sort, names in NEEDED.items():
            for name in names:
                if sort != chosen:
                    self.errors.pop(name, None)  # of a panel that does not show
                elif self.cleaned_data.get(name) in (None, "") and name not in self.errors:
                    self.add_error(name, "This is required.")
        self._read_moments(chosen)
        return self.cleaned_data

    def _read_moments(self, chosen: str) -> None:
        name = self.cleaned_data["timezone"] = self.cleaned_data.get("timezone") or "UTC"
        if name not in zone_names():
            self.add_error("timezone", f"There is no zone {name[:100]!r}, such as Europe/Warsaw.")
            return
        for field in MOMENTS:
            text = self.cleaned_data.get(field) or ""
            moment = _read_moment(text, ZoneInfo(name))
            if text and moment is None and (field != "clocked" or chosen == "clocked"):
                self.add_error(field, "This is no time, such as 2026-01-31T12:00.")
            elif field in self.cleaned_data:
                self.cleaned_data[field] = format_timestamp(moment) if moment else None

    @property
    def when(self) -> dict[str, Any]:
        """The times as calls say them, once the form is valid."""
        given = self.cleaned_data
        match given["times"]:
            case "crontab":
                return {"crontab": given["crontab"], "timezone": given["timezone"]}
            case "clocked":
                return {"clocked": given["clocked"]}
        return {given["times"]: {name: given[name] for name in NEEDED[given["times"]]}}

    def read_preview(self) -> list[DueTime]:
        """When it would fire; none where the form is not valid, which then says why."""
        if not self.is_valid():
            return []
        terms = {name: self.cleaned_data[name] for name in ("start", "end", "one_off")}
        try:
            checked = PREVIEWED.check({"when": self.when, "count": SHOWN_DUE_TIMES, **terms})
            asked: Any = {name: checked[name] for name in ("when", "count", *terms)}
            return preview(**asked)
        except Problem as problem:
            self.add_problem(problem)
            return []

    def add_faults(self, errors: Any) -> None:
        """What concerns the times as a whole, such as that they never come, is shown at those that were chosen."""
        for error in errors:
            chosen = f"/when/{self.cleaned_data.get('times')}" if error.get("pointer") == "/when" else ""
            super().add_faults([{**error, "pointer": chosen} if chosen else error])


def _read_moment(text: str, zone: ZoneInfo) -> datetime | None:
    """The instant of a local time; at the end of the gap, where the clock leaves it out. None for what is no time."""
    try:
        moment = parse_datetime(text)
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else instant(moment, zone)
    except (OverflowError, ValueError):
        return None


def initial_times(shown: Mapping[str, Any]) -> dict[str, Any]:
    """What the form shows at first of a schedule as calls show it."""
    when = dict(shown["when"] or {})
    zone = ZoneInfo(when.pop("timezone", "UTC"))
    values: dict[str, Any] = {"timezone": str(zone), "one_off": shown["one_off"] and "clocked" not in when}
    for sort, conf in when.items():
        values |= {"times": sort, **(conf if isinstance(conf, dict) else {sort: conf})}
    for name in MOMENTS:
        moment = values.get(name) or shown.get(name)
        values[name] = _local_text(parse_timestamp(moment), zone) if moment else ""
    return values


def _local_text(moment: datetime, zone: ZoneInfo) -> str:
    """A local time as short as browsers write it; the first or last that there is, where it would lie beyond."""
    try:
        local = moment.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        local = datetime.min if moment.year == 1 else datetime.max.replace(microsecond=0)
    return local.isoformat(timespec="minutes" if not local.second and not local.microsecond else "auto")
