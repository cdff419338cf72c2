"""Uploads of documents, by the task's owner or by its crawler; and the lines that were rejected."""

from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import parsers
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api.renderers import FormatNegotiation
from crawlers.api.request_models import FormatQuery, UploadQuery
from crawlers.api.tasks import CAPABILITY
from crawlers.api.views import (
    EnvelopeListView,
    EnvelopeView,
    list_response,
    payload_response,
    refuse_paging,
)
from crawlers.models import CrawlerTask, RejectedLine
from crawlers.services.capabilities import find_task
from crawlers.services.document_store import UploadCounts
from crawlers.services.rejected_lines import read_batch, resend_rejected_lines
from crawlers.services.stream_locks import check_accepts_documents
from crawlers.services.upload_receiver import receive_upload
from taskhub.decompression import BodyDecompressor, decoder_of, decompress
from taskhub.errors import NotFound, TooLarge
from taskhub.jsontools.field_types import format_timestamp
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.ndjson import NDJSON, STRICT, NdjsonRenderer, ndjson_example, stream_response
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.rest_policies import body_pieces

# A body in lines of fewer bytes than an object with a member has may unpack to so many times its bytes, and to so many
# at any rate.
LINE_MIN_BYTES, RATIO_MAX, RATIO_FREE_BYTES = len('{"a":1}\n'), 250, 1024 * 1024

ENCODING = OpenApiParameter(
    "Content-Encoding",
    {"type": "string", "enum": ["identity", "gzip", "deflate", "br", "zstd"]},
    OpenApiParameter.HEADER,
    description="How the body is compressed.",
)
FAULTS = problems(
    409,
    because={
        400: "The body is empty or broken; `errors` names line and column. Nothing is stored.",
        406: "Documents are no objects, or do not match the schema; `errors` names the first ten lines.",
    },
)
LINES = OpenApiExample("Documents", '{"sku": "a1"}\n{"sku": "a2"}\n', media_type=NDJSON, request_only=True)
LINES_SCHEMA = {"type": "string", "format": "binary", "description": "One JSON object a line."}
UPLOAD: dict[str, Any] = {
    # The second is for clients that know bytes, and not NDJSON: the content type is not looked at.
    "request": {NDJSON: LINES_SCHEMA, "application/octet-stream": LINES_SCHEMA},
    "examples": [LINES],
}
STORED = payload_response(
    "They are stored.",
    shown.UPLOADED_SCHEMA,
    shown.UPLOADED,
    more=shown.UPLOADED_SCHEMA["properties"],
)


class RawParser(parsers.BaseParser):
    """Takes any content type; the body is read by the view."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return {}


class UploadView(EnvelopeView):
    """An upload by the owner of the task."""

    key_scopes: ClassVar = {"POST": KeyScope.UPLOAD}
    parser_classes = (RawParser,)
    reads_pieces = True

    @extend_schema(
        operation_id="tasks_upload", parameters=[UploadQuery, ENCODING], responses={200: STORED, **FAULTS}, **UPLOAD
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Upload documents.

        Newline-delimited JSON of any content type, with a length or in chunks. All or nothing: the answer comes after
        the commit. Sending the same again changes nothing.
        """
        return self.upload(request, CrawlerTask.objects.for_upload().get_visible(request.user, fid))

    def upload(self, request: Request, task: CrawlerTask) -> Response:
        skip_invalid = self.check_query(request, UploadQuery)["on_invalid"] == "skip"
        pieces = _read_pieces(request)
        check_accepts_documents(task)
        counts = receive_upload(task=task, pieces=pieces, skip_invalid=skip_invalid)
        return _counts_answer(counts, task)


def _read_pieces(request: Request) -> Iterator[bytes]:
    """The body, piece by piece as it arrives, without its content encoding."""
    limit, unpacked_limit = settings.DOCUMENTS_MAX_BYTES, settings.DOCUMENTS_MAX_UNPACKED_BYTES
    encoding = request.headers.get("Content-Encoding", "")
    if not encoding:
        return body_pieces(request.META, min(limit, unpacked_limit))
    decompressor = BodyDecompressor(decoder_of(encoding), unpacked_limit)
    return _without_bombs(decompress(body_pieces(request.META, limit), decompressor), decompressor)


def _without_bombs(pieces: Iterator[bytes], decompressor: BodyDecompressor) -> Iterator[bytes]:
    """The pieces of a body that may unpack to thousands of times its bytes, as readings of a sensor do.

    But empty lines and empty objects are no documents, and each takes as long as one. Raises `TooLarge` for a body of
    such.
    """
    breaks = 0
    for piece in pieces:
        breaks += max(piece.count(b"\n"), piece.count(b"\r"))
        size, packed = decompressor.bytes_out, decompressor.bytes_in
        if size > max(RATIO_FREE_BYTES, RATIO_MAX * packed) and size < LINE_MIN_BYTES * breaks:
            sizes = f"The body unpacks to {size} bytes from {packed}, in lines of less than {LINE_MIN_BYTES} bytes"
            raise TooLarge(f"{sizes}; {RATIO_MAX} times as many are allowed for such.", limit=RATIO_MAX)
        yield piece


def _counts_answer(counts: UploadCounts, task: CrawlerTask) -> Response:
    """The counts stand in the payload, as everywhere, and beside it (crawler_task.md)."""
    payload = {"count": counts.received} | {
        name: getattr(counts, name) for name in ("inserted", "updated", "unchanged", "rejected")
    }
    return Response({"success": True, "payload": payload, "version": task.version, **payload})


class CapabilityUploadView(UploadView):
    """An upload by the crawler, whom the capability in its endpoint stands for."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="capable_tasks_upload",
        parameters=[CAPABILITY, UploadQuery, ENCODING],
        responses={200: STORED, **FAULTS},
        **UPLOAD,
    )
    def post(self, request: Request, fid: UUID, capability: str = "") -> Response:
        """Upload documents, as the task's crawler."""
        return self.upload(request, find_task(capability=capability, fid=fid))


class RejectedLinePages(NewestFirstPagination):
    ordering = "id"


class RejectedLinesView(EnvelopeListView):
    pagination_class = RejectedLinePages
    renderer_classes = (*EnvelopeListView.renderer_classes, NdjsonRenderer)
    content_negotiation_class = FormatNegotiation

    @extend_schema(
        operation_id="tasks_rejected_list",
        parameters=[FormatQuery],
        responses={
            (200, "application/json"): list_response("Rejected lines", shown.REJECTED_SCHEMA, shown.REJECTED),
            (200, NDJSON): OpenApiResponse(str, "The lines", [ndjson_example("The lines", '{"sku": 5}\n')]),
            **STRICT,
        },
    )
    def get(self, request: Request, fid: UUID) -> Response | StreamingHttpResponse:
        """List the lines that were rejected.

        With `Accept: application/x-ndjson`, or `format=ndjson`, all of them, as they were sent.
        """
        self.check_query(request, FormatQuery)
        task = CrawlerTask.objects.get_visible(request.user, fid)
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            refuse_paging(request)
            return stream_response(request, _lines(task), f"rejected-{task.fid}")
        return self.page(
            RejectedLine.objects.filter(task=task),
            lambda lines: [
                {"line": line.line, "reason": line.reason, "body": line.body, "at": format_timestamp(line.at)}
                for line in lines
            ],
        )


def _lines(task: CrawlerTask) -> Iterator[bytes]:
    """Raises `NotFound` behind the last line where the task was deleted meanwhile, and its lines with it."""
    after = 0
    while lines := read_batch(task, after):
        yield "".join(f"{line.body}\n" for line in lines).encode()
        after = lines[-1].pk
    if not CrawlerTask.objects.filter(pk=task.pk, removed_at__isnull=True).exists():
        raise NotFound("The task was deleted meanwhile.")


class ResendRejectedView(EnvelopeView):
    key_scopes: ClassVar = {"POST": KeyScope.UPLOAD}

    @extend_schema(
        operation_id="tasks_rejected_resend",
        responses={
            200: payload_response(
                "What came of them", shown.UPLOADED_SCHEMA, shown.RESENT, more=shown.UPLOADED_SCHEMA["properties"]
            )
        },
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Check the rejected lines again.

        Those that the schema takes now go into the stream; the others stay. Also after the task's end.
        """
        task = CrawlerTask.objects.for_upload().get_visible(request.user, fid)
        return _counts_answer(resend_rejected_lines(task=task), task)
