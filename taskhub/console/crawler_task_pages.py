"""`/console/crawlers/tasks/<fid>`: one task of a crawler: its status and history, what it brought, its log."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from crawlers.api.serializers import serialize_task_details
from crawlers.api.tasks import TASK_RELATED
from crawlers.models import CrawlerTask
from crawlers.services.status_updates import delete_task
from crawlers.services.task_runs import retry_task
from taskhub.console.console_view import ConsoleView, is_partial
from taskhub.console.json_tree import JsonView
from taskhub.errors import Conflict, Rejected, invalid
from taskhub.runs.queue import cancel, visible_run
from taskhub.runs.serializers import LOG_LEVELS
from taskhub.security.scopes import KeyScope


class CrawlerTaskPageView(ConsoleView):
    """One task; htmx gets the part alone that moves while the task does."""

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        task = _visible_task(request, fid)
        shown = serialize_task_details(task)
        for entry in (*shown["history"], *shown["calls"]):
            entry["at"] = parse_datetime(entry["at"])
        context = {"task": task, "shown": shown}
        if is_partial(request):
            return render(request, "console/crawler_task_summary.html", context)
        context |= {"levels": LOG_LEVELS, "json": JsonView("Parameters", shown["params"])}
        return render(request, "console/crawler_task.html", context)


def _visible_task(request: HttpRequest, fid: UUID) -> CrawlerTask:
    task: CrawlerTask = CrawlerTask.objects.select_related(*TASK_RELATED, "owner", "run").get_visible(request.user, fid)
    return task


def _stop(task: CrawlerTask, user: Any) -> str:
    if task.run_id is None:
        raise Conflict("The task has no run any more.")
    cancel(run=visible_run(run_id=task.run_id, user=user))
    return "The task is stopped, and its crawler is told."


def _retry(task: CrawlerTask, user: Any) -> str:
    running, is_new = retry_task(task=task)
    return "It is tried again." if is_new else f"Another task of the crawler is running: {running.fid}."


def _delete(task: CrawlerTask, user: Any) -> str:
    delete_task(task=task)
    return "The task is deleted, and its documents leave the stream."


TASK_ACTIONS: dict[str, Callable[[CrawlerTask, Any], str]] = {"stop": _stop, "retry": _retry, "delete": _delete}


class CrawlerTaskActionView(ConsoleView):
    """Stops a task, tries it again, or deletes it with its documents."""

    @property
    def role_scope(self) -> KeyScope:  # type: ignore[override]
        return KeyScope.MANAGE if self.request.POST.get("action") == "delete" else KeyScope.RUN

    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        task = _visible_task(request, fid)
        action = request.POST.get("action", "")
        if action not in TASK_ACTIONS:
            raise invalid("/action", "There is no such action.")
        try:
            messages.success(request, TASK_ACTIONS[action](task, request.user))
        except (Conflict, Rejected) as refusal:
            messages.warning(request, refusal.detail)
        if action == "delete":
            return HttpResponseRedirect(reverse("console:streams-stream", args=[task.stream.fid]))
        return HttpResponseRedirect(reverse("console:crawlers-task", args=[fid]))
