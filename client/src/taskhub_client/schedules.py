"""Schedules of walkers, sequences, crawlers and extractions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from taskhub_client.exchange import Flow, Request, call_object, idempotent, pages, remove
from taskhub_client.operations import Awaiting, Blocking, emits, operation, starts_run
from taskhub_client.records import RunRecord
from taskhub_client.runs import as_text

JsonObject = dict[str, Any]
Objects = list[JsonObject]


class ScheduleCalls:
    """`hub.schedules`."""

    @operation
    def create(
        self, /, name: str, kind: str, arguments: Mapping[str, Any], when: Mapping[str, Any] | str, **members: Any
    ) -> Flow[JsonObject]:
        """Makes a schedule. `kind` is walker, sequence, crawler or extraction; a text as `when` is a crontab.

        `members` are the others of `POST /schedules`: `overlap`, `missed`, `jitter`, `webhook`, `enabled` and so on.
        """
        body = {"name": name, "kind": kind, "arguments": dict(arguments), "when": as_when(when), **members}
        return (yield from call_object(idempotent(Request("POST", "/schedules", json=body))))

    @emits(JsonObject)
    def list(self, /, **filters: Any) -> Flow[None]:
        """Iterates over schedules, newest first; the filters are `name`, `kind`, `enabled`."""
        query = {name: as_text(value) for name, value in filters.items() if value is not None}
        return (yield from pages("/schedules", query))

    @operation
    def get(self, schedule_id: int) -> Flow[JsonObject]:
        """A schedule, with its next fires."""
        return (yield from call_object(Request("GET", f"/schedules/{schedule_id}")))

    @operation
    def update(self, /, schedule_id: int, **changes: Any) -> Flow[JsonObject]:
        """Changes these members."""
        if "when" in changes:
            changes = {**changes, "when": as_when(changes["when"])}
        return (yield from call_object(Request("PATCH", f"/schedules/{schedule_id}", json=changes)))

    @operation
    def delete(self, schedule_id: int) -> Flow[None]:
        """Removes a schedule; its runs stay."""
        yield from remove(f"/schedules/{schedule_id}")

    @operation
    def pause(self, schedule_id: int) -> Flow[JsonObject]:
        return (yield from call_object(Request("POST", f"/schedules/{schedule_id}/pause")))

    @operation
    def resume(self, schedule_id: int) -> Flow[JsonObject]:
        return (yield from call_object(Request("POST", f"/schedules/{schedule_id}/resume")))

    @starts_run
    def run(self, schedule_id: int) -> Flow[RunRecord]:
        """Starts a run now, beside what goes on."""
        request = idempotent(Request("POST", f"/schedules/{schedule_id}/run"))
        return RunRecord.parse((yield from call_object(request)))

    @emits(JsonObject)
    def fires(self, schedule_id: int) -> Flow[None]:
        """Iterates over what became of the due times, newest first."""
        return (yield from pages(f"/schedules/{schedule_id}/fires"))

    @operation
    def calendar(
        self, /, first: date | str | None = None, days: int | None = None, timezone: str | None = None, **filters: Any
    ) -> Flow[JsonObject]:
        """What fires on each of the days from `first` on, today where it is left out, and how what has fired came out.

        `{"timezone", "days": [{"date", "entries"}], "more_schedules"}`. Filters are those of `list`, and `schedule`.
        """
        said = {"first": first and str(first), "days": days, "timezone": timezone, **filters}
        query = {name: as_text(value) for name, value in said.items() if value is not None}
        return (yield from call_object(Request("GET", "/schedules/calendar", query)))

    @operation
    def preview(self, /, when: Mapping[str, Any] | str, **members: Any) -> Flow[Objects]:
        """The next times of such a schedule, `{"utc", "local", "mark"}`; nothing is stored."""
        answer = yield from call_object(Request("POST", "/schedules/preview", json={"when": as_when(when), **members}))
        return list(answer["fires"])


def as_when(when: Mapping[str, Any] | str) -> dict[str, Any]:
    return {"crontab": when} if isinstance(when, str) else dict(when)


class Schedules(ScheduleCalls, Blocking):
    """`hub.schedules`."""


class AsyncSchedules(ScheduleCalls, Awaiting):
    """`hub.schedules` for asyncio."""
