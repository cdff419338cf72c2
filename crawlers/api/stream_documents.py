"""Documents of a stream: page by page, or all of them as NDJSON."""

import base64
import json
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from crawlers.api import examples as shown
from crawlers.api.request_models import DocsQuery
from crawlers.api.views import EnvelopeView, list_response
from crawlers.models import CrawlerTask, Stream
from crawlers.services.stream_reader import (
    DocumentPage,
    DocumentSelection,
    DocumentVersion,
    export_documents,
    read_page,
)
from taskhub.errors import invalid
from taskhub.jsontools.field_types import format_timestamp
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.ndjson import NDJSON, STRICT, NdjsonRenderer, StrictNegotiation, ndjson_example, stream_response
from taskhub.web.openapi.schemas import PAGE


class StreamDocumentsView(EnvelopeView):
    renderer_classes = (JSONRenderer, NdjsonRenderer)
    content_negotiation_class = StrictNegotiation

    @extend_schema(
        operation_id="streams_docs",
        parameters=[DocsQuery, *PAGE],
        responses={
            (200, "application/json"): list_response("Documents", shown.DOCUMENT_SCHEMA, {"sku": "a1"}),
            (200, NDJSON): OpenApiResponse(
                str, "One document a line", [ndjson_example("Documents", '{"sku": "a1"}\n{"sku": "a2"}\n')]
            ),
            **STRICT,
        },
    )
    def get(self, request: Request, fid: UUID) -> HttpResponse | StreamingHttpResponse:
        """Read a stream's documents.

        In the order of their ids, of each the version that shows. The cursor stays good while others write. A page may
        hold fewer than `limit` where few match or documents are large; go on while there is a `next`. `Accept:
        application/x-ndjson` streams all of them, in gzip if that is asked for.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        query = self.check_query(request, DocsQuery)
        wrapped = query.pop("wrapped")
        if "task" in query:
            query["task"] = _task_of_stream(stream, query["task"])
        selection = DocumentSelection(stream, **query)
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            return stream_response(request, export_documents(selection=selection), f"stream-{stream.fid}")
        limit = NewestFirstPagination().get_page_size(request)
        page = read_page(selection=selection, after=_read_cursor(request), limit=limit)
        return _page_response(request, selection, page, wrapped)


def _task_of_stream(stream: Stream, fid: UUID) -> CrawlerTask:
    task = CrawlerTask.objects.filter(stream=stream, fid=fid, removed_at__isnull=True).first()
    if task is None:
        raise invalid("/task", "There is no such task of this stream.")
    return task


def _page_response(request: Request, selection: DocumentSelection, page: DocumentPage, wrapped: bool) -> HttpResponse:
    """An envelope around documents, which are JSON already and are put into it as they are."""
    rows = page.documents
    documents = _wrapped_documents(rows, selection) if wrapped else [row.body for row in rows]
    link = json.dumps(_next_link(request, page.next))
    results = ",".join(documents)
    body = f'{{"success":true,"payload":{{"results":[{results}],"next":{link},"previous":null}},"version":0}}'
    return HttpResponse(body.encode(), content_type="application/json")


def _wrapped_documents(rows: list[DocumentVersion], selection: DocumentSelection) -> list[str]:
    tasks = dict(CrawlerTask.objects.filter(pk__in={row.task_id for row in rows}).values_list("pk", "fid"))
    return [
        f'{{"id":{_id_as_json(row, selection)},"task":{json.dumps(str(tasks.get(row.task_id, "")))},'
        f'"at":{json.dumps(format_timestamp(row.at))},"doc":{row.body}}}'
        for row in rows
    ]


def _id_as_json(row: DocumentVersion, selection: DocumentSelection) -> str:
    """Keys are JSON, but for digests; of a task's change set they are row numbers (see `stream_reader`)."""
    if selection.task:
        return json.dumps(str(row.key))
    return row.key if row.key[:1] not in "#~" else json.dumps(row.key)


def _next_link(request: Request, after: Any) -> str | None:
    if after is None:
        return None
    cursor = base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")
    query = {name: value for name, value in request.query_params.items() if name not in {"api_key", "cursor"}}
    return f"{settings.PUBLIC_URL}{request.path}?{urlencode({**query, 'cursor': cursor})}"


def _read_cursor(request: Request) -> Any:
    """The key after which the page begins: a text, or a row number of a task's change set; None for the first page."""
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        fits = type(after) is int if "task" in request.query_params else isinstance(after, str)
        if not fits or "\x00" in str(after) or (isinstance(after, int) and not 0 <= after < 2**63):
            raise ValueError
        str(after).encode()
    except ValueError:
        raise invalid("/cursor", "This is no cursor of this list.", "The page cannot be given.") from None
    return after
