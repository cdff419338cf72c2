"""Tasks: listed, shown, started, tried again, reported on, deleted."""

import json
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import UNSHOWN, serialize_report, serialize_task, serialize_task_details
from crawlers.api.views import (
    EMPTIED,
    EnvelopeListView,
    EnvelopeView,
    enveloped,
    json_body,
    list_response,
    payload_response,
)
from crawlers.models import Crawler, CrawlerTask, StatusChange
from crawlers.services import status_updates, task_runs
from crawlers.services.capabilities import find_task
from taskhub.errors import invalid
from taskhub.jsontools.strict_json import parse_json
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.run_options import run_options
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.rest_policies import AnyTypeParser

CAPABILITY = OpenApiParameter(
    "capability",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{32}$"},
    OpenApiParameter.PATH,
    description="Of the task's present attempt, as the crawler was given it; it needs no other credentials.",
)

LOCATION = response_header("Location", "The task's address.", 201, 208)
STARTED = {
    201: payload_response("A new task, or a new attempt of it", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK),
    208: payload_response("The task that is running", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK),
}


RECORDED = payload_response("It is recorded.", shown.REPORTED_SCHEMA, shown.REPORTED)
TASK_RELATED = ("external", "stream", "crawler")


class CrawlerTasksView(EnvelopeListView):
    list_parameters = frozenset({"code"})

    @extend_schema(
        operation_id="tasks_list",
        parameters=[request_models.TaskQuery],
        responses={200: list_response("Tasks", shown.TASK_SCHEMA, shown.TASK)},
    )
    def get(self, request: Request) -> Response:
        """List tasks."""
        return self.task_page(request, self.check_query(request, request_models.TaskQuery))

    def task_page(self, request: Request, query: dict[str, Any]) -> Response:
        lookups = {"running": "ended_at__isnull", "code": "code__in"}
        conditions = {lookups.get(name, f"{name}__fid"): value for name, value in query.items()}
        rows = CrawlerTask.objects.visible_to(request.user).filter(**conditions).select_related(*TASK_RELATED)
        rows = rows.defer(*UNSHOWN, "crawler__meta", "crawler__params", "crawler__secrets")
        return self.page(rows, lambda tasks: [serialize_task(task) for task in tasks])


class TasksOfCrawlerView(CrawlerTasksView):
    list_parameters = frozenset[str]()

    @extend_schema(
        operation_id="crawlers_tasks_list", responses={200: list_response("Tasks", shown.TASK_SCHEMA, shown.TASK)}
    )
    def get(self, request: Request, fid: UUID) -> Response:  # type: ignore[override]
        """List a crawler's tasks."""
        self.check_query(request)
        crawler = Crawler.objects.get_visible(request.user, fid)
        return self.task_page(request, {"crawler": crawler.fid})


class CrawlerTaskView(EnvelopeView):
    @extend_schema(
        operation_id="tasks_retrieve",
        responses={200: payload_response("The task", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a task.

        Its status, history and counts, and the requests to the crawler. Its `run` can be waited for.
        """
        task = CrawlerTask.objects.select_related(*TASK_RELATED).get_visible(request.user, fid)
        return enveloped(serialize_task_details(task), task.version)


def _task_answer(task: CrawlerTask, status: int) -> Response:
    location = f"{settings.PUBLIC_URL}/tasks/{task.fid}"
    return enveloped(serialize_task_details(task), task.version, status, headers={"Location": location})


class StartTaskView(EnvelopeView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="crawlers_start",
        parameters=[KEY_PARAMETER, LOCATION],
        request=json_body(request_models.START),
        responses=STARTED,
        examples=[OpenApiExample("Other parameters", {"params": {"query": "boots"}}, request_only=True)],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Start a task.

        `params` lie over the crawler's, for this task alone; the rest is said of its run, and shows at `/runs`. 208
        shows the task that is running already.
        """
        crawler = Crawler.objects.select_related("external", "stream", "owner").get_visible(request.user, fid)
        values = self.check_body(request, request_models.START)

        def produce() -> Response:
            options = run_options(values)
            task, is_new = task_runs.start_task(crawler=crawler, params=values.get("params", {}), **options)
            return _task_answer(task, 201 if is_new else 208)

        return answer_once(request, values, produce)


class RetryTaskView(EnvelopeView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="tasks_retry",
        parameters=[
            OpenApiParameter(
                "task_fid",
                OpenApiTypes.UUID,
                OpenApiParameter.PATH,
                description="The task's id.",
                examples=[
                    OpenApiExample("An id", shown.TASK["fid"], parameter_only=("task_fid", OpenApiParameter.PATH))
                ],
            ),
            KEY_PARAMETER,
            LOCATION,
        ],
        responses=STARTED,
    )
    def post(self, request: Request, fid: UUID, task_fid: UUID) -> Response:
        """Try a task again.

        A new attempt of it. 409 while it runs; 208 shows the other task of the crawler that is running.
        """
        crawler = Crawler.objects.get_visible(request.user, fid)
        tasks = CrawlerTask.objects.filter(crawler=crawler).select_related(*TASK_RELATED, "owner", "run")
        task = tasks.get_visible(request.user, task_fid)

        def produce() -> Response:
            running_task, is_new = task_runs.retry_task(task=task)
            return _task_answer(running_task, 201 if is_new else 208)

        return answer_once(request, {}, produce)


class DeleteTaskView(EnvelopeView):
    @extend_schema(
        operation_id="tasks_delete",
        responses={200: EMPTIED},
    )
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a task.

        Stops it, tells the crawler, and takes its documents away: an older version shows again.
        """
        task = CrawlerTask.objects.select_related(*TASK_RELATED).get_visible(request.user, fid)
        status_updates.delete_task(task=task)
        return enveloped(None, task.version + 1)


class TaskStatusView(EnvelopeView):
    """A status report by the owner of the task."""

    parser_classes = (AnyTypeParser,)
    key_scopes: ClassVar = {"POST": KeyScope.UPLOAD}

    @extend_schema(
        operation_id="tasks_status",
        request=json_body(request_models.STATUS),
        responses={200: RECORDED, **problems(409)},
        examples=[OpenApiExample("Done", {"code": 200, "message": "task done"}, request_only=True)],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Report a task's status.

        Any content type: JSON or a form. 200 and above end the task. 409 when it has ended otherwise; its final status
        again is 200.
        """
        return self.report(request, CrawlerTask.objects.select_related(*TASK_RELATED).get_visible(request.user, fid))

    def report(self, request: Request, task: CrawlerTask) -> Response:
        body = self.read_object(request)
        if isinstance(request.data, QueryDict):  # a form has texts only
            body = {name: _field_of_form(name, text) for name, text in body.items()}
        values = request_models.STATUS.check(body)
        detail = values.get("detail")
        if detail is not None and not isinstance(detail, str):
            detail = json.dumps(detail, ensure_ascii=False)
        if detail and len(detail) > request_models.DETAIL_MAX:
            raise invalid("/detail", f"Has {len(detail)} characters; {request_models.DETAIL_MAX} are allowed.")
        task = status_updates.change_status(
            task=task,
            code=values["code"],
            message=values.get("message") or "",
            detail=detail or "",
            by=StatusChange.By.CRAWLER,
            log=[line for text in values.get("log") or () for line in request_models.split_log(text)],
            **{name: values[name] for name in ("progress", "stats") if values.get(name) is not None},
        )
        return enveloped(serialize_report(task), task.version)


def _field_of_form(name: str, text: str) -> Any:
    """The value of a field: of a code its number, of what is an object its JSON."""
    if name == "code" and text.strip().isdecimal() and len(text) < 9:
        return int(text)
    return parse_json(text) if name in {"progress", "stats"} else text


class CapabilityStatusView(TaskStatusView):
    """A status report by the crawler, whom the capability in its endpoint stands for."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="capable_tasks_status",
        parameters=[CAPABILITY],
        request=json_body(request_models.STATUS),
        responses={200: RECORDED, **problems(409)},
        examples=[OpenApiExample("Done", {"code": 200, "message": "task done"}, request_only=True)],
    )
    def post(self, request: Request, fid: UUID, capability: str = "") -> Response:
        """Report a task's status, as its crawler."""
        return self.report(request, find_task(capability=capability, fid=fid))
