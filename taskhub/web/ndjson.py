"""Streamed answers of newline-delimited JSON, with gzip where the client asks for it."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiExample
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.mediatypes import media_type_matches, order_by_precedence

from taskhub.decompression import fast_zlib
from taskhub.errors import NotAcceptable
from taskhub.web.openapi.problem_responses import problems

NDJSON = "application/x-ndjson"
_WEIGHT = re.compile(r"[01](?:\.[0-9]{0,3})?")


class NdjsonRenderer(BaseRenderer):
    media_type = NDJSON
    format = "ndjson"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()  # only problems come this way; the stream renders itself


class StrictNegotiation(DefaultContentNegotiation):
    """Refuses a format that a view of several formats does not have: one page of another is not what was asked for.

    Of several that are accepted the one of the largest weight is chosen (RFC 9110, section 12.5.1).
    """

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        for media_types in _by_weight(self.get_accept_list(request) or ["*/*"]):
            for equally_precise in order_by_precedence(media_types):
                for renderer in renderers:
                    if any(media_type_matches(renderer.media_type, media_type) for media_type in equally_precise):
                        return renderer, renderer.media_type
        formats = " and ".join(renderer.media_type for renderer in renderers)
        asked = request.headers.get("Accept", "")[:100]
        raise NotAcceptable(f"{asked!r} is not among the formats, which are {formats}.")


def _by_weight(accepted: Iterable[str]) -> list[list[str]]:
    """Media types of a header `Accept`, those of one weight together, the largest first."""
    by_weight: dict[float, list[str]] = {}
    for part in accepted:
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece[2:] for piece in parameters if piece[:2].lower() == "q="]
        others = [piece for piece in parameters if piece[:2].lower() != "q="]
        weight = float(weights[0]) if weights and _WEIGHT.fullmatch(weights[0]) else 1.0
        by_weight.setdefault(weight, []).append("; ".join([media_type, *others]))
    return [by_weight[weight] for weight in sorted(by_weight, reverse=True) if weight > 0]


STRICT: dict[Any, Any] = problems(406, because={406: "`Accept` names no format that the call has."})


def ndjson_example(name: str, text: str) -> OpenApiExample:
    return OpenApiExample(name, text, media_type=NDJSON, response_only=True)


def stream_response(
    request: Request, pieces: Iterator[bytes], name: str, *, media_type: str = NDJSON, extension: str = "ndjson"
) -> StreamingHttpResponse:
    """A download of `{name}.{extension}`. What fails before the first piece is a problem, as everywhere."""
    body = _begun(next(pieces, b""), pieces)
    compressed = _wants_gzip(request.headers.get("Accept-Encoding", ""))
    response = StreamingHttpResponse(_compress(body) if compressed else body, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{name}.{extension}"'
    response["Vary"] = "Accept, Accept-Encoding"
    if compressed:
        response["Content-Encoding"] = "gzip"
    return response


def _begun(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, of which the first was taken. It is closed with the response, however much of it was read."""
    yield first
    yield from pieces


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
