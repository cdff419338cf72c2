"""Extractions of web pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskhub_client.exchange import Flow, Request, call_object, idempotent, pages, remove
from taskhub_client.operations import Awaiting, Blocking, emits, operation, starts_process

JsonObject = dict[str, Any]


class ExtractionCalls:
    """`hub.extraction`."""

    @operation
    def create(self, payload: Mapping[str, Any]) -> Flow[JsonObject]:
        """Stores a payload as a task. Raises `InvalidRequest` whose `errors` name each fault's place."""
        return (yield from call_object(idempotent(Request("POST", "/v1/task/create", json=dict(payload)))))

    @starts_process
    def run(
        self, task: str, payload: Mapping[str, Any] | None = None, *, max_credits: int | None = None
    ) -> Flow[JsonObject]:
        """Runs a task, by its id; `payload` is merged into its own for this run. Returns the process."""
        members = {"payload": payload, "maxCredits": max_credits}
        body = {name: value for name, value in members.items() if value is not None}
        return (yield from call_object(idempotent(Request("POST", f"/v1/task/{task}/run", json=body))))

    @starts_process
    def extract(self, payload: Mapping[str, Any]) -> Flow[JsonObject]:
        """Stores a payload as a task and runs it. Returns the process."""
        task = yield from call_object(idempotent(Request("POST", "/v1/task/create", json=dict(payload))))
        return (yield from call_object(idempotent(Request("POST", f"/v1/task/{task['id']}/run", json={}))))

    @starts_process
    def process(self, process_id: str) -> Flow[JsonObject]:
        """A process, by its id."""
        return (yield from call_object(Request("GET", f"/v1/process/{process_id}/info")))

    @emits(JsonObject)
    def list(self) -> Flow[None]:
        """Iterates over tasks, newest first."""
        return (yield from pages("/v1/tasks"))

    @operation
    def get(self, task: str) -> Flow[JsonObject]:
        """A task."""
        return (yield from call_object(Request("GET", f"/v1/task/{task}/info")))

    @operation
    def delete(self, task: str) -> Flow[None]:
        yield from remove(f"/v1/task/{task}/delete")

    @operation
    def preview(self, payload: Mapping[str, Any]) -> Flow[JsonObject]:
        """Tries a payload at its first page: records, what each field found, warnings. Nothing is kept."""
        return (yield from call_object(Request("POST", "/v1/preview", json=dict(payload), read_seconds=90)))


class Extraction(ExtractionCalls, Blocking):
    """`hub.extraction`."""


class AsyncExtraction(ExtractionCalls, Awaiting):
    """`hub.extraction` for asyncio."""
