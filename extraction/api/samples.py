"""The calls by which payloads are built: try one on its first page, and suggest some for a page."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples, process_results
from extraction.api.tasks import OBJECT
from extraction.api.views import ExtractionView, documented_response
from extraction.models import Process
from extraction.services import samples
from extraction.services.retention import discard_process
from taskhub.errors import Unavailable
from taskhub.runs.waits import answer_when
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.views import QuerySerializer

FAULTS = problems(
    409,
    422,
    because={
        409: "The credits do not suffice.",
        422: "The page cannot be fetched or read, or did not come in time; `detail` says why.",
    },
)


class SampleQuery(QuerySerializer):
    wait = serializers.FloatField(
        default=process_results.WAIT_MAX,
        min_value=0,
        max_value=process_results.WAIT_MAX,
        help_text="Seconds to wait for it, at most.",
    )


class SampleView(ExtractionView):
    """Starts the process of a sample, and answers when it has ended. Nothing of it is kept."""

    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    def start(self, *, owner: Any, body: Mapping[str, Any]) -> Process:
        """Starts the process of a body. Raises `Rejected`, `Forbidden` or `Conflict`."""
        raise NotImplementedError

    def answer_with_sample(self, request: Request) -> HttpResponseBase:
        seconds = self.check_query(request, SampleQuery)["wait"]
        process = self.start(owner=request.user, body=self.read_object(request))
        try:
            return answer_when(
                request,
                lambda: samples.is_over(process=process),
                topics=[process.run_id],
                seconds=min(seconds, process_results.WAIT_MAX),
                respond=lambda: Response(samples.take_result(process=process)),
                user_id=process.owner_id,
            )
        except Unavailable:  # as many calls wait as may: nobody would take what was started
            discard_process(process)
            raise


class PayloadPreviewView(SampleView):
    def start(self, *, owner: Any, body: Mapping[str, Any]) -> Process:
        return samples.start_preview(owner=owner, body=body)

    @extend_schema(
        operation_id="extraction_preview",
        parameters=[SampleQuery],
        request=OBJECT,
        responses={200: documented_response("The preview", examples.PREVIEW_SCHEMA, examples.PREVIEW), **FAULTS},
        examples=[OpenApiExample("A payload", examples.PAYLOAD, request_only=True)],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Try a payload on its first page.

        Takes a payload, as a task has it, and answers within 60 s with up to 20 `records` of the `count` on the page;
        for each field how many elements its selector `matched`, how many records have no value (`nulls`), and
        `examples`; the address of the `next` page; and `warnings`. Pages behind it are not asked for: where details
        would be are their addresses. The page is paid for as every page; nothing is kept.
        """
        return self.answer_with_sample(request)


class PayloadSuggestionsView(SampleView):
    def start(self, *, owner: Any, body: Mapping[str, Any]) -> Process:
        return samples.start_suggestions(owner=owner, body=body)

    @extend_schema(
        operation_id="extraction_suggest",
        parameters=[SampleQuery],
        request=OBJECT,
        responses={
            200: documented_response("Suggestions", examples.SUGGESTIONS_SCHEMA, examples.SUGGESTIONS),
            **FAULTS,
        },
        examples=[OpenApiExample("A page", {"url": "https://shop.example.com/"}, request_only=True)],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Suggest payloads for a page.

        Takes what `/v1/fetch` takes, and answers within 60 s with payloads for the blocks that repeat on the page, the
        best first, each with its first five records and a `score` from 0 to 1. The page is paid for as every page;
        nothing is kept.
        """
        return self.answer_with_sample(request)
