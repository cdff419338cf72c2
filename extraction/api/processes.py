"""The calls of processes: show, stop, retry; and list their pages."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.serializers import page_of, process_of, warning_of
from extraction.api.tasks import OBJECT, process_response
from extraction.api.views import ExtractionView, documented_array, documented_response
from extraction.domain.process_status import STATES_BY_WORD
from extraction.models import ExtractionPage
from extraction.services import process_lifecycle, processes
from extraction.services.process_warnings import warnings_of
from taskhub.errors import invalid
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import page_of as page_schema
from taskhub.web.openapi.schemas import response_header
from taskhub.web.query_values import ListFilter
from taskhub.web.views import QuerySerializer

ANSWER = {200: documented_response("The process", examples.PROCESS_SCHEMA, examples.PROCESS)}


class ProcessInfoView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}

    @extend_schema(operation_id="extraction_processes_info", responses=ANSWER)
    def get(self, request: Request, id: str) -> Response:
        """Show a process.

        Its counts move while it runs. `logFile` is a link that is good for an hour.
        """
        return Response(process_of(processes.visible_process(id=id, user=request.user)))

    @extend_schema(operation_id="extraction_processes_info_by_post", responses=ANSWER)
    def post(self, request: Request, id: str) -> Response:
        """Show a process, by POST.

        As by GET.
        """
        return self.get(request, id)


class CancelProcessView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(operation_id="extraction_processes_cancel", responses={**ANSWER, **problems(409)})
    def post(self, request: Request, id: str) -> Response:
        """Stop a process.

        Within two seconds. What was extracted stays, and is paid for.
        """
        process = processes.visible_process(id=id, user=request.user)
        return Response(process_of(processes.cancel_process(process=process)))


class RetryProcessView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="extraction_processes_retry",
        parameters=[
            KEY_PARAMETER,
            response_header("Location", "The process's address.", 202),
            response_header("Link", 'Its run (`rel="run"`).', 202),
        ],
        request=OBJECT,
        responses={202: documented_response("The process", examples.PROCESS_SCHEMA, examples.PROCESS)},
        examples=[OpenApiExample("A higher cap", {"maxCredits": 100}, request_only=True)],
    )
    def post(self, request: Request, id: str) -> Response:
        """Go on with a process.

        Asks again for the pages that failed, and for those that were never asked for: of a process that has ended, or
        that waits for credits. `maxCredits` is a new cap. 409 when nothing is left to do.
        """
        process = processes.visible_process(id=id, user=request.user)
        body = self.read_object(request)
        max_credits = _max_credits(body)

        def produce() -> Response:
            return process_response(process_lifecycle.retry_process(process=process, max_credits=max_credits))

        return answer_once(request, body, produce)


def _max_credits(body: dict[str, Any]) -> int | None:
    if unknown := next((name for name in body if name != "maxCredits"), None):
        raise invalid(f"/{unknown[:100]}", "There is no such name here.")
    max_credits = body.get("maxCredits")
    if max_credits is None:
        return None
    if isinstance(max_credits, bool) or not isinstance(max_credits, int) or not 1 <= max_credits <= 10**12:
        raise invalid("/maxCredits", "Must be a whole number of at least 1.")
    return max_credits


WARNINGS = {200: documented_array("Warnings", examples.WARNING_SCHEMA, examples.WARNING)}


class ProcessWarningsView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}

    @extend_schema(operation_id="extraction_processes_warnings", responses=WARNINGS)
    def get(self, request: Request, id: str) -> Response:
        """List a process's warnings.

        What somebody would want to know of a process that went on all the same: a selector that found nothing, a field
        that is null in all records, cells that were cut. `pointer` is a place in the payload, or empty. Most of them
        come when the process ends.
        """
        process = processes.visible_process(id=id, user=request.user)
        return Response([warning_of(note) for note in warnings_of(process)])

    @extend_schema(operation_id="extraction_processes_warnings_by_post", responses=WARNINGS)
    def post(self, request: Request, id: str) -> Response:
        """List a process's warnings, by POST.

        As by GET.
        """
        return self.get(request, id)


class ProcessPagesQuery(QuerySerializer):
    state = ListFilter(
        child=serializers.ChoiceField(sorted(STATES_BY_WORD)),
        required=False,
        help_text="Only those in these states: repeated, or separated by commas",
    )
    status = serializers.IntegerField(
        required=False, min_value=100, max_value=599, help_text="Only those whose server answered this"
    )


class OldestPagesFirst(NewestFirstPagination):
    ordering = "id"


class ProcessPagesView(ExtractionView, GenericAPIView[Any]):
    pagination_class = OldestPagesFirst
    list_parameters = frozenset({"state"})

    @extend_schema(
        operation_id="extraction_processes_pages",
        parameters=[ProcessPagesQuery],
        responses={
            200: documented_response(
                "Pages",
                page_schema(examples.PAGE_SCHEMA),
                {"results": [examples.PAGE], "next": None, "previous": None},
            )
        },
    )
    def get(self, request: Request, id: str) -> Response:
        """List a process's pages.

        In the order in which they were found, with what became of each.
        """
        query = self.check_query(request, ProcessPagesQuery)
        process = processes.visible_process(id=id, user=request.user)
        rows = ExtractionPage.objects.filter(process=process).defer("records")
        if "state" in query:
            rows = rows.filter(state__in=[STATES_BY_WORD[word] for word in query["state"]])
        if "status" in query:
            rows = rows.filter(status=query["status"])
        own = process.owner_id == request.user.pk
        return self.get_paginated_response([page_of(page, own=own) for page in self.paginate_queryset(rows) or []])
