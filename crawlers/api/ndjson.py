"""Answers that are too long to be held: NDJSON, packed where that is asked for."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from taskhub.decompression import fast_zlib

NDJSON = "application/x-ndjson"


class NdjsonRenderer(BaseRenderer):
    media_type = NDJSON
    format = "ndjson"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()  # only problems come this way; the stream renders itself


def ndjson(name: str, text: str) -> OpenApiExample:
    return OpenApiExample(name, text, media_type=NDJSON, response_only=True)


def streamed(request: Request, pieces: Iterator[bytes], name: str) -> StreamingHttpResponse:
    """What fails before the first piece is a problem, as everywhere."""
    first = next(pieces, b"")
    body = _chained(first, pieces)
    packed = _wants_gzip(request.headers.get("Accept-Encoding", ""))
    response = StreamingHttpResponse(_packed(body) if packed else body, content_type=NDJSON)
    response["Content-Disposition"] = f'attachment; filename="{name}.ndjson"'
    response["Vary"] = "Accept, Accept-Encoding"
    if packed:
        response["Content-Encoding"] = "gzip"
    return response


def _chained(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = fast_zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def _wants_gzip(accepted: str) -> bool:
    """RFC 9110, section 12.5.3: named, and not with a weight of nothing."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in {"gzip", "x-gzip"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
