"""Streams, crawlers and tasks: listed, shown, changed, deleted."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import crawler_of, enveloped, stream_of, streams_of, task_of, whole_task_of
from crawlers.api.views import (
    GONE,
    CrawlersList,
    CrawlersView,
    answer,
    body,
    created,
    found,
    listing,
)
from crawlers.models import Crawler, Stream, Task
from crawlers.services import definitions
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.web.openapi.problem_responses import problems

# Streams


def _meta(values: dict[str, Any]) -> dict[str, Any]:
    meta = dict(values.get("meta") or {})
    return meta | ({"name": values["name"]} if values.get("name") else {})


class StreamsView(CrawlersList):
    @extend_schema(operation_id="streams_list", responses={200: listing("Streams", shown.STREAM_SCHEMA, shown.STREAM)})
    def get(self, request: Request) -> Response:
        """List streams."""
        self.check_query(request)
        return self.listed(Stream.objects.visible_to(request.user), streams_of)

    @extend_schema(
        operation_id="streams_create",
        request=body(request_models.STREAM),
        responses={201: answer("The stream", shown.STREAM_SCHEMA, shown.STREAM)},
        examples=[OpenApiExample("A stream", {"meta": {"name": "shoes"}}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Make a stream."""
        stream = definitions.create_stream(
            owner=request.user, meta=_meta(self.check_body(request, request_models.STREAM))
        )
        return created(stream, stream_of(stream, None, None), "streams")


class StreamView(CrawlersView):
    @extend_schema(
        operation_id="streams_retrieve", responses={200: answer("The stream", shown.STREAM_SCHEMA, shown.STREAM)}
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a stream.

        With its crawler, its latest task and that task's status.
        """
        stream = found(Stream, request.user, fid)
        return enveloped(streams_of([stream])[0], stream.version)

    @extend_schema(
        operation_id="streams_change",
        request=body(request_models.STREAM),
        responses={200: answer("The stream", shown.STREAM_SCHEMA, shown.STREAM), **problems(409)},
        examples=[OpenApiExample("A change", {"meta": {"name": "boots"}}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change a stream's name and meta."""
        stream = found(Stream, request.user, fid)
        change = _meta(self.check_body(request, request_models.STREAM))
        definitions.change_meta(row=stream, meta=merge_patch(stream.meta, change))
        return enveloped(streams_of([stream])[0], stream.version)

    @extend_schema(operation_id="streams_delete", responses={200: GONE})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a stream.

        With its crawler, its tasks and its documents; a running task is stopped.
        """
        stream = found(Stream, request.user, fid)
        definitions.delete_stream(stream=stream)
        return enveloped(None, stream.version + 1)


# Crawlers

_RELATED = ("external", "stream", "periodic", "periodic__interval", "periodic__crontab", "periodic__clocked")


class CrawlersOfUserView(CrawlersList):
    @extend_schema(
        operation_id="crawlers_list",
        parameters=[request_models.CrawlerQuery],
        responses={200: listing("Crawlers", shown.CRAWLER_SCHEMA, shown.CRAWLER)},
    )
    def get(self, request: Request) -> Response:
        """List crawlers."""
        asked = {f"{name}__fid": fid for name, fid in self.check_query(request, request_models.CrawlerQuery).items()}
        rows = Crawler.objects.visible_to(request.user).filter(**asked).select_related(*_RELATED)
        return self.listed(rows, lambda found: [crawler_of(one) for one in found])


class CrawlerView(CrawlersView):
    @extend_schema(
        operation_id="crawlers_retrieve", responses={200: answer("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER)}
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a crawler.

        Secret parameters are stars, and the credential is not shown.
        """
        crawler = found(Crawler, request.user, fid, *_RELATED)
        return enveloped(crawler_of(crawler), crawler.version)

    @extend_schema(
        operation_id="crawlers_change",
        request=body(request_models.CRAWLER),
        responses={200: answer("The crawler", shown.CRAWLER_SCHEMA, shown.CRAWLER), **problems(409)},
        examples=[OpenApiExample("A change", {"params": {"query": "boots"}}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change a crawler.

        Merged recursively into what stands; `schedule` and `credential` are replaced, null for none.
        """
        crawler = found(Crawler, request.user, fid, *_RELATED)
        given = self.read_object(request)
        stands: dict[str, Any] = {"meta": crawler.meta, "params": definitions.all_params(crawler)}
        whole = {name: merge_patch(stands[name], given[name]) for name in stands.keys() & given.keys()}
        values = request_models.CRAWLER.check({**given, **whole})
        given_ones = {name: value for name, value in values.items() if name in given}
        crawler = definitions.change_crawler(crawler=crawler, values=given_ones)
        return enveloped(crawler_of(crawler), crawler.version)

    @extend_schema(operation_id="crawlers_delete", responses={200: GONE})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a crawler.

        Its running task is stopped; its documents stay in the stream.
        """
        crawler = found(Crawler, request.user, fid, *_RELATED)
        definitions.delete_crawler(crawler=crawler)
        return enveloped(None, crawler.version + 1)


# Tasks

TASK_RELATED = ("external", "stream", "crawler")


class TasksView(CrawlersList):
    @extend_schema(
        operation_id="tasks_list",
        parameters=[request_models.TaskQuery],
        responses={200: listing("Tasks", shown.TASK_SCHEMA, shown.TASK)},
    )
    def get(self, request: Request) -> Response:
        """List tasks."""
        return self.tasks(request, self.check_query(request, request_models.TaskQuery))

    def tasks(self, request: Request, asked: dict[str, Any]) -> Response:
        if "running" in asked:
            asked["ended_at__isnull"] = asked.pop("running")
        named = {f"{n}__fid" if n in {"external", "stream", "crawler"} else n: value for n, value in asked.items()}
        rows = Task.objects.visible_to(request.user).filter(**named).select_related(*TASK_RELATED)
        return self.listed(rows, lambda found: [task_of(one) for one in found])


class TasksOfCrawlerView(TasksView):
    @extend_schema(operation_id="crawlers_tasks_list", responses={200: listing("Tasks", shown.TASK_SCHEMA, shown.TASK)})
    def get(self, request: Request, fid: UUID) -> Response:  # type: ignore[override]
        """List a crawler's tasks."""
        self.check_query(request)
        crawler = found(Crawler, request.user, fid)
        return self.tasks(request, {"crawler": crawler.fid})


class TaskView(CrawlersView):
    @extend_schema(
        operation_id="tasks_retrieve", responses={200: answer("The task", shown.WHOLE_TASK_SCHEMA, shown.WHOLE_TASK)}
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a task.

        Its status, history and counts, and the requests to the crawler. Its `run` can be waited for.
        """
        task = found(Task, request.user, fid, *TASK_RELATED)
        return enveloped(whole_task_of(task), task.version)
