"""The calls of files: download by a link, and export results in any format."""

import re
from itertools import chain
from typing import Any, cast

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.views import ExtractionView, answer_when_written
from extraction.domain.downloads import served_type
from extraction.domain.result_formats import MEDIA_TYPES, SINGLE_PAGE_TYPES, file_name, format_named
from extraction.models import Process
from extraction.services import processes
from extraction.services.downloaded_files import named_file
from extraction.services.process_log import lines_of
from extraction.services.processes import whole_or_broken
from extraction.services.result_export import ResultExport
from extraction.services.result_files import open_result
from extraction.services.signed_links import LOG, LinkedFile, resolve_link
from taskhub.errors import Conflict, Problem, RangeNotSatisfiable, invalid
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.problems import problem_response
from taskhub.web.query_values import FlagFilter
from taskhub.web.views import QuerySerializer

PIECE = 64 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


RANGE = OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="`bytes=0-99` (RFC 9110, 14.2).")


class FileView(ExtractionView):
    """Lets anybody who has a link download its file."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="extraction_file",
        parameters=[
            OpenApiParameter("token", str, OpenApiParameter.PATH, description="As the link has it."),
            OpenApiParameter("name", str, OpenApiParameter.PATH, description="As the link has it."),
            RANGE,
        ],
        responses={
            (200, "text/plain"): OpenApiResponse(
                str, "The file", [OpenApiExample("A log", "started\n", media_type="text/plain", response_only=True)]
            ),
            **problems(416),
        },
    )
    def get(self, request: Request, token: str, name: str) -> Response | HttpResponseBase:
        """Download a file.

        What a link leads to: results, whole or the range of bytes that is asked for; or a log.
        """
        linked = resolve_link(token=token)
        if linked.content == LOG:
            lines = whole_or_broken(linked.process, lines_of(linked.process))
            response = StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")
            return _add_file_headers(response, f"{linked.process.id}.log", inline=True)
        if linked.is_download or not linked.process.unwritten:
            return _file_response(request, linked)
        return answer_when_written(request, linked.process, lambda: _file_response(request, resolve_link(token=token)))


def documented_bytes(description: str) -> OpenApiResponse:
    example = OpenApiExample("Bytes", "...", media_type="application/octet-stream", response_only=True)
    return OpenApiResponse(OpenApiTypes.BINARY, description, [example])


class ProcessFileView(ExtractionView):
    """Lets those who may see a process download its files."""

    @extend_schema(
        operation_id="extraction_processes_file",
        parameters=[
            OpenApiParameter(
                "name",
                str,
                OpenApiParameter.PATH,
                description="As a record has it.",
                examples=[OpenApiExample("A name", examples.FILE_NAME, parameter_only=("name", OpenApiParameter.PATH))],
            ),
            RANGE,
        ],
        responses={
            (200, "application/octet-stream"): documented_bytes("The file"),
            (206, "application/octet-stream"): documented_bytes("The range of bytes that was asked for"),
            **problems(404, 416),
        },
    )
    def get(self, request: Request, id: str, name: str) -> HttpResponseBase:
        """Download a file of a process.

        One that it downloaded for a field with `download`, whole or the range of bytes that is asked for. It is of the
        type that its server said; what browsers run, such as HTML, is `application/octet-stream`. `getlink` makes a
        link of its name that needs no authentication.
        """
        process = processes.visible_process(id=id, user=request.user)
        return _file_response(request, LinkedFile(process, named_file(process, name)["name"]))


def whole_file(process: Process) -> HttpResponseBase:
    """Answers with the result file of a process. Raises `Problem` where it is not to be found."""
    file = _open_stored(process.results)
    response = StreamingHttpResponse(FilePart(file, 0, file.size), content_type=_media_type(process))
    response["Content-Length"] = str(file.size)
    return _add_file_headers(response, process.results)


def _media_type(process: Process) -> str:
    return "application/gzip" if process.gzip else {**MEDIA_TYPES, **SINGLE_PAGE_TYPES}[process.format]


def _open_stored(name: str) -> Any:
    try:
        return open_result(name)
    except FileNotFoundError:
        raise Problem("The file is not where it was put; an operator must look for it.") from None


def _file_response(request: Request, linked: LinkedFile) -> HttpResponseBase:
    process = linked.process
    media_type = _media_type(process)
    if linked.is_download:
        media_type = served_type(named_file(process, linked.content)["type"])
    file = _open_stored(linked.stored_name)
    size = file.size
    byte_range = _parse_range(request.headers.get("Range", ""), size)
    if byte_range is None:
        file.close()
        response: HttpResponseBase = problem_response(RangeNotSatisfiable(f"The file has {size} bytes."))
        response["Content-Range"] = f"bytes */{size}"
        return response
    start, end = byte_range
    partial = (start, end) != (0, size)
    response = StreamingHttpResponse(FilePart(file, start, end), status=206 if partial else 200)
    if partial:
        response["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response["Content-Length"] = str(end - start)
    response["Accept-Ranges"] = "bytes"
    response["Content-Type"] = media_type
    return _add_file_headers(response, linked.name)


def _parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte of a range, and the one after its last; None past the file's end. No single range means all."""
    match = _RANGE.fullmatch(header.strip().replace(" ", ""))
    if not match or not any(match.groups()):
        return 0, size
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    start, end = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < start:
        return 0, size
    return (start, end) if start < size else None


class FilePart:
    """Reads a range of a file, piece by piece. Django closes it, also when the client has gone."""

    def __init__(self, file: Any, start: int, end: int) -> None:
        file.seek(start)
        self._file, self._left = file, end - start

    def __iter__(self) -> "FilePart":
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._file.read(min(PIECE, self._left))
        if not piece:
            raise StopIteration
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._file.close()


def _add_file_headers(response: Any, name: str, *, inline: bool = False) -> HttpResponseBase:
    """Adds the headers of a file that browsers save, or show as harmless."""
    response["Content-Disposition"] = f'{"inline" if inline else "attachment"}; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"  # a page of others is not one of the hub's
    return cast(HttpResponseBase, response)


class ExportQuery(QuerySerializer):
    format = serializers.CharField(required=False, max_length=40, help_text="CSV, XLSX, JSON, JSONL or XML")
    gzip = FlagFilter(required=False, default=False, help_text="Packed")


def documented_export(media_type: str) -> OpenApiResponse:
    """One entry of `responses`, as a file of this type."""
    text = media_type == "application/json"
    schema: Any = {"type": "array", "items": {"type": "object"}} if text else OpenApiTypes.BINARY
    value: Any = [{"Price": "12.50"}] if text else "Price\n12.50\n"
    example = OpenApiExample(f"Results as {media_type}", value, media_type=media_type, response_only=True)
    return OpenApiResponse(schema, "The results", [example])


EXPORT_TYPES = [media_type.partition(";")[0] for media_type in MEDIA_TYPES.values()] + ["application/gzip"]


class ExportProcessView(ExtractionView):
    @extend_schema(
        operation_id="extraction_processes_export",
        parameters=[ExportQuery],
        responses={
            **{(200, media_type): documented_export(media_type) for media_type in EXPORT_TYPES},
            **problems(409),
        },
    )
    def get(self, request: Request, id: str) -> HttpResponseBase:
        """Export results in a format.

        Streams what a process has found, in any format, and in the order of its pages: also while it runs, or when it
        failed, was stopped or waits for credits. Nothing is asked of the site again, or paid again.
        """
        query = self.check_query(request, ExportQuery)
        process = processes.visible_process(id=id, user=request.user)
        if process.is_single_page:
            raise Conflict("What was made of a single page has one form, which its link leads to.")
        format = format_named(query.get("format") or process.format)
        if format is None:
            raise invalid("/format", "Must be CSV, XLSX, JSON, JSONL or XML.")
        pieces = whole_or_broken(process, ResultExport(process).pieces(format, gzip=query["gzip"]))
        first = next(pieces, b"")  # what fails before it is a problem, as everywhere
        media_type = "application/gzip" if query["gzip"] else MEDIA_TYPES[format]
        response = StreamingHttpResponse(chain([first], pieces), content_type=media_type)
        return _add_file_headers(response, file_name(process.id, format, gzip=query["gzip"]))
