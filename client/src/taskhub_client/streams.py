"""External crawlers, their tasks, and the streams of documents that they fill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from taskhub_client.documents import Documents, download, lines_of, state_request, upload_documents
from taskhub_client.exchange import (
    Emit,
    Flow,
    Pause,
    Request,
    call_object,
    call_payload,
    idempotent,
    pages,
    remove,
    send,
)
from taskhub_client.operations import Awaiting, Blocking, emits, operation
from taskhub_client.runs import as_text

JsonObject = dict[str, Any]
Objects = list[JsonObject]
NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class ChangePage:
    """Changes of a stream in the order of commits, the cursor from which to go on, and whether there are more now."""

    changes: Objects
    cursor: str
    more: bool


def docs_query(fields: Iterable[str] | None, filters: Mapping[str, Any]) -> dict[str, Any]:
    query = {name: as_text(value) for name, value in filters.items() if value is not None}
    return {**query, **({"fields": ",".join(fields)} if fields else {})}


def get_changes(fid: str, cursor: str | None, limit: int | None) -> Flow[ChangePage]:
    request = Request("GET", f"/streams/{fid}/changes", {"cursor": cursor, "limit": limit})
    page = yield from call_payload(request)
    cursor = parse_qs(urlsplit(page["next"]).query)["cursor"][0]
    return ChangePage(list(page["results"]), cursor, bool(page["more"]))


class StreamCalls:
    """`hub.streams`."""

    @operation
    def create(self, /, name: str, **members: Any) -> Flow[JsonObject]:
        """Makes a stream; its `fid` is its id."""
        body = {"meta": {"name": name, **members.pop("meta", {})}, **members}
        return (yield from call_payload(idempotent(Request("POST", "/streams", json=body))))

    @emits(JsonObject)
    def list(self) -> Flow[None]:
        """Iterates over streams."""
        return (yield from pages("/streams", enveloped=True))

    @operation
    def get(self, fid: str) -> Flow[JsonObject]:
        """A stream with its crawler, its latest task, and how many documents it shows."""
        return (yield from call_payload(Request("GET", f"/streams/{fid}")))

    @operation
    def delete(self, fid: str) -> Flow[None]:
        yield from remove(f"/streams/{fid}")

    @emits(JsonObject)
    def docs(self, /, fid: str, *, fields: Iterable[str] | None = None, **filters: Any) -> Flow[None]:
        """Iterates over documents, whatever their number.

        The filters are those of `GET /streams/{fid}/docs`: `where`, `since`, `until`, `task`, `order`, `wrapped`.
        """
        query = docs_query(fields, filters)
        request = Request("GET", f"/streams/{fid}/docs", query, headers={"Accept": NDJSON}, streamed=True)
        return (yield from lines_of(request))

    @operation
    def doc(self, fid: str, document_id: str) -> Flow[JsonObject]:
        """One document, by its id. Raises `NotFound`."""
        return (yield from call_payload(Request("GET", f"/streams/{fid}/docs/{quote(document_id, safe='')}")))

    @operation
    def export(
        self,
        /,
        fid: str,
        path: str | Path,
        format: str = "ndjson",
        *,
        fields: Iterable[str] | None = None,
        **filters: Any,
    ) -> Flow[Path]:
        """Writes documents to a file: ndjson, array, csv or xlsx. It is there when it is whole."""
        query = {**docs_query(fields, filters), "format": format}
        request = Request("GET", f"/streams/{fid}/docs", query, headers={"Accept": "*/*"}, streamed=True)
        return (yield from download(request, path))

    @operation
    def changes(self, fid: str, cursor: str | None = None, *, limit: int | None = None) -> Flow[ChangePage]:
        """What changed behind a cursor; without one, from the beginning.

        Go on at the cursor of the page: at once while there is `more`, and later for what happens from now on.
        """
        return (yield from get_changes(fid, cursor, limit))

    @emits(ChangePage)
    def follow(self, fid: str, cursor: str | None = None, *, seconds: float = 5.0) -> Flow[None]:
        """Iterates over pages of changes without end, and looks for new ones each `seconds`."""
        while True:
            page = yield from get_changes(fid, cursor, None)
            cursor = page.cursor
            if page.changes:
                yield Emit(page)
            if not page.more:
                yield Pause(seconds)


class Streams(StreamCalls, Blocking):
    """`hub.streams`."""


class AsyncStreams(StreamCalls, Awaiting):
    """`hub.streams` for asyncio."""


class CrawlerCalls:
    """`hub.crawlers`: external crawlers, those made of them, and their tasks."""

    @operation
    def register(self, /, name: str, endpoint: str, **members: Any) -> Flow[JsonObject]:
        """Registers an external crawler: `parameters`, `schema`, `docIdField`, `headers` and so on are its members."""
        body = {"meta": {"name": name, **members.pop("meta", {})}, "endpoint": endpoint, **members}
        return (yield from call_payload(idempotent(Request("POST", "/externals", json=body))))

    @operation
    def create(
        self,
        /,
        external: str,
        name: str,
        *,
        stream: str | None = None,
        params: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> Flow[JsonObject]:
        """Makes a crawler of an external, for a stream; without one, for a new stream of its name."""
        links = [{"from": {"type": "streams", "fid": stream}}] if stream else []
        body = {"meta": {"name": name, **({"links": links} if links else {})}, "params": dict(params or {}), **members}
        request = Request("POST", f"/actions/externals/{external}/crawler", json=body)
        made = yield from call_payload(idempotent(request))
        return dict(made["crawler"])

    @emits(JsonObject)
    def list(self, /, **filters: Any) -> Flow[None]:
        """Iterates over crawlers; the filters are `external` and `stream`."""
        return (yield from pages("/crawlers", docs_query(None, filters), enveloped=True))

    @operation
    def get(self, fid: str) -> Flow[JsonObject]:
        return (yield from call_payload(Request("GET", f"/crawlers/{fid}")))

    @operation
    def delete(self, fid: str) -> Flow[None]:
        yield from remove(f"/crawlers/{fid}")

    @operation
    def state(self, fid: str) -> Flow[Any]:
        """What a crawler keeps from task to task: any JSON; None where it keeps nothing."""
        return (yield from call_object(Request("GET", f"/crawlers/{fid}/state"))).get("payload")

    @operation
    def set_state(self, fid: str, state: Any) -> Flow[None]:
        """Replaces what a crawler keeps, such as by None, so that it begins anew."""
        yield from send(state_request(f"/crawlers/{fid}", state))

    @operation
    def start(self, fid: str, params: Mapping[str, Any] | None = None) -> Flow[JsonObject]:
        """Starts a task, or shows the one that runs. Its `run` is the id of its run, to wait for."""
        body = {"params": dict(params)} if params else {}
        request = Request("POST", f"/actions/crawlers/{fid}/task", json=body)
        return (yield from call_payload(idempotent(request)))

    @emits(JsonObject)
    def tasks(self, /, **filters: Any) -> Flow[None]:
        """Iterates over tasks, newest first; the filters are those of `GET /tasks`: `crawler`, `stream`, `running`."""
        return (yield from pages("/tasks", docs_query(None, filters), enveloped=True))

    @operation
    def task(self, fid: str) -> Flow[JsonObject]:
        """One task, with its status and counts."""
        return (yield from call_payload(Request("GET", f"/tasks/{fid}")))

    @operation
    def upload(
        self, task: str, documents: Documents, *, batch: int | None = None, on_invalid: str | None = None
    ) -> Flow[dict[str, int]]:
        """Uploads documents to a task, and returns the counts that the hub gives.

        `documents` are mappings, or a file with one JSON object a line. They are stored as a whole or not at all; with
        `batch`, so many at a time. `on_invalid="skip"` stores what fits the schema and sets the rest aside.
        """
        return (yield from upload_documents(f"/actions/tasks/{task}", documents, batch=batch, on_invalid=on_invalid))

    @operation
    def delete_task(self, task: str) -> Flow[None]:
        """Stops a task, and takes its documents out of the stream."""
        yield from remove(f"/actions/tasks/{task}")


class Crawlers(CrawlerCalls, Blocking):
    """`hub.crawlers`."""


class AsyncCrawlers(CrawlerCalls, Awaiting):
    """`hub.crawlers` for asyncio."""
