"""The calls of tasks: create, run, show, change, delete."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.serializers import process_of, task_of
from extraction.api.views import (
    LISTS,
    NEXT_LINK,
    ArrayView,
    ExtractionView,
    documented_array,
    documented_response,
)
from extraction.models import ExtractionTask, Process
from extraction.services import processes, retention, tasks
from extraction.services.tasks import visible_task
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.run_options import without_options
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, etag_of, version_check

UNSHOWN = ("payload", "delivery", "cookies", "task__payload", "task__delivery")  # of processes in a list
OBJECT = {"application/json": {"type": "object"}}
ANSWER = {200: documented_response("The task", examples.TASK_SCHEMA, examples.TASK)}
OVERRIDES = OpenApiExample(
    "Another format, at most 50 credits", {"payload": {"format": "XLSX"}, "maxCredits": 50}, request_only=True
)


def _answer_of(
    request: Request, task: ExtractionTask, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    shown = task_of(task, request.user)
    return Response(shown, status, headers={**etag_of(tasks.version_of(task)), **(headers or {})})


class ExtractionTasksView(ArrayView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}

    @extend_schema(
        operation_id="extraction_tasks",
        parameters=[NEXT_LINK],
        responses={200: documented_array("Tasks", examples.TASK_SCHEMA, examples.TASK)},
    )
    def get(self, request: Request) -> Response:
        """List tasks.

        Newest first.
        """
        self.check_query(request)
        return self.list_rows(
            ExtractionTask.objects.visible_to(request.user).defer("delivery"), lambda task: task_of(task, request.user)
        )

    @extend_schema(
        operation_id="extraction_tasks_by_post",
        parameters=LISTS,
        responses={200: documented_array("Tasks", examples.TASK_SCHEMA, examples.TASK)},
    )
    def post(self, request: Request) -> Response:
        """List tasks, by POST.

        As by GET.
        """
        return self.get(request)


class CreateExtractionTaskView(ExtractionView):
    @extend_schema(
        operation_id="extraction_tasks_create",
        parameters=[KEY_PARAMETER, ETAG, response_header("Location", "The task's address.", 201)],
        request=OBJECT,
        responses={201: documented_response("The task", examples.TASK_SCHEMA, examples.TASK)},
        examples=[OpenApiExample("A payload", examples.PAYLOAD, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Create a task.

        The body is a payload, or a task's structure that holds one (`name`, `description`, `webhook`, `payload`). The
        payload is checked completely; each fault has its place. docs/extraction.md describes it.
        """
        body = self.read_object(request)

        def produce() -> Response:
            task = tasks.create_task(owner=request.user, body=body)
            location = f"{settings.PUBLIC_URL}/v1/task/{task.id}/info"
            return _answer_of(request, task, 201, {"Location": location})

        return answer_once(request, body, produce)


class RunExtractionTaskView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="extraction_tasks_run",
        parameters=[
            KEY_PARAMETER,
            response_header("Location", "The process's address.", 202),
            response_header("Link", 'Its run (`rel="run"`): to wait for, to follow.', 202),
        ],
        request=OBJECT,
        responses={202: documented_response("The process", examples.PROCESS_SCHEMA, examples.PROCESS)},
        examples=[OVERRIDES],
    )
    def post(self, request: Request, id: str) -> Response:
        """Run a task.

        A new process, which goes on in the background. `payload` lies over the task's own for this run (RFC 7396);
        `maxCredits` is the most that it may cost. What is said of runs (`tags`, `metadata`, `priority`, `expires_at`,
        `concurrency`, `webhook`) stands beside it, and shows at `/runs`.
        """
        task = visible_task(id=id, user=request.user)
        body = self.read_object(request)
        overrides, options = without_options(body)

        def produce() -> Response:
            return process_response(processes.run_task(task=task, overrides=overrides, **options))

        return answer_once(request, body, produce)


def process_response(process: Process) -> Response:
    """The answer 202 with a process, which goes on."""
    headers = {"Location": f"{settings.PUBLIC_URL}/v1/process/{process.id}/info"}
    if process.run_id:
        headers["Link"] = f'<{settings.PUBLIC_URL}/runs/{process.run_id}>; rel="run"'
    return Response(process_of(process), 202, headers=headers)


class EstimateExtractionTaskView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}

    @extend_schema(
        operation_id="extraction_tasks_estimate",
        request=OBJECT,
        responses={200: documented_response("The estimate", examples.ESTIMATE_SCHEMA, examples.ESTIMATE)},
        examples=[OVERRIDES],
    )
    def post(self, request: Request, id: str) -> Response:
        """Estimate what a run costs.

        In credits: at least, at most, and what the last run did cost. Takes the same body as a run. Nothing is asked of
        the site.
        """
        return Response(
            processes.estimate_cost(task=visible_task(id=id, user=request.user), overrides=self.read_object(request))
        )


class ExtractionTaskInfoView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}

    @extend_schema(operation_id="extraction_tasks_info", parameters=[ETAG], responses=ANSWER)
    def get(self, request: Request, id: str) -> Response:
        """Show a task.

        With its payload as it was sent; staff see the secrets in another's masked.
        """
        return _answer_of(request, visible_task(id=id, user=request.user))

    @extend_schema(operation_id="extraction_tasks_info_by_post", parameters=[ETAG], responses=ANSWER)
    def post(self, request: Request, id: str) -> Response:
        """Show a task, by POST.

        As by GET.
        """
        return self.get(request, id)


class ExtractionTaskProcessesView(ArrayView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}

    @extend_schema(
        operation_id="extraction_tasks_results",
        parameters=[NEXT_LINK],
        responses={200: documented_array("Processes", examples.PROCESS_SCHEMA, examples.PROCESS)},
    )
    def get(self, request: Request, id: str) -> Response:
        """List a task's processes.

        Newest first.
        """
        self.check_query(request)
        task = visible_task(id=id, user=request.user)
        rows = Process.objects.filter(task=task, removed_at__isnull=True).select_related("task")
        return self.list_rows(rows.defer(*UNSHOWN), process_of)

    @extend_schema(
        operation_id="extraction_tasks_results_by_post",
        parameters=[*LISTS],
        responses={200: documented_array("Processes", examples.PROCESS_SCHEMA, examples.PROCESS)},
    )
    def post(self, request: Request, id: str) -> Response:
        """List a task's processes, by POST.

        As by GET.
        """
        return self.get(request, id)


class UpdateExtractionTaskView(ExtractionView):
    @extend_schema(
        operation_id="extraction_tasks_update",
        parameters=[IF_MATCH, ETAG],
        request=OBJECT,
        responses={**ANSWER, **problems(412)},
        examples=[OpenApiExample("Another name", {"name": "Shoes"}, request_only=True)],
    )
    def post(self, request: Request, id: str) -> Response:
        """Change a task.

        A task's structure: what is given replaces what stands. Processes stay as they were run. Stars, as staff see in
        the place of secrets, are refused.
        """
        task = visible_task(id=id, user=request.user)
        body = self.read_object(request)
        return _answer_of(request, tasks.update_task(task=task, body=body, check_version=version_check(request)))


DELETED_BODY: dict[str, Any] = {"deleted": "ok"}
DELETED: dict[Any, Any] = {
    200: documented_response(
        "It is deleted.", {"type": "object", "properties": {"deleted": {"const": "ok"}}}, DELETED_BODY
    ),
}


class DeleteExtractionTaskView(ExtractionView):
    @extend_schema(operation_id="extraction_tasks_delete", responses=DELETED)
    def delete(self, request: Request, id: str) -> Response:
        """Delete a task.

        With its processes, which are stopped, their files and logs.
        """
        retention.delete_task(task=visible_task(id=id, user=request.user))
        return Response(DELETED_BODY)

    @extend_schema(operation_id="extraction_tasks_delete_by_post", responses=DELETED)
    def post(self, request: Request, id: str) -> Response:
        """Delete a task, by POST.

        As by DELETE.
        """
        return self.delete(request, id)
