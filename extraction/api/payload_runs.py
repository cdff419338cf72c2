"""The calls that run a payload at once, without a task, as the extraction cloud has them: parse, extract, serp."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from extraction.api import examples
from extraction.api.files import EXPORT_TYPES, documented_export
from extraction.api.process_results import GONE, PARAMETERS, TERMS, ProcessResultView
from extraction.api.tasks import OBJECT
from extraction.api.views import documented_response
from extraction.models import Process
from extraction.services.processes import run_payload

Post = Callable[..., HttpResponseBase]
RECORDS = [{"Title_href": "https://shop.example.com/1", "Title_text": "Lamp", "Price": "12.50"}]
RESULT_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "object"}}, examples.PROCESS_SCHEMA]}
SEARCH = {"search_engine": "duckduckgo", "keywords": ["hiking boots"], "num_pages": 2, "format": "JSON"}


def _documented(call: str, summary: str, description: str, example: dict[str, Any]) -> Callable[[Post], Post]:
    decorator = extend_schema(
        operation_id=f"extraction_{call}",
        summary=summary,
        description=f"{description} The result has the payload's `format`. {TERMS}",
        parameters=PARAMETERS,
        request=OBJECT,
        responses={
            **GONE,
            **{(200, media_type): documented_export(media_type) for media_type in EXPORT_TYPES},
            (200, "application/json"): documented_response("The records, or the process", RESULT_SCHEMA, RECORDS),
            202: documented_response(
                "The process, which goes on", examples.PROCESS_SCHEMA, examples.PROCESS | {"status": "running"}
            ),
        },
        examples=[OpenApiExample("A payload", example, request_only=True)],
    )
    return cast(Callable[[Post], Post], decorator)


class PayloadRunView(ProcessResultView):
    def start(self, *, owner: Any, body: dict[str, Any], options: Mapping[str, Any]) -> Process:
        return run_payload(owner=owner, body=body, **options)


class ParseView(PayloadRunView):
    @_documented("parse", "Run a payload at once", "Takes a payload, as a task has it.", examples.PAYLOAD)
    def post(self, request: Request) -> HttpResponseBase:
        return self.answer_with_result(request)


class ExtractView(PayloadRunView):
    @_documented("extract", "Run a payload at once, by another name", "The same as `/v1/parse`.", examples.PAYLOAD)
    def post(self, request: Request) -> HttpResponseBase:
        return self.answer_with_result(request)


class SerpView(PayloadRunView):
    @_documented("serp", "Search at once", "Takes a search, or a payload for pages of results.", SEARCH)
    def post(self, request: Request) -> HttpResponseBase:
        return self.answer_with_result(request)
