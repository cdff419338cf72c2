"""Streamed answers of newline-delimited JSON, with gzip where the client asks for it."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from taskhub.decompression import fast_zlib
from taskhub.errors import NotAcceptable
from taskhub.web.openapi.problem_responses import problems

NDJSON = "application/x-ndjson"


class NdjsonRenderer(BaseRenderer):
    media_type = NDJSON
    format = "ndjson"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()  # only problems come this way; the stream renders itself


class StrictNegotiation(DefaultContentNegotiation):
    """Refuses a format that a view of several formats does not have: one page of another is not what was asked for."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except exceptions.NotAcceptable:
            formats = " and ".join(renderer.media_type for renderer in renderers)
            asked = request.headers.get("Accept", "")[:100]
            raise NotAcceptable(f"{asked!r} is not among the formats, which are {formats}.") from None


STRICT: dict[Any, Any] = problems(406, because={406: "`Accept` names no format that the call has."})


def ndjson_example(name: str, text: str) -> OpenApiExample:
    return OpenApiExample(name, text, media_type=NDJSON, response_only=True)


def stream_response(request: Request, pieces: Iterator[bytes], name: str) -> StreamingHttpResponse:
    """A download of `{name}.ndjson`. What fails before the first piece is a problem, as everywhere."""
    body = chain([next(pieces, b"")], pieces)
    compressed = _wants_gzip(request.headers.get("Accept-Encoding", ""))
    response = StreamingHttpResponse(_compress(body) if compressed else body, content_type=NDJSON)
    response["Content-Disposition"] = f'attachment; filename="{name}.ndjson"'
    response["Vary"] = "Accept, Accept-Encoding"
    if compressed:
        response["Content-Encoding"] = "gzip"
    return response


def _compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = fast_zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if compressed := compressor.compress(piece):
            yield compressed
    yield compressor.flush()


def _wants_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named, and not with a weight of 0 (RFC 9110, section 12.5.3)."""
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
