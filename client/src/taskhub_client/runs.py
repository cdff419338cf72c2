"""Runs: one that was started or asked for, and the list of them."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from taskhub_client.batches import submit_batches
from taskhub_client.connection import AsyncConnection, Connection
from taskhub_client.errors import RunCancelled, RunFailed, WaitTimeout
from taskhub_client.exchange import Flow, Request, call, call_object, idempotent, pages
from taskhub_client.operations import Awaiting, Blocking, emits, operation, starts_run, starts_runs
from taskhub_client.records import ENDED, REVOKED, SUCCESS, LogLine, RunRecord
from taskhub_client.server_events import server_events

Records = list[RunRecord]
WAIT_SECONDS = 25.0  # of one call that waits, less than proxies do; it is made again until the run has ended


def get_run(run_id: str) -> Flow[RunRecord]:
    return RunRecord.parse((yield from call_object(Request("GET", f"/runs/{run_id}"))))


def wait_for_run(run_id: str, timeout: float | None = None) -> Flow[RunRecord]:
    """The whole run when it has ended. Raises `WaitTimeout` after `timeout` seconds."""
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        seconds = WAIT_SECONDS if until is None else max(0.0, min(WAIT_SECONDS, until - time.monotonic()))
        query = {"task_id": run_id, "timeout": f"{seconds:.3f}"}
        waited = Request("GET", "/js/walker_queue_wait", query, read_seconds=seconds + 30)
        status = yield from call_object(waited)
        if status["state"] in ENDED:
            return (yield from get_run(run_id))
        if until is not None and time.monotonic() >= until:
            raise WaitTimeout(f"Run {run_id} has not ended after {timeout:g} seconds; it is {status['state']}.")


def result_of(record: RunRecord) -> Any:
    """The result of a run that has ended. Raises `RunFailed` and `RunCancelled`."""
    if record.state == SUCCESS:
        return record.result
    raise (RunCancelled if record.state == REVOKED else RunFailed)(record.error, run=record)


class RunHandle:
    """What `Run` and `AsyncRun` have in common: the run's record, as it was when the hub was last asked."""

    _connection: Any

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def state(self) -> str:
        return self.record.state

    @property
    def ended(self) -> bool:
        return self.record.ended

    @property
    def result(self) -> Any:
        """None until the run has been waited for, or has been refreshed after its end."""
        return self.record.result

    @property
    def report(self) -> list[Any]:
        """What a walker reported; empty for other runs."""
        result = self.record.result
        return list(result.get("report", ())) if isinstance(result, Mapping) else []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.record.name or self.record.kind} {self.id} {self.state}>"

    @operation
    def refresh(self) -> Flow[RunRecord]:
        """Asks the hub for the whole run, and returns its record."""
        self.record = yield from get_run(self.id)
        return self.record

    @operation
    def wait(self, timeout: float | None = None) -> Flow[Any]:
        """Waits for the end, and returns the result.

        Raises `RunFailed` or `RunCancelled` where it ended otherwise, `WaitTimeout` after `timeout` seconds.
        """
        self.record = yield from wait_for_run(self.id, timeout)
        return result_of(self.record)

    @emits(RunRecord)
    def events(self) -> Flow[None]:
        """Iterates over the run's moves as they happen: first its present state, last its end."""

        def is_last(record: RunRecord) -> bool:
            self.record = record
            return record.ended

        return (yield from server_events(f"/runs/{self.id}/events", "run", RunRecord.parse, is_last=is_last))

    @emits(LogLine)
    def logs(self, level: str | None = None, *, follow: bool = False) -> Flow[None]:
        """Iterates over the lines of the log, from `level` on; with `follow` also over those that come, to the end."""
        path, query = f"/runs/{self.id}/logs", {"level": level}
        if follow:
            return (yield from server_events(path, "log", LogLine.parse, query={**query, "follow": "true"}))
        return (yield from pages(path, query, parse=LogLine.parse))

    @operation
    def cancel(self) -> Flow[RunRecord]:
        """Cancels the run. Raises `Conflict` where it has ended already."""
        request = Request("POST", f"/runs/{self.id}/cancel", done_status=409)
        answer = yield from call(request)
        self.record = RunRecord.parse(answer) if answer else (yield from get_run(self.id))
        return self.record

    @starts_run
    def retry(self, arguments: Mapping[str, Any] | None = None) -> Flow[RunRecord]:
        """Starts a new run of one that has ended, with other arguments where they are given."""
        body = None if arguments is None else {"arguments": dict(arguments)}
        return RunRecord.parse(
            (yield from call_object(idempotent(Request("POST", f"/runs/{self.id}/retry", json=body))))
        )


class Run(RunHandle, Blocking):
    """A run of anything in the background."""

    def __init__(self, connection: Connection, record: RunRecord) -> None:
        RunHandle.__init__(self, record)
        Blocking.__init__(self, connection)


class AsyncRun(RunHandle, Awaiting):
    """A run of anything in the background, for asyncio."""

    def __init__(self, connection: AsyncConnection, record: RunRecord) -> None:
        RunHandle.__init__(self, record)
        Awaiting.__init__(self, connection)


def bulk_body(all: bool, filters: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a bulk change: its filter as JSON, or that it is for all runs."""
    named = {name: as_json(value) for name, value in filters.items() if value is not None}
    return {**({"filter": named} if named else {}), **({"all": True} if all else {})}


def as_json(value: Any) -> Any:
    """A value of a filter as a body has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | Mapping) or not isinstance(value, Iterable) else [*value]


def change_runs(action: str, body: dict[str, Any], idempotency_key: str | None) -> Flow[RunRecord]:
    request = idempotent(Request("POST", f"/runs/{action}", json=body), idempotency_key)
    return RunRecord.parse((yield from call_object(request)))


def as_text(value: Any) -> Any:
    """A value of a query as the hub reads it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return ",".join(str(entry) for entry in value)


class RunCalls:
    """`hub.runs`."""

    @starts_run
    def get(self, run_id: str) -> Flow[RunRecord]:
        """One run, whole. Raises `NotFound`."""
        return (yield from get_run(run_id))

    @starts_runs
    def batch(self, calls: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None) -> Flow[Records]:
        """Submits many calls of walkers to the background, and returns their runs, in the same order.

        A call is `{"name", "ctx", "nd", "snt", "run_at"}` and what may be said of a run, such as `tags`. A thousand are
        one request, which the hub accepts as a whole or refuses: `InvalidRequest` names the places, such as
        `/runs/3/ctx/value`. What other requests before it have brought stays accepted.
        """
        return (yield from submit_batches(calls, idempotency_key))

    @starts_run
    def cancel_many(
        self, /, *, all: bool = False, idempotency_key: str | None = None, **filters: Any
    ) -> Flow[RunRecord]:
        """Cancels all runs that match, in the background, and returns the run that does it.

        The filters are those of `list`; `all=True` stands for none. Its result says how many were changed.
        """
        return (yield from change_runs("cancel", bulk_body(all, filters), idempotency_key))

    @starts_run
    def retry_many(
        self, /, *, all: bool = False, idempotency_key: str | None = None, **filters: Any
    ) -> Flow[RunRecord]:
        """Tries all runs again that match and were not tried again before; without `state` those that failed."""
        return (yield from change_runs("retry", bulk_body(all, filters), idempotency_key))

    @operation
    def count_matched(self, action: str, /, *, all: bool = False, **filters: Any) -> Flow[int]:
        """How many runs `cancel_many` (`action` is "cancel") or `retry_many` ("retry") would change."""
        body = {**bulk_body(all, filters), "dry_run": True}
        return int((yield from call_object(Request("POST", f"/runs/{action}", json=body)))["matched"])

    @emits(RunRecord)
    def list(
        self, /, *, limit: int | None = None, metadata: Mapping[str, Any] | None = None, **filters: Any
    ) -> Flow[None]:
        """Iterates over runs, newest first, `limit` at most: yours, for staff everybody's.

        The filters are those of `GET /runs`: `state`, `kind`, `name`, `owner`, `tag`, `error`, `parent`, `retry_of`,
        `schedule`, `since`, `until`, `finished_since`, `finished_until`, and `q`, a part of a name, a tag or an error.
        Several values are a list; `metadata` is an object.
        """
        return (yield from pages("/runs", _filters(metadata, filters), parse=RunRecord.parse, limit=limit))

    @operation
    def stats(
        self, /, *, bucket: str = "hour", by: str = "state", since: Any = None, until: Any = None, **filters: Any
    ) -> Flow[builtins.list[dict[str, Any]]]:
        """What ended by `bucket` (`minute`, `hour`, `day`) and `by` (`state`, `kind`, `name`, `queue`, `none`).

        Each entry has `bucket`, `group`, `runs`, and `p50` and `p95` of the seconds of `duration` and `waiting`. The
        filters are `kind`, `name` and `owner`.
        """
        query = {
            **_filters(None, filters),
            "bucket": bucket,
            "by": by,
            "since": as_text(since),
            "until": as_text(until),
        }
        said = {name: value for name, value in query.items() if value is not None}
        return builtins.list((yield from call_object(Request("GET", "/runs/stats", said)))["results"])


def _filters(metadata: Mapping[str, Any] | None, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A query; what has several values is repeated in it, for a name may have a comma."""
    query = {f"metadata.{name}": as_text(value) for name, value in (metadata or {}).items()}
    for name, value in filters.items():
        if value is not None:
            query[name] = [as_text(one) for one in value] if isinstance(value, list | tuple) else as_text(value)
    return query


class Runs(RunCalls, Blocking):
    """`hub.runs`."""


class AsyncRuns(RunCalls, Awaiting):
    """`hub.runs` for asyncio."""
