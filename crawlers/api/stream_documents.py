"""Documents of a stream: page by page, one by its id, or all of them in one of several formats."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from crawlers.api import examples as shown
from crawlers.api.renderers import CSV, FORMATS, XLSX, FormatNegotiation
from crawlers.api.request_models import DocsQuery, DocumentQuery
from crawlers.api.views import EnvelopeView, list_response, payload_response, refuse_paging
from crawlers.domain.documents import wrapped_document
from crawlers.domain.field_paths import project_line, read_fields
from crawlers.models import CrawlerTask, Stream
from crawlers.services import document_formats
from crawlers.services.document_export import export_documents
from crawlers.services.document_selection import DocumentSelection, columns_of_stream, select_documents
from crawlers.services.stream_reader import (
    DocumentPage,
    DocumentVersion,
    find_document,
    read_cursor,
    read_page,
    write_cursor,
)
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.ndjson import NDJSON, STRICT, ndjson_example, stream_response
from taskhub.web.openapi.schemas import PAGE

DOCUMENT_ID = OpenApiParameter(
    "document_id",
    str,
    OpenApiParameter.PATH,
    description="The document's id.",
    examples=[OpenApiExample("An id", "a1", parameter_only=("document_id", OpenApiParameter.PATH))],
)
FILES: dict[Any, Any] = {
    (200, NDJSON): OpenApiResponse(
        str, "One document a line", [ndjson_example("Documents", '{"sku": "a1"}\n{"sku": "a2"}\n')]
    ),
    (200, CSV): OpenApiResponse(
        str,
        "A row of names, one row a document",
        [OpenApiExample("A table", "sku,price\r\na1,10.5\r\n", media_type=CSV, response_only=True)],
    ),
    (200, XLSX): OpenApiResponse(
        {"type": "string", "format": "binary"},
        "The same as a spreadsheet",
        [OpenApiExample("A spreadsheet", "PK...", media_type=XLSX, response_only=True)],
    ),
}


class StreamDocumentsView(EnvelopeView):
    renderer_classes = FORMATS
    content_negotiation_class = FormatNegotiation

    @extend_schema(
        operation_id="streams_docs",
        parameters=[DocsQuery, *PAGE],
        responses={
            (200, "application/json"): list_response("Documents", shown.DOCUMENT_SCHEMA, {"sku": "a1"}),
            **FILES,
            **STRICT,
        },
    )
    def get(self, request: Request, fid: UUID) -> HttpResponse | StreamingHttpResponse:
        """Read a stream's documents.

        In the order of their ids, or newest first; of each the version that shows. The cursor stays good while others
        write. A page may hold fewer than `limit` where few match or documents are large; go on while there is a `next`.
        Other formats than JSON pages, by `Accept` or `format`, stream all, without `limit` and `cursor`, in gzip
        if that is asked for. The columns of a table are `fields`, else those of the schema, else those of the first
        1,000 documents.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        query = self.check_query(request, DocsQuery)
        format_name, wrapped = request.accepted_renderer.format, query.pop("wrapped")
        query.pop("format", None)
        fields = read_fields(query.pop("fields")) if "fields" in query else ()
        selection = select_documents(stream, **query)
        if format_name != "json":
            refuse_paging(request)
            return _download(request, selection, format_name, fields, wrapped)
        limit = NewestFirstPagination().get_page_size(request)
        after = read_cursor(request.query_params.get("cursor"), selection)
        page = read_page(selection=selection, after=after, limit=limit)
        return _page_response(request, page, fields, wrapped)


def _download(
    request: Request, selection: DocumentSelection, format_name: str, fields: Sequence[str], wrapped: bool
) -> StreamingHttpResponse:
    stream, media_type, extension = selection.stream, request.accepted_renderer.media_type, format_name
    if format_name in {"csv", "xlsx"}:
        fields = fields or columns_of_stream(stream)
    if wrapped and fields:
        fields = ("id", "task", "at", *(f"doc.{field}" for field in fields))
    pieces = export_documents(selection=selection, wrapped=wrapped)
    match format_name:
        case "csv":
            pieces, media_type = document_formats.csv_of(pieces, fields), f"{CSV}; charset=utf-8"
        case "xlsx":
            pieces = document_formats.xlsx_of(pieces, fields, owner_id=stream.owner_id, count=stream.documents)
        case _ if fields:
            pieces = document_formats.project(pieces, fields)
    if format_name == "array":
        pieces, extension = document_formats.array_of(pieces), "json"
    return stream_response(request, pieces, f"stream-{stream.fid}", media_type=media_type, extension=extension)


def _page_response(request: Request, page: DocumentPage, fields: Sequence[str], wrapped: bool) -> HttpResponse:
    """An envelope around documents, which are JSON already and are put into it as they are."""
    documents = _written_documents(page.documents, fields, wrapped)
    link = json.dumps(_next_link(request, page.next))
    results = ",".join(documents)
    body = f'{{"success":true,"payload":{{"results":[{results}],"next":{link},"previous":null}},"version":0}}'
    return HttpResponse(body.encode(), content_type="application/json")


def _written_documents(rows: Sequence[DocumentVersion], fields: Sequence[str], wrapped: bool) -> list[str]:
    bodies = [project_line(row.body.encode(), fields).decode().rstrip() if fields else row.body for row in rows]
    if not wrapped:
        return bodies
    tasks = dict(CrawlerTask.objects.filter(pk__in={row.task_id for row in rows}).values_list("pk", "fid"))
    return [
        wrapped_document(row.key, str(tasks.get(row.task_id, "")), row.at, body)
        for row, body in zip(rows, bodies, strict=True)
    ]


def _next_link(request: Request, after: Any) -> str | None:
    if after is None:
        return None
    query = {name: value for name, value in request.query_params.items() if name not in {"api_key", "cursor"}}
    return f"{settings.PUBLIC_URL}{request.path}?{urlencode({**query, 'cursor': write_cursor(after)})}"


class StreamDocumentView(EnvelopeView):
    path_parameters: ClassVar = (*EnvelopeView.path_parameters, DOCUMENT_ID)

    @extend_schema(
        operation_id="streams_docs_retrieve",
        parameters=[DocumentQuery],
        responses={200: payload_response("The document", shown.DOCUMENT_SCHEMA, {"sku": "a1"})},
    )
    def get(self, request: Request, fid: UUID, document_id: str) -> HttpResponse:
        """Read one document of a stream.

        The version that shows. An id that is a number is written as such; a text as it is, or as JSON where it would
        look like a number: `"1"`.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        query = self.check_query(request, DocumentQuery)
        document = find_document(stream=stream, written_id=document_id)
        fields = read_fields(query["fields"]) if "fields" in query else ()
        (payload,) = _written_documents([document], fields, query["wrapped"])
        body = f'{{"success":true,"payload":{payload},"version":0}}'
        return HttpResponse(body.encode(), content_type="application/json")
