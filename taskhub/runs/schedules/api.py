"""`/schedules`: made, listed, changed, paused, started by hand, and their fires."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.jsontools.jsonc import member_text
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run, Schedule
from taskhub.runs.run_kinds import kind_or_default
from taskhub.runs.scheduler.schedule_preview import preview
from taskhub.runs.scheduler.scheduled_runs import planned_run, target_of_schedule
from taskhub.runs.scheduler.schedules import delete_schedule, enable_schedule, run_schedule_now, version_of
from taskhub.runs.schedules.calendar_api import CalendarView
from taskhub.runs.schedules.serializers import (
    CHANGES,
    CHANGES_SCHEMA,
    EXAMPLE,
    EXAMPLE_FIRE,
    EXAMPLE_PREVIEW,
    EXAMPLE_SENT,
    EXAMPLE_WHEN,
    FIRE,
    HORIZON,
    PREVIEW,
    PREVIEWED,
    SCHEDULE,
    SENT,
    SHOWN_DUE_TIMES,
    ScheduleFilters,
    serialize_fires,
    serialize_preview,
    serialize_schedule,
)
from taskhub.runs.schedules.services import (
    change_schedule,
    create_schedule,
    fires_of,
    narrow_schedules,
    schedules_visible_to,
    visible_schedule,
)
from taskhub.runs.serializers import EXAMPLE as EXAMPLE_RUN
from taskhub.runs.serializers import RunSerializer
from taskhub.security.scopes import KeyScope, require_scopes
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import page_of, response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match, etag_of, version_check
from taskhub.web.rest_policies import FieldsParser, FormOrJsoncParser, JsoncParser
from taskhub.web.views import CheckedView

ID = OpenApiParameter(
    "id",
    OpenApiTypes.INT,
    OpenApiParameter.PATH,
    description="The schedule's id.",
    examples=[OpenApiExample("A schedule", EXAMPLE["id"], parameter_only=("id", OpenApiParameter.PATH))],
)
FAULTS = {400: "It cannot be stored; `errors` names each place, in `arguments` by its `path`, or `line` and `column`."}
EXAMPLE_PAGE = {"next": None, "previous": None}
LOCATION = response_header("Location", "The schedule's address.", 201)
PARSERS = (JsoncParser, FormOrJsoncParser, FieldsParser)


def _answer(schema: dict[str, Any], example: Any, words: str) -> OpenApiResponse:
    return OpenApiResponse(schema, words, examples=[OpenApiExample(words, example, response_only=True)])


ANSWER = _answer(SCHEDULE, EXAMPLE, "The schedule")


class NewestScheduleFirst(NewestFirstPagination):
    ordering = "-periodic_id"


def _as_written(request: Request, values: dict[str, Any]) -> dict[str, Any]:
    """The values, with the arguments as they were written, comments and all."""
    sent = getattr(request, "written", None)
    if sent and isinstance(values.get("arguments"), dict):
        return {**values, "arguments": member_text(sent, "arguments") or values["arguments"]}
    return values


def _schedule_answer(
    request: Request, schedule: Schedule, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    shown = serialize_schedule(schedule, request.user)
    return Response(shown, status, headers={**etag_of(version_of(schedule)), **(headers or {})})


class SchedulesView(CheckedView, GenericAPIView[Schedule]):
    parser_classes = PARSERS
    list_parameters = frozenset({"kind"})
    pagination_class = NewestScheduleFirst
    queryset = Schedule.objects.none()

    @extend_schema(
        operation_id="schedules_list",
        parameters=[ScheduleFilters],
        responses={200: _answer(page_of(SCHEDULE), EXAMPLE_PAGE | {"results": [EXAMPLE]}, "Schedules")},
    )
    def get(self, request: Request) -> Response:
        """List schedules.

        Newest first: your own; for staff everybody's. `next_fires` are those within two years.
        """
        filters = self.check_query(request, ScheduleFilters)
        page = self.paginate_queryset(narrow_schedules(schedules_visible_to(request.user), **filters))
        until = timezone.now() + HORIZON
        return self.get_paginated_response([serialize_schedule(row, request.user, until) for row in page or []])

    @extend_schema(
        operation_id="schedules_create",
        parameters=[KEY_PARAMETER, LOCATION, ETAG],
        request={"application/json": SENT.schema()},
        responses={201: ANSWER, **problems(409, because=FAULTS)},
        examples=[OpenApiExample("A walker on workdays", EXAMPLE_SENT, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Make a schedule.

        Of a walker, a sequence, a crawler or an extraction: `arguments` are those of the scheduled task of its kind,
        checked now and again at each due time. 409 for a name that you have already.
        """
        values = self.check_body(request, SENT)

        def produce() -> Response:
            schedule = create_schedule(owner=request.user, values=_as_written(request, values))
            return _schedule_answer(request, schedule, 201, {"Location": f"/schedules/{schedule.pk}"})

        return answer_once(request, values, produce)


class ScheduleView(CheckedView):
    parser_classes = PARSERS

    @extend_schema(operation_id="schedules_retrieve", parameters=[ID, ETAG], responses={200: ANSWER})
    def get(self, request: Request, id: int) -> Response:
        """Show a schedule."""
        return _schedule_answer(request, visible_schedule(schedule_id=id, user=request.user))

    @extend_schema(
        operation_id="schedules_change",
        parameters=[ID, IF_MATCH, ETAG],
        request={"application/json": CHANGES_SCHEMA},
        responses={200: ANSWER, **problems(409, 412, because=FAULTS)},
        examples=[OpenApiExample("Other times", {"when": EXAMPLE_WHEN}, request_only=True)],
    )
    def patch(self, request: Request, id: int) -> Response:
        """Change a schedule.

        What is sent takes the place of what was there, each value as a whole; the rest stays. Its runs and fires stay
        its own, also under another name.
        """
        sent = self.read_object(request)
        values = {name: value for name, value in CHANGES.check(sent).items() if name in sent}
        schedule = change_schedule(
            schedule_id=id,
            user=request.user,
            values=_as_written(request, values),
            check_version=version_check(request),
        )
        return _schedule_answer(request, schedule)

    @extend_schema(
        operation_id="schedules_delete",
        parameters=[ID, IF_MATCH],
        responses={204: OpenApiResponse(None, "Done"), **problems(412)},
    )
    def delete(self, request: Request, id: int) -> Response:
        """Delete a schedule.

        The runs that it started stay, and go on.
        """
        schedule = visible_schedule(schedule_id=id, user=request.user)
        check_if_match(request, version_of(schedule))
        delete_schedule(periodic=schedule.periodic)
        return Response(status=204)


class RunScheduleView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="schedules_run",
        parameters=[ID, KEY_PARAMETER, response_header("Location", "The run's address.", 202)],
        responses={202: RunSerializer},
        examples=[
            OpenApiExample("A run", EXAMPLE_RUN | {"state": "PENDING"}, response_only=True, status_codes=["202"])
        ],
    )
    def post(self, request: Request, id: int) -> Response:
        """Run a schedule now.

        Starts what it starts, beside what goes on; its due times stay as they are.
        """

        def produce() -> Response:
            schedule = visible_schedule(schedule_id=id, user=request.user)
            kind = kind_or_default(target_of_schedule(schedule).kind)
            require_scopes(request.auth, kind.key_scopes(planned_run(schedule).arguments))
            run = run_schedule_now(schedule=schedule)
            return Response(RunSerializer(run).data, 202, headers={"Location": f"/runs/{run.pk}"})

        return answer_once(request, {}, produce)


class PauseScheduleView(CheckedView):
    role_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(operation_id="schedules_pause", parameters=[ID, ETAG], responses={200: ANSWER})
    def post(self, request: Request, id: int) -> Response:
        """Pause a schedule.

        It does not fire until it is resumed; what it started goes on.
        """
        return _enable(request, id, enabled=False)


class ResumeScheduleView(CheckedView):
    role_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(operation_id="schedules_resume", parameters=[ID, ETAG], responses={200: ANSWER})
    def post(self, request: Request, id: int) -> Response:
        """Resume a schedule.

        It fires at its next due time; those that passed meanwhile are not made up for.
        """
        return _enable(request, id, enabled=True)


def _enable(request: Request, id: int, *, enabled: bool) -> Response:
    schedule = visible_schedule(schedule_id=id, user=request.user)
    enable_schedule(schedule=schedule, enabled=enabled)
    return _schedule_answer(request, visible_schedule(schedule_id=id, user=request.user))


class FiresView(CheckedView, GenericAPIView[Run]):
    queryset = Run.objects.none()

    @extend_schema(
        operation_id="schedules_fires",
        parameters=[ID],
        responses={200: _answer(page_of(FIRE), EXAMPLE_PAGE | {"results": [EXAMPLE_FIRE]}, "Fires")},
    )
    def get(self, request: Request, id: int) -> Response:
        """List the fires of a schedule.

        Newest first, as long as their runs are kept. A fire that started nothing has a run, too, which ended at once
        and says why in its error; where several due times were left out together, it names the first and the last.
        """
        self.check_query(request)
        schedule = visible_schedule(schedule_id=id, user=request.user)
        return self.get_paginated_response(serialize_fires(self.paginate_queryset(fires_of(schedule)) or []))


class PreviewView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}
    throttle_scope = "read"

    @extend_schema(
        operation_id="schedules_preview",
        request={"application/json": PREVIEWED.schema()},
        responses={200: _answer(PREVIEW, EXAMPLE_PREVIEW, "Due times"), **problems(400)},
        examples=[OpenApiExample("A night", {"when": EXAMPLE_WHEN, "count": 3}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Preview a schedule.

        Its next due times, in UTC and in the zone of its crontab. `mark` is `gap` where the clock leaves out the local
        time, so that it fires at the gap's end, and `fold` where it shows the local time twice. Nothing is stored.
        """
        values = self.check_body(request, PREVIEWED)
        due_times = preview(
            when=values["when"],
            start=values.get("start"),
            end=values.get("end"),
            one_off=values.get("one_off", False),
            count=values.get("count", SHOWN_DUE_TIMES),
        )
        return Response(serialize_preview(due_times))


urlpatterns = [
    path("schedules", SchedulesView.as_view()),
    path("schedules/preview", PreviewView.as_view()),
    path("schedules/calendar", CalendarView.as_view()),
    path("schedules/<int:id>", ScheduleView.as_view()),
    path("schedules/<int:id>/run", RunScheduleView.as_view()),
    path("schedules/<int:id>/pause", PauseScheduleView.as_view()),
    path("schedules/<int:id>/resume", ResumeScheduleView.as_view()),
    path("schedules/<int:id>/fires", FiresView.as_view()),
]
