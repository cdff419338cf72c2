"""The calls that make one file of a page: its source, a picture or a document."""

from collections.abc import Callable
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.files import whole_file
from extraction.api.serializers import process_of
from extraction.api.tasks import OBJECT, process_response
from extraction.api.views import ExtractionView, documented_response
from extraction.domain.process_status import ProcessStatus
from extraction.domain.render_job import HTML, PDF, SCREENSHOT
from extraction.models import Process
from extraction.services import processes
from extraction.services.processes import run_single_page
from taskhub.errors import Failed, invalid
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.waits import answer_when_ended
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.schemas import response_header
from taskhub.web.views import QuerySerializer

WAIT_MAX = 60  # seconds
DATA, FILE = "data", "file"


class SinglePageQuery(QuerySerializer):
    wait = serializers.FloatField(
        default=WAIT_MAX, min_value=0, max_value=WAIT_MAX, help_text="Seconds to wait for it, at most."
    )


Post = Callable[..., HttpResponseBase]


def _documented(call: str, description: str, kinds: dict[str, Any], example: dict[str, Any]) -> Callable[[Post], Post]:
    files = {(200, kind): OpenApiResponse(schema, "What was made", [_example(kind)]) for kind, schema in kinds.items()}
    decorator = extend_schema(
        operation_id=f"extraction_{call}",
        summary={"fetch": "Fetch a page", "screenshot": "Take a picture of a page", "pdf": "Print a page"}[call],
        description=(
            f"{description} It is a process without a task: with credits, limits, a log, and a run. The answer is what "
            'was made, or with `"output": "file"` the process; 202 and the process where it takes longer than `wait` '
            "or waits for credits. docs/extraction.md names the fields."
        ),
        parameters=[
            SinglePageQuery,
            KEY_PARAMETER,
            response_header("Location", "The process's address.", 200, 202),
            response_header("Link", 'Its run (`rel="run"`).', 200, 202),
        ],
        request=OBJECT,
        responses={
            **files,
            (200, "application/json"): documented_response("The process", examples.PROCESS_SCHEMA, examples.PROCESS),
            202: documented_response(
                "The process, which goes on", examples.PROCESS_SCHEMA, examples.PROCESS | {"status": "running"}
            ),
        },
        examples=[OpenApiExample("A page", example, request_only=True)],
    )
    return cast(Callable[[Post], Post], decorator)


def _example(kind: str) -> OpenApiExample:
    value = "<html><body>...</body></html>" if kind == "text/html" else "..."
    return OpenApiExample(kind, value, media_type=kind, response_only=True)


class SinglePageView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}
    product: str

    def make_file(self, request: Request) -> HttpResponseBase:
        wait = self.check_query(request, SinglePageQuery)["wait"]
        body = self.read_object(request)
        output = body.pop("output", DATA)
        if output not in (DATA, FILE):
            raise invalid("/output", "Must be data or file.")

        def produce() -> Response:
            return process_response(run_single_page(owner=request.user, product=self.product, body=body))

        response = answer_once(request, {**body, "output": output}, produce)
        if response.status_code != 202:  # a refusal, stored for the idempotency key
            return response
        process = processes.visible_process(id=response.data["id"], user=request.user)
        run_ids = [UUID(str(process.run_id))] if process.run_id else []

        def respond() -> HttpResponseBase:
            return _single_page_response(processes.visible_process(id=process.id, user=request.user), output)

        return answer_when_ended(request, run_ids=run_ids, seconds=min(wait, WAIT_MAX), respond=respond)


def _single_page_response(process: Process, output: str) -> HttpResponseBase:
    if process.status == ProcessStatus.FAILED:
        raise Failed(process.error, process=process_of(process))
    response = process_response(process)
    if process.status != ProcessStatus.FINISHED:
        return response
    if output == FILE:
        response.status_code = 200
        return response
    file = whole_file(process)
    for name in response.headers.keys() & {"Location", "Link"}:
        file.headers[name] = response.headers[name]
    return file


class FetchView(SinglePageView):
    product = HTML

    @_documented(
        "fetch",
        "The source of a page, as it comes (`base`) or as Chromium has it (`chrome`).",
        {"text/html": {"type": "string"}},
        {"url": "https://shop.example.com/", "type": "base"},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.make_file(request)


class ScreenshotView(SinglePageView):
    product = SCREENSHOT

    @_documented(
        "screenshot",
        "A picture of a page, PNG or JPEG.",
        {"image/png": OpenApiTypes.BINARY, "image/jpeg": OpenApiTypes.BINARY},
        {"url": "https://shop.example.com/", "format": "png", "fullPage": True},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.make_file(request)


class PdfView(SinglePageView):
    product = PDF

    @_documented(
        "pdf",
        "A page as a PDF document.",
        {"application/pdf": OpenApiTypes.BINARY},
        {"url": "https://shop.example.com/", "paperSize": "A4", "printBackground": True},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.make_file(request)
