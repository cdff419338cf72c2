"""The calls that make one file of a page: its source, a picture or a document."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from django.http import HttpResponseBase, QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request

from extraction.api import examples
from extraction.api.process_results import GONE, MARKDOWN, OUTPUTS, PARAMETERS, TERMS, ProcessResultView
from extraction.api.tasks import OBJECT
from extraction.api.views import documented_response
from extraction.domain.render_job import HTML, PDF, SCREENSHOT
from extraction.models import Process
from extraction.services.processes import run_single_page
from taskhub.errors import NotAcceptable, Rejected
from taskhub.jsontools.strict_json import parse_json

Post = Callable[..., HttpResponseBase]
# Of a form: names whose values are texts, whatever they look like.
TEXTS = {"url", "remoteURL", "type", "proxy", "cookies", "format", "paperSize", "pageRanges", "clipSelector", "output"}


def _documented(call: str, description: str, kinds: dict[str, Any], example: dict[str, Any]) -> Callable[[Post], Post]:
    files = {(200, kind): OpenApiResponse(schema, "What was made", [_example(kind)]) for kind, schema in kinds.items()}
    decorator = extend_schema(
        operation_id=f"extraction_{call}",
        summary={"fetch": "Fetch a page", "screenshot": "Take a picture of a page", "pdf": "Print a page"}[call],
        description=f"{description} {TERMS} docs/extraction.md names the fields.",
        parameters=PARAMETERS,
        request=OBJECT,
        responses={
            **files,
            **GONE,
            202: documented_response(
                "The process, which goes on", examples.PROCESS_SCHEMA, examples.PROCESS | {"status": "running"}
            ),
        },
        examples=[OpenApiExample("A page", example, request_only=True)],
    )
    return cast(Callable[[Post], Post], decorator)


def _value_of(text: Any) -> Any:
    """The number, the truth value or the object that a field of a form holds; what is none stays a text."""
    try:
        return parse_json(text)
    except (Rejected, NotAcceptable):
        return text


def _example(kind: str) -> OpenApiExample:
    value = "<html><body>...</body></html>" if kind == "text/html" else "..."
    return OpenApiExample(kind, value, media_type=kind, response_only=True)


class SinglePageView(ProcessResultView):
    product: str

    def read_values(self, request: Request) -> dict[str, Any]:
        body = self.read_object(request)
        if not isinstance(request.data, QueryDict):
            return body
        return {name: text if name in TEXTS else _value_of(text) for name, text in body.items()}

    def start(self, *, owner: Any, body: dict[str, Any], options: Mapping[str, Any]) -> Process:
        return run_single_page(owner=owner, product=self.product, body=body, **options)


class FetchView(SinglePageView):
    product = HTML
    outputs: ClassVar = {**OUTPUTS, MARKDOWN: MARKDOWN}

    @_documented(
        "fetch",
        "The source of a page, as it comes (`base`) or as Chromium has it (`chrome`); or with "
        '`"output": "markdown"` its main content as Markdown.',
        {"text/html": {"type": "string"}, "text/markdown": {"type": "string"}},
        {"url": "https://shop.example.com/", "type": "base"},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.answer_with_result(request)


class ScreenshotView(SinglePageView):
    product = SCREENSHOT

    @_documented(
        "screenshot",
        "A picture of a page, PNG or JPEG.",
        {"image/png": OpenApiTypes.BINARY, "image/jpeg": OpenApiTypes.BINARY},
        {"url": "https://shop.example.com/", "format": "png", "fullPage": True},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.answer_with_result(request)


class PdfView(SinglePageView):
    product = PDF

    @_documented(
        "pdf",
        "A page as a PDF document.",
        {"application/pdf": OpenApiTypes.BINARY},
        {"url": "https://shop.example.com/", "paperSize": "A4", "printBackground": True},
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.answer_with_result(request)
