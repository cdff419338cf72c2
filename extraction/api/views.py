"""Views and documentation that the calls of extraction share."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api.examples import ID
from extraction.models import Process
from extraction.services.result_files import result_topic
from taskhub.errors import Unavailable
from taskhub.runs.waits import Respond, answer_when
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.schemas import PAGE, response_header
from taskhub.web.rest_policies import FormParser, JsonByDefaultNegotiation
from taskhub.web.views import CheckedView

ID_PARAMETER = OpenApiParameter(
    "id",
    {"type": "string", "pattern": "^[0-9A-Za-z]{27}$"},
    OpenApiParameter.PATH,
    description="Its id, a KSUID.",
    examples=[OpenApiExample("An id", ID, parameter_only=("id", OpenApiParameter.PATH))],
)
WRITING_SECONDS = 30  # for which a call waits for a file that is being written
NEXT_LINK = response_header("Link", "The next page (RFC 8288), where there is one.", 200)
LISTS = [*PAGE, NEXT_LINK]


class NewestSequenceFirst(NewestFirstPagination):
    """Lists tasks or processes by their `seq`, newest first."""

    ordering = "-seq"


class BareBodyNegotiation(JsonByDefaultNegotiation):
    """Reads a body without a content type as a form, as `curl -d` sends it."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        if request.content_type:
            return super().select_parser(request, parsers)
        return next(parser for parser in parsers if isinstance(parser, FormParser))


class ExtractionView(CheckedView):
    path_parameters = (ID_PARAMETER,)
    content_negotiation_class = BareBodyNegotiation


def answer_when_written(request: Request, process: Process, respond: Respond) -> Response | HttpResponseBase:
    """What `respond` gives when the file of a process is written. Raises `Unavailable` where that takes too long."""

    def is_due() -> bool:
        return not Process.objects.filter(pk=process.pk, unwritten=True).exists()

    def respond_if_due() -> Response | HttpResponseBase:
        if not is_due():
            raise Unavailable("The file is still being written.", retry_after=5)
        return respond()

    return answer_when(
        request,
        is_due,
        topics=[result_topic(process.id)],
        seconds=WRITING_SECONDS if process.unwritten else 0,
        respond=respond_if_due if process.unwritten else respond,
        user_id=process.owner_id,
    )


class ArrayView(ExtractionView, GenericAPIView[Any]):
    """Answers with a list as a plain array, as in dataflow_tasks.md; the header `Link` leads to the next page."""

    pagination_class = NewestSequenceFirst

    def list_rows(self, rows: QuerySet[Any], show: Callable[[Any], Any]) -> Response:
        items = [show(row) for row in self.paginate_queryset(rows) or []]
        following = self.get_paginated_response([]).data["next"]
        return Response(items, headers={"Link": f'<{following}>; rel="next"'} if following else {})


def documented_response(description: str, schema: dict[str, Any], example: Any) -> OpenApiResponse:
    return OpenApiResponse(schema, description, [OpenApiExample(description[:60], example, response_only=True)])


def documented_array(description: str, schema: dict[str, Any], example: Any) -> OpenApiResponse:
    return documented_response(description, {"type": "array", "items": schema}, [example])
