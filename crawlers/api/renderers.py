"""The formats in which documents of a stream are read, and which of them a call asks for."""

from typing import Any

from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from taskhub.errors import NotAcceptable
from taskhub.web.ndjson import NdjsonRenderer, StrictNegotiation

CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class ArrayRenderer(JSONRenderer):
    """One JSON array, which only `?format=array` asks for: JSON by `Accept` is a page."""

    format = "array"


class CsvRenderer(NdjsonRenderer):
    media_type, format = CSV, "csv"


class XlsxRenderer(NdjsonRenderer):
    media_type, format = XLSX, "xlsx"


FORMATS = (JSONRenderer, NdjsonRenderer, ArrayRenderer, CsvRenderer, XlsxRenderer)


class FormatNegotiation(StrictNegotiation):
    """The format that `?format=` names, or else one that `Accept` names. Raises `NotAcceptable` for another."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        name = request.query_params.get("format")
        if name is None:
            return super().select_renderer(request, renderers, format_suffix)
        for renderer in renderers:
            if renderer.format == name:
                return renderer, renderer.media_type
        names = ", ".join(renderer.format for renderer in renderers)
        raise NotAcceptable(
            f"{name[:100]!r} is not among the formats, which are {names}.",
            errors=[{"pointer": "/format", "detail": "There is no such format here."}],
        )
