"""`/console/extraction`: tasks and processes of extraction, the pages of a process and why some failed, its results."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from extraction.api.serializers import page_of, warning_of
from extraction.api.tasks import UNSHOWN
from extraction.domain.process_status import STATES_BY_WORD, PageState
from extraction.domain.result_formats import MEDIA_TYPES
from extraction.models import ExtractionPage, ExtractionTask, Process
from extraction.services.process_lifecycle import retry_process
from extraction.services.process_warnings import warnings_of
from extraction.services.processes import run_task, visible_process
from extraction.services.signed_links import LOG, link_to
from extraction.services.tasks import visible_task
from taskhub.console.console_view import ConsoleView, is_partial, list_position
from taskhub.console.json_tree import JsonView
from taskhub.errors import Conflict, Forbidden, Rejected, invalid
from taskhub.security.masking import mask_all, secrets_of
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import read_page

TASKS, PROCESSES, PAGES = 20, 50, 50
FAILED = "failed"  # the pages that are shown at first, where there are any


class ExtractionListView(ConsoleView):
    """The newest tasks, each with its last process, and all processes in pages; or those of one task."""

    def get(self, request: HttpRequest) -> HttpResponse:
        after = list_position(request)
        task = visible_task(id=request.GET["task"], user=request.user) if "task" in request.GET else None
        rows = Process.objects.visible_to(request.user).select_related("task", "owner").defer(*UNSHOWN)
        page = read_page(rows.filter(task=task) if task else rows, "-seq", PROCESSES, after=after)
        context = {
            "task": task,
            "tasks": [] if task or after else _tasks_with_last(request.user),
            "payload": JsonView("Payload", _shown_payload(task, request.user)) if task else None,
            "processes": page.rows,
            "last": page.rows[-1].pk if page.has_next else None,
        }
        return render(request, "console/extraction.html", context)


def _tasks_with_last(user: Any) -> list[tuple[ExtractionTask, Process | None]]:
    rows = ExtractionTask.objects.visible_to(user).select_related("owner").defer("payload", "delivery", "webhook")
    tasks = list(rows.order_by("-seq")[:TASKS])
    newest = Process.objects.filter(task__in=[task.pk for task in tasks], removed_at__isnull=True)
    newest = newest.defer("payload", "delivery", "cookies").order_by("task", "-seq").distinct("task")
    last = {process.task_id: process for process in newest}
    return [(task, last.get(task.pk)) for task in tasks]


def _shown_payload(row: ExtractionTask | Process, viewer: Any) -> Any:
    """Others than the owner see it without secrets."""
    return row.payload if row.owner_id == viewer.pk else mask_all(row.payload, secrets_of(row.payload))


class ProcessPageView(ConsoleView):
    """One process: what it found and cost, its warnings, its pages of one state, and links to its results.

    htmx gets the part alone that moves while the process does.
    """

    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        process = visible_process(id=id, user=request.user)
        state = request.GET.get("state", FAILED if process.failed else "")
        rows = ExtractionPage.objects.filter(process=process).defer("records")
        if state:
            rows = rows.filter(state=_page_state(state))
        page = read_page(rows, "id", PAGES, after=list_position(request))
        own = process.owner_id == request.user.pk
        context = {
            "process": process,
            "state": state,
            "states": ["", *STATES_BY_WORD],
            "pages": [page_of(row, own=own) for row in page.rows],
            "last": page.rows[-1].pk if page.has_next else None,
            "warnings": [warning_of(note) for note in warnings_of(process)],
            "results": link_to(process=process) if process.results else "",
            "log": link_to(process=process, content=LOG),
            "formats": [] if process.is_single_page else [name.upper() for name in MEDIA_TYPES],
        }
        if is_partial(request):
            return render(request, "console/process_progress.html", context)
        context["json"] = JsonView("Payload", _shown_payload(process, request.user))
        return render(request, "console/process.html", context)


def _page_state(word: str) -> PageState:
    """Raises `Rejected`."""
    if (state := STATES_BY_WORD.get(word)) is None:
        raise invalid("/state", f"Must be one of {', '.join(STATES_BY_WORD)}.")
    return state


class RunTaskView(ConsoleView):
    """Starts a process of a task, as it is stored."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        task = visible_task(id=id, user=request.user)
        try:
            process = run_task(task=task)
        except (Conflict, Forbidden, Rejected) as refusal:
            messages.warning(request, refusal.detail)
            return HttpResponseRedirect(f"{reverse('console:extraction')}?task={task.id}")
        messages.success(request, "It is started: this is the process.")
        return HttpResponseRedirect(reverse("console:extraction-process", args=[process.id]))


class RetryProcessPageView(ConsoleView):
    """Goes on with a process: asks again for the pages that failed."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        try:
            retry_process(process=visible_process(id=id, user=request.user))
            messages.success(request, "It goes on: the pages that failed are asked for again.")
        except (Conflict, Forbidden, Rejected) as refusal:
            messages.warning(request, refusal.detail)
        return HttpResponseRedirect(reverse("console:extraction-process", args=[id]))
