"""Walkers: called, and submitted to the background."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, Any

from taskhub_client.batches import submit_batches
from taskhub_client.errors import InvalidRequest, RunFailed
from taskhub_client.exchange import Flow, Request, call_object, idempotent, pages
from taskhub_client.operations import Awaiting, Blocking, emits, operation, starts_run, starts_runs
from taskhub_client.records import RunError, RunRecord
from taskhub_client.runs import Records, get_run

Upload = bytes | IO[bytes] | tuple[str, bytes | IO[bytes]]  # a file, or its name and the file
JsonObject = dict[str, Any]
Report = list[Any]
CALL_SECONDS = 3600.0 + 30  # a walk that is waited for lasts up to an hour


@dataclass(frozen=True)
class RunOptions:
    """What may be said of a run when it is submitted. What is None is left out.

    Args:
        tags: up to 20 short texts, to find it by.
        metadata: up to 50 names with their values.
        priority: 1 to 9, higher first among your own; 5 otherwise.
        run_at: not before this time.
        expires_at: not begun by then, it is not begun at all.
        concurrency: `{"key", "limit", "policy"}`.
        webhook: an address that is told of the end.
    """

    tags: list[str] | None = None
    metadata: Mapping[str, Any] | None = None
    priority: int | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    concurrency: Mapping[str, Any] | None = None
    webhook: str | None = None

    def members(self) -> dict[str, Any]:
        """Those given, as JSON."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}


class WalkerCalls:
    """`hub.walkers`."""

    @emits(JsonObject)
    def list(self) -> Flow[None]:
        """Iterates over all walkers: name, description, and the JSON Schema of what they take."""
        return (yield from pages("/js/walker_list"))

    @operation
    def get(self, name: str) -> Flow[JsonObject]:
        """One walker. Raises `NotFound`."""
        return (yield from call_object(Request("GET", "/js/walker_get", {"name": name})))

    @operation
    def run(
        self,
        name: str,
        ctx: Mapping[str, Any] | None = None,
        /,
        *,
        node: str | None = None,
        files: Mapping[str, Upload] | None = None,
        idempotency_key: str | None = None,
        **values: Any,
    ) -> Flow[Report]:
        """Calls a walker, waits for its end, and returns what it reported.

        `values` are its fields; `ctx` is for those whose names are taken here. `node` is the node to stand on, by id or
        alias. Raises `RunFailed` with the report so far where the walker fails, `InvalidRequest` where the values do
        not fit.
        """
        request = walker_request(name, {**(ctx or {}), **values}, node, files, {})
        try:
            answer = yield from call_object(idempotent(request, idempotency_key))
        except InvalidRequest as error:
            if error.type != "walker-failed":
                raise
            raise RunFailed(RunError.parse(error.problem.get("error")), report=error.problem.get("report")) from error
        return list(answer["report"])

    @starts_run
    def submit(
        self,
        name: str,
        ctx: Mapping[str, Any] | None = None,
        /,
        *,
        node: str | None = None,
        files: Mapping[str, Upload] | None = None,
        options: RunOptions | None = None,
        idempotency_key: str | None = None,
        **values: Any,
    ) -> Flow[RunRecord]:
        """Submits a walker to the background, and returns its run: wait for it, follow it, cancel it.

        A hub without workers makes the walk at once: then the run has ended.
        """
        members = {"is_async": True, **(options or RunOptions()).members()}
        request = walker_request(name, {**(ctx or {}), **values}, node, files, members)
        try:
            answer = yield from call_object(idempotent(request, idempotency_key))
        except InvalidRequest as error:
            if error.type != "walker-failed":
                raise
            answer = error.problem
        return (yield from get_run(answer["task_id"]))

    @starts_runs
    def submit_many(
        self,
        name: str,
        ctxs: Iterable[Mapping[str, Any]],
        /,
        *,
        node: str | None = None,
        options: RunOptions | None = None,
        idempotency_key: str | None = None,
    ) -> Flow[Records]:
        """Submits a walker many times, once with each of `ctxs`, and returns the runs, in the same order.

        It takes one request for a thousand of them; see `hub.runs.batch`, which submits different walkers, too.
        """
        members = {"name": name, **({"nd": node} if node else {}), **(options or RunOptions()).members()}
        return (yield from submit_batches(({**members, "ctx": dict(ctx)} for ctx in ctxs), idempotency_key))


def walker_request(
    name: str, ctx: dict[str, Any], node: str | None, files: Mapping[str, Upload] | None, members: dict[str, Any]
) -> Request:
    """The call of a walker: JSON, or multipart where files come with it."""
    body = {"name": name, "ctx": ctx, **({"nd": node} if node else {}), **members}
    if not files:
        return Request("POST", "/js/walker_run", json=body, read_seconds=CALL_SECONDS)
    form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    parts = {field: read_upload(field, upload) for field, upload in files.items()}
    return Request("POST", "/js/walker_run", form=form, files=parts, read_seconds=CALL_SECONDS)


def read_upload(field: str, upload: Upload) -> tuple[str, bytes]:
    """A file's name and bytes, which can be sent again where the first answer was lost."""
    name, content = upload if isinstance(upload, tuple) else (str(getattr(upload, "name", field)), upload)
    return name.rpartition("/")[2], content if isinstance(content, bytes) else content.read()


class Walkers(WalkerCalls, Blocking):
    """`hub.walkers`."""


class AsyncWalkers(WalkerCalls, Awaiting):
    """`hub.walkers` for asyncio."""
