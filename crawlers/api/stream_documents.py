"""Documents out: page by page, or all of them as NDJSON."""

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

from crawlers.api.ndjson import NDJSON, NdjsonRenderer, ndjson, streamed
from crawlers.api.request_models import DocsQuery
from crawlers.api.views import CrawlersView, found, listing
from crawlers.models import Stream, Task
from crawlers.services.stream_reader import Page, Selection, Shown, export, page
from taskhub.errors import Rejected, invalid
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.schemas import PAGE
from taskhub.web.parameter_types import format_timestamp

LINES = ndjson("Documents", '{"sku": "a1"}\n{"sku": "a2"}\n')


class DocsView(CrawlersView):
    renderer_classes = (JSONRenderer, NdjsonRenderer)

    @extend_schema(
        operation_id="streams_docs",
        parameters=[DocsQuery, *PAGE],
        responses={
            (200, "application/json"): listing("Documents", {"type": "object"}, {"sku": "a1"}),
            (200, NDJSON): OpenApiResponse(
                str, "One document a line", [ndjson("Documents", '{"sku": "a1"}\n{"sku": "a2"}\n')]
            ),
        },
    )
    def get(self, request: Request, fid: UUID) -> HttpResponse | StreamingHttpResponse:
        """Read a stream's documents.

        In the order of their ids, of each the version that shows. The cursor stays good while others write. A page may
        hold fewer than `limit` where few match; go on while there is a `next`. `Accept: application/x-ndjson` streams
        all of them, in gzip if that is asked for.
        """
        stream = found(Stream, request.user, fid)
        asked = self.check_query(request, DocsQuery)
        wrapped = asked.pop("wrapped")
        if "task" in asked:
            asked["task"] = _task_in(stream, asked["task"])
        selection = Selection(stream, **asked)
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            return streamed(request, export(selection=selection), f"stream-{stream.fid}")
        limit = NewestFirstPagination().get_page_size(request)
        return _answered(request, selection, page(selection=selection, after=_after(request), limit=limit), wrapped)


def _task_in(stream: Stream, fid: UUID) -> Task:
    task = Task.objects.filter(stream=stream, fid=fid, removed_at__isnull=True).first()
    if task is None:
        raise invalid("/task", "There is no such task of this stream.")
    return task


def _answered(request: Request, selection: Selection, found_page: Page, wrapped: bool) -> HttpResponse:
    """Documents are JSON already: they are put into the answer as they are."""
    rows = found_page.documents
    texts = _wrapped(rows, selection) if wrapped else [row.body for row in rows]
    link = json.dumps(_next(request, found_page.next))
    body = f'{{"success":true,"payload":{{"results":[{",".join(texts)}],"next":{link},"previous":null}},"version":0}}'
    return HttpResponse(body.encode(), content_type="application/json")


def _wrapped(rows: list[Shown], selection: Selection) -> list[str]:
    tasks = dict(Task.objects.filter(pk__in={row.task_id for row in rows}).values_list("pk", "fid"))
    return [
        f'{{"id":{_id(row, selection)},"task":{json.dumps(str(tasks.get(row.task_id, "")))},'
        f'"at":{json.dumps(format_timestamp(row.at))},"doc":{row.body}}}'
        for row in rows
    ]


def _id(row: Shown, selection: Selection) -> str:
    """The id as JSON; a digest is a text."""
    if selection.task:
        return json.dumps(str(row.key))
    return row.key if row.key[:1] not in "#~" else json.dumps(row.key)


def _next(request: Request, after: Any) -> str | None:
    if after is None:
        return None
    cursor = base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")
    asked = {name: value for name, value in request.query_params.items() if name not in {"api_key", "cursor"}}
    return f"{settings.PUBLIC_URL}{request.path}?{urlencode({**asked, 'cursor': cursor})}"


def _after(request: Request) -> Any:
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        fits = isinstance(after, int) if "task" in request.query_params else isinstance(after, str)
        if not fits or "\x00" in str(after) or (isinstance(after, int) and not 0 <= after < 2**63):
            raise ValueError
        str(after).encode()
    except ValueError:
        detail = "This is no cursor of this list."
        raise Rejected("The page cannot be given.", errors=[{"pointer": "/cursor", "detail": detail}]) from None
    return after
