"""Action calls: a crawler made, a task started, tried again, reported on, deleted."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.relations import TASK_RELATED
from crawlers.api.serializers import crawler_of, enveloped, external_of, streams_of, whole_task_of
from crawlers.api.views import CrawlersView, answer, body, created, found
from crawlers.domain.parameters import Fault
from crawlers.models import Crawler, External, StatusChange, Stream, Task
from crawlers.services import definitions, status_updates, task_runs
from crawlers.services.capabilities import task_for
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import object_of, response_header

CAPABILITY = OpenApiParameter(
    "capability",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{32}$"},
    OpenApiParameter.PATH,
    description="Of the task's present attempt, as the crawler was given it; it needs no other credentials.",
)
MADE = {"crawler": shown.CRAWLER, "stream": shown.STREAM, "external": shown.EXTERNAL}
MADE_SCHEMA = object_of(MADE) | {
    "properties": {
        "crawler": shown.CRAWLER_SCHEMA,
        "stream": shown.STREAM_SCHEMA,
        "external": shown.EXTERNAL_SCHEMA,
    }
}
LOCATION = response_header("Location", "The task's address.", 201, 208)
STARTED = {
    201: answer("A new task, or a new attempt of it", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK),
    208: answer("The task that is running", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK),
}


class NewCrawlerView(CrawlersView):
    @extend_schema(
        operation_id="crawlers_create",
        parameters=[KEY_PARAMETER, response_header("Location", "The crawler's address.", 201)],
        request=body(request_models.CRAWLER),
        responses={201: answer("The crawler", MADE_SCHEMA, MADE)},
        examples=[
            OpenApiExample("A crawler", {"meta": {"name": "shoes"}, "params": {"query": "shoes"}}, request_only=True)
        ],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Make a crawler for a stream.

        The stream is named in `meta.links`: `[{"from": {"type": "streams", "fid": ...}}]`; without it one is made.
        Parameters are checked; each fault has its place.
        """
        external = found(External, request.user, fid)
        values = self.check_body(request, request_models.CRAWLER)
        return answer_once(request, values, lambda: self._create(external, values))

    @staticmethod
    def _create(external: External, values: dict[str, Any]) -> Response:
        meta = dict(values.get("meta", {}))
        crawler = definitions.create_crawler(
            external=external,
            stream=_linked(meta.pop("links", []), external.owner),
            meta=meta,
            params=values.get("params", {}),
            credential=values.get("credential"),
            schedule=values.get("schedule"),
        )
        payload = {
            "crawler": crawler_of(crawler),
            "stream": streams_of([crawler.stream])[0],
            "external": external_of(external),
        }
        return created(crawler, payload, "crawlers")


def _linked(links: Any, owner: Any) -> Stream | None:
    """The stream that `meta.links` names. Raises `Rejected` for anything else than one stream of the owner's."""
    at = "/meta/links"
    if not isinstance(links, list) or len(links) > 1:
        definitions.refuse([Fault(at, "Must be a list of one link at most.")])
    if not links:
        return None
    link = links[0].get("from") if isinstance(links[0], Mapping) else None
    if not isinstance(link, Mapping) or link.get("type") != "streams":
        definitions.refuse([Fault(f"{at}/0/from", 'Must be {"type": "streams", "fid": ...}.')])
    try:
        fid = UUID(str(link["fid"])) if link else None
    except (KeyError, ValueError):
        fid = None
    stream = Stream.objects.visible_to(owner).filter(fid=fid, owner=owner).first() if fid else None
    if stream is None:
        definitions.refuse([Fault(f"{at}/0/from/fid", "There is no such stream.")])
    return stream


def _task_answer(task: Task, status: int) -> Response:
    location = f"{settings.PUBLIC_URL}/tasks/{task.fid}"
    return enveloped(whole_task_of(task), task.version, status, headers={"Location": location})


class StartView(CrawlersView):
    @extend_schema(
        operation_id="crawlers_start",
        parameters=[KEY_PARAMETER, LOCATION],
        request=body(request_models.START),
        responses=STARTED,
        examples=[OpenApiExample("Other parameters", {"params": {"query": "boots"}}, request_only=True)],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Start a task.

        `params` lie over the crawler's, for this task alone. 208 shows the task that is running already.
        """
        crawler = found(Crawler, request.user, fid, "external", "stream")
        values = self.check_body(request, request_models.START)

        def produce() -> Response:
            task, new = task_runs.start_task(crawler=crawler, params=values.get("params", {}))
            return _task_answer(task, 201 if new else 208)

        return answer_once(request, values, produce)


class RetryTaskView(CrawlersView):
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
        crawler = found(Crawler, request.user, fid)
        task = found(Task, request.user, task_fid, *TASK_RELATED, "run")
        if task.crawler_id != crawler.pk:
            task = found(Task, request.user, UUID(int=0))

        def produce() -> Response:
            shown_task, new = task_runs.retry_task(task=task)
            return _task_answer(shown_task, 201 if new else 208)

        return answer_once(request, {}, produce)


class DeleteTaskView(CrawlersView):
    @extend_schema(operation_id="tasks_delete", responses={200: answer("It is deleted.", {"type": "null"}, None)})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a task.

        Stops it, tells the crawler, and takes its documents away: an older version shows again.
        """
        task = found(Task, request.user, fid, *TASK_RELATED)
        status_updates.delete_task(task=task)
        return enveloped(None, task.version + 1)


class StatusView(CrawlersView):
    """By the owner of the task."""

    @extend_schema(
        operation_id="tasks_status",
        request=body(request_models.STATUS),
        responses={200: answer("The task", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK), **problems(409)},
        examples=[OpenApiExample("Done", {"code": 200, "message": "task done"}, request_only=True)],
    )
    def post(self, request: Request, fid: UUID) -> Response:
        """Report a task's status.

        200 and above end the task. 409 when it has ended otherwise; its final status again is 200.
        """
        return self.report(request, found(Task, request.user, fid, *TASK_RELATED))

    def report(self, request: Request, task: Task) -> Response:
        given = self.read_object(request)
        code = given.get("code")
        if isinstance(code, str) and code.strip().isdecimal() and len(code) < 9:
            given["code"] = int(code)  # a form has texts only
        values = request_models.STATUS.check(given)
        status_updates.change_status(
            task=task,
            code=values["code"],
            message=values.get("message") or "",
            detail=_text(values.get("detail")),
            by=StatusChange.By.CRAWLER,
        )
        task = Task.objects.select_related(*TASK_RELATED).get(pk=task.pk)
        return enveloped(whole_task_of(task), task.version)


def _text(detail: Any) -> str:
    if detail is None:
        return ""
    return detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)


class CapableStatusView(StatusView):
    """By the crawler, whom the capability in its endpoint stands for."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="capable_tasks_status",
        parameters=[CAPABILITY],
        request=body(request_models.STATUS),
        responses={200: answer("The task", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK), **problems(409)},
        examples=[OpenApiExample("Done", {"code": 200, "message": "task done"}, request_only=True)],
    )
    def post(self, request: Request, fid: UUID, capability: str = "") -> Response:
        """Report a task's status, as its crawler."""
        return self.report(request, task_for(capability=capability, fid=fid))
