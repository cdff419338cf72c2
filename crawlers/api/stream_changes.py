"""The changes of a stream's documents: page by page, or all up to now as lines of JSON."""

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from crawlers.api import examples as shown
from crawlers.api.renderers import FormatNegotiation
from crawlers.api.request_models import FormatQuery
from crawlers.api.views import EnvelopeView, payload_response
from crawlers.models import Stream
from crawlers.services.change_feed import (
    LIMIT_MAX,
    FeedPosition,
    export_changes,
    first_position,
    read_changes,
)
from taskhub.errors import invalid
from taskhub.web.cursor_pagination import NO_PAGE, NewestFirstPagination
from taskhub.web.ndjson import NDJSON, STRICT, NdjsonRenderer, ndjson_example, stream_response
from taskhub.web.openapi.problem_responses import problems

NEXT = f"{settings.PUBLIC_URL}/streams/{shown.STREAM['fid']}/changes?cursor=MTIuMA"
LINES = f"{json.dumps(shown.PUT)}\n{json.dumps({'next': NEXT})}\n"


class ChangePagination(NewestFirstPagination):
    page_size, max_page_size = 1_000, LIMIT_MAX


PAGE = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": ChangePagination.page_size},
        description="How many at most.",
    ),
    OpenApiParameter("cursor", str, description="As in `next`; without one the feed begins with what is there."),
]


class StreamChangesView(EnvelopeView):
    renderer_classes = (JSONRenderer, NdjsonRenderer)
    content_negotiation_class = FormatNegotiation

    @extend_schema(
        operation_id="streams_changes",
        parameters=[FormatQuery, *PAGE],
        responses={
            (200, "application/json"): payload_response("Changes", shown.CHANGES_SCHEMA, shown.CHANGES, version=0),
            (200, NDJSON): OpenApiResponse(
                str, "One change a line; the last line has `next`", [ndjson_example("Changes", LINES)]
            ),
            **STRICT,
            **problems(
                410, because={410: "The cursor is older than deletions that are forgotten by now, or than a restore."}
            ),
        },
    )
    def get(self, request: Request, fid: UUID) -> HttpResponse | StreamingHttpResponse:
        """Follow a stream's changes.

        In the order of commits: `put` a document that is new or was written again, or an older version that shows again
        after a task was deleted; `delete` one that the stream shows no more. `next` is always there: ask it at once
        while there is `more`, and later for what happened since. It misses nothing while uploads go on. A document that
        changed again meanwhile comes once, as it is now; each change may come twice. Lines of JSON have all changes up
        to now.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        self.check_query(request, FormatQuery)
        position = _read_position(request, stream) or first_position(stream)
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            return stream_response(request, _lines(request, stream, position), f"changes-{stream.fid}")
        limit = ChangePagination().get_page_size(request)
        page = read_changes(stream=stream, position=position, limit=limit)
        more, link = b"false" if page.is_last else b"true", _next_link(request, stream, page.next)
        payload = b'{"results":[%b],"next":%b,"more":%b}' % (b",".join(page.changes), link, more)
        return HttpResponse(b'{"success":true,"payload":%b,"version":0}' % payload, content_type="application/json")


def _lines(request: Request, stream: Stream, position: FeedPosition) -> Iterator[bytes]:
    for piece in export_changes(stream=stream, position=position):
        yield b'{"next":%b}\n' % _next_link(request, stream, piece) if isinstance(piece, FeedPosition) else piece


def _next_link(request: Request, stream: Stream, position: FeedPosition) -> bytes:
    """The address of what comes behind a position, as JSON."""
    text = f"{stream.fid.hex}.{position.after}.{position.began}.{position.history}"
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    query = {name: text for name, text in request.query_params.items() if name not in {"api_key", "cursor"}}
    return json.dumps(f"{settings.PUBLIC_URL}{request.path}?{urlencode({**query, 'cursor': cursor})}").encode()


def _read_position(request: Request, stream: Stream) -> FeedPosition | None:
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        found = re.fullmatch(rf"{stream.fid.hex}\.([0-9]{{1,18}})\.([0-9]{{1,18}})\.([0-9a-f]{{1,16}})", text)
    except ValueError:
        found = None
    if found is None:
        raise invalid("/cursor", "This is no cursor of this feed.", NO_PAGE)
    return FeedPosition(int(found[1]), int(found[2]), found[3])
