"""`/console/streams`: the streams that crawlers fill, their documents as a table, and one document."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from rest_framework.exceptions import ValidationError

from crawlers.api.request_models import DocsQuery
from crawlers.api.serializers import serialize_streams
from crawlers.domain.field_paths import cell_value, find_field, read_fields, read_line
from crawlers.models import CrawlerTask, Stream
from crawlers.services.document_selection import columns_of_stream, select_documents
from crawlers.services.stream_reader import (
    DocumentPage,
    DocumentVersion,
    find_document,
    read_cursor,
    read_page,
    write_cursor,
)
from taskhub.console.console_view import ConsoleView, entries_of, list_position, without_empty
from taskhub.console.json_tree import JsonView, one_line
from taskhub.errors import Problem
from taskhub.web import cursor_pagination
from taskhub.web.problems import as_problem
from taskhub.web.query_values import query_values

STREAMS, DOCUMENTS, TASKS = 50, 50, 10  # on one page
COLUMNS_MAX = 12  # of the table; a document has a page on which all its fields are
FORMATS = {"csv": "CSV", "xlsx": "XLSX", "ndjson": "JSON Lines", "array": "JSON"}
SHOWN = frozenset({"where", "fields", "since", "until", "order"})  # what the form has fields for


class StreamListView(ConsoleView):
    """The list, newest first, each with the last task that filled it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = Stream.objects.visible_to(request.user).select_related("owner")
        page = cursor_pagination.read_page(rows, "-id", STREAMS, after=list_position(request))
        streams = list(zip(page.rows, serialize_streams(page.rows), strict=True))
        last = page.rows[-1].pk if page.has_next else None
        return render(request, "console/streams.html", {"streams": streams, "last": last})


class StreamPageView(ConsoleView):
    """One stream, and its documents, selected as `GET /streams/{fid}/docs` does; the newest first."""

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        stream = Stream.objects.select_related("owner").get_visible(request.user, fid)
        query = without_empty(request.GET)
        cursor = query.pop("cursor", [None])[-1]
        query.setdefault("order", "newest")
        faults: list[str] = []
        page = DocumentPage([], None)
        fields: Sequence[str] = ()
        try:
            fields = read_fields(str(query["fields"])) if "fields" in query else ()
            page = _read(stream, query, cursor)
        except (Problem, ValidationError) as error:
            faults = entries_of(as_problem(error))
        tasks = CrawlerTask.objects.filter(stream=stream, removed_at__isnull=True).defer("params", "secrets")
        context = {
            "stream": stream,
            "shown": serialize_streams([stream])[0],
            "tasks": list(tasks.order_by("-id")[:TASKS]),
            "table": DocumentTable(stream, page.documents, fields),
            "faults": faults,
            "query": query,
            "more_filters": [(name, text) for name, texts in query.lists() if name not in SHOWN for text in texts],
            "is_filtered": any(name != "order" for name in query),
            "first": _address(stream, query) if cursor else "",
            "next": _address(stream, query, cursor=write_cursor(page.next)) if page.next is not None else "",
            "exports": [] if faults else [(label, _export(stream, query, name)) for name, label in FORMATS.items()],
        }
        return render(request, "console/stream.html", context)


def _read(stream: Stream, query: QueryDict, cursor: str | None) -> DocumentPage:
    """Raises `Rejected` and REST framework's `ValidationError`."""
    checked = DocsQuery(data=query_values(query, ()))
    checked.is_valid(raise_exception=True)
    asked = {name: checked.validated_data.get(name) for name in ("task", "order", "since", "until", "where")}
    selection = select_documents(stream, **{name: value for name, value in asked.items() if value})
    return read_page(selection=selection, after=read_cursor(cursor, selection), limit=DOCUMENTS)


def _address(stream: Stream, query: QueryDict, **more: str) -> str:
    pairs = [(name, text) for name, texts in query.lists() for text in texts]
    return f"{reverse('console:streams-stream', args=[stream.fid])}?{urlencode([*pairs, *more.items()])}"


def _export(stream: Stream, query: QueryDict, format_name: str) -> str:
    """The address of the same documents, all of them, in a format."""
    return f"/streams/{stream.fid}/docs?{urlencode({**query.dict(), 'format': format_name})}"


class DocumentTable:
    """Documents as rows. The columns are `fields`, or else all of the first level, those of the schema first."""

    def __init__(self, stream: Stream, documents: Sequence[DocumentVersion], fields: Sequence[str]) -> None:
        self._stream, self._documents = stream, documents
        self._values = [read_line(document.body.encode()) for document in documents]
        columns = list(fields) or self._first_level()
        self.columns, self.left_out = columns[:COLUMNS_MAX], len(columns[COLUMNS_MAX:])

    def _first_level(self) -> list[str]:
        present = dict.fromkeys(name for value in self._values for name in value)
        described = dict.fromkeys(column.partition(".")[0] for column in columns_of_stream(self._stream))
        return [name for name in described if name in present] + [name for name in present if name not in described]

    def __bool__(self) -> bool:
        return bool(self._documents)

    @property
    def rows(self) -> Iterable[dict[str, Any]]:
        for document, value in zip(self._documents, self._values, strict=True):
            cells = [(column, one_line(cell_value(find_field(value, column)))) for column in self.columns]
            yield {"id": document.key, "address": _document_address(self._stream, document.key), "cells": cells}


def _document_address(stream: Stream, key: str) -> str:
    """With every sign of the id quoted: browsers take `..` between slashes out of an address."""
    return f"{reverse('console:streams-stream', args=[stream.fid])}/docs/{quote(key, safe='')}"


class DocumentPageView(ConsoleView):
    """One document, as the stream shows it."""

    def get(self, request: HttpRequest, fid: UUID, document_id: str) -> HttpResponse:
        stream = Stream.objects.get_visible(request.user, fid)
        document = find_document(stream=stream, written_id=document_id)
        context = {
            "stream": stream,
            "document": document,
            "task": CrawlerTask.objects.filter(pk=document.task_id).defer("params", "secrets").first(),
            "json": JsonView("Document", read_line(document.body.encode())),
            "source": f"/streams/{stream.fid}/docs/{quote(document.key, safe='')}",
        }
        return render(request, "console/document.html", context)
