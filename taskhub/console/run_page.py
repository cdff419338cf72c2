"""`/console/runs/<id>`: one run: what it is, what it did, what belongs to it, and what may be done with it."""

import json
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from sequences.services.sequence_uses import editable_sequence
from taskhub.console.charts import Timeline, TimelineSpan
from taskhub.console.console_view import ConsoleView
from taskhub.console.json_editor import JsonEditor, faults_of, sent_text
from taskhub.console.json_tree import JsonView
from taskhub.console.run_story import read_story
from taskhub.errors import Forbidden, NotFound, Problem, Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.runs.models import Run
from taskhub.runs.queue import cancel, retry, retry_with, visible_run
from taskhub.runs.queue.wait_reasons import waits_of
from taskhub.runs.run_options import shown_concurrency
from taskhub.runs.schedules.services import schedules_visible_to
from taskhub.runs.serializers import LOG_LEVELS, WholeRunSerializer
from taskhub.security.masking import mask_all, masked_address
from taskhub.security.scopes import KeyScope

# Of the arguments of a kind's runs what `retry_with` takes; of others all.
EDITED_NAMES = {"walker": ("ctx",), "extraction": ("payload",), "crawler": ("params",)}
ARGUMENTS_HELP = (
    "JSON, checked before the run is accepted; what is left out stays. "
    "In place of stars write the secret that they hide."
)
EDITED_MAX = 200_000  # characters of arguments that a form takes


def brief_run(request: HttpRequest, run_id: UUID) -> Run:
    """The run without its arguments and result, which may be large. Raises `NotFound`."""
    rows = Run.objects.visible_to(request.user).brief().select_related("owner", "parent", "retry_of")
    run = rows.defer("parent__arguments", "parent__result", "retry_of__arguments", "retry_of__result")
    found: Run | None = run.filter(pk=run_id).first()
    if found is None:
        raise NotFound(f"There is no run {run_id}, or it is not yours.")
    return found


def _summary(run: Run, viewer: Any) -> dict[str, Any]:
    return {
        "run": run,
        "has_schedule": schedules_visible_to(viewer).filter(pk=run.schedule_id).exists() if run.schedule_id else False,
        # As pairs: a template would take a key called "items" for the method.
        "metadata": list(mask_all(run.metadata).items()) if run.metadata else [],
        "wait": waits_of([run]).get(run.pk),
        "concurrency": shown_concurrency(run),
        "sequence": editable_sequence(run, viewer),
        "webhook": run.webhook if run.owner_id == viewer.pk else masked_address(run.webhook),
    }


class RunPageView(ConsoleView):
    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        context = _summary(brief_run(request, run_id), request.user)
        return render(request, "console/run.html", {**context, "levels": LOG_LEVELS})


class RunSummaryView(ConsoleView):
    """The part of a run's page that moves while the run does."""

    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        return render(request, "console/run_summary.html", _summary(brief_run(request, run_id), request.user))


class RunStoryView(ConsoleView):
    """What the run did and what it started, and when."""

    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        run = brief_run(request, run_id)
        after = request.GET.get("after", "")
        number = int(after) if after.isascii() and after.isdecimal() and len(after) < 10 else None
        story = read_story(run=run, viewer=request.user, after=number)
        spans = [_span(one) for one in [run, *story.children[:20]]]
        context = {"run": run, "story": story, "timeline": Timeline(spans) if run.started_at else None}
        return render(request, "console/run_story.html", context)


def _span(run: Run) -> TimelineSpan:
    end = run.finished_at or timezone.now()
    address = reverse("console:runs-run", args=[run.pk])
    return TimelineSpan(f"{run.kind} {run.name}", run.state, run.created_at, run.started_at, end, address)


class RunValuesView(ConsoleView):
    """Its arguments, result and error as JSON."""

    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        run = visible_run(run_id=run_id, user=request.user)
        shown = WholeRunSerializer(run, context={"viewer": request.user}).data
        values = [JsonView(name, shown[name.lower()]) for name in ("Error", "Result", "Arguments")]
        return render(request, "console/run_values.html", {"run": run, "values": values})


class CancelView(ConsoleView):
    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        try:
            cancel(run=visible_run(run_id=run_id, user=request.user))
            messages.success(request, "The run is cancelled.")
        except Problem as problem:
            if problem.status != HTTPStatus.CONFLICT:
                raise
            messages.warning(request, problem.detail)
        return HttpResponseRedirect(reverse("console:runs-run", args=[run_id]))


class AgainView(ConsoleView):
    """A form with which a run is tried again, as it was, and by its owner with other arguments."""

    is_form = True
    role_scope = KeyScope.RUN

    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        run = visible_run(run_id=run_id, user=request.user)
        return self._form(request, run, _editable(run))

    def post(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        run = visible_run(run_id=run_id, user=request.user)
        text = sent_text(request.POST, "arguments") if "arguments" in request.POST else None
        if text is not None and run.owner_id != request.user.pk:
            raise Forbidden("Only its owner gives a run other arguments.")
        try:
            new = retry(run=run) if text is None else retry_with(run=run, arguments=_parsed(text))
        except Problem as problem:
            if text is not None:
                return self._form(request, run, text, problem)
            if problem.status != HTTPStatus.CONFLICT:
                raise
            messages.warning(request, problem.detail)
            return HttpResponseRedirect(reverse("console:runs-run", args=[run_id]))
        messages.success(request, "It runs again: this is the new run.")
        return HttpResponseRedirect(reverse("console:runs-run", args=[new.pk]))

    @staticmethod
    def _form(request: HttpRequest, run: Run, text: str, problem: Problem | None = None) -> HttpResponse:
        faults = faults_of(text, problem) if problem else []
        editor = JsonEditor("arguments", "Arguments", text, ARGUMENTS_HELP, faults=faults)
        context = {"run": run, "editor": editor, "is_own": run.owner_id == request.user.pk}
        return render(request, "console/run_again.html", context, status=problem.status if problem else 200)


def _editable(run: Run) -> str:
    """Of its arguments what may be other ones, secrets masked; empty where they are too long for a form."""
    shown = mask_all(run.arguments, run.secrets)
    names = EDITED_NAMES.get(run.kind)
    text = json.dumps(
        shown if names is None else {n: shown[n] for n in names if n in shown}, indent=2, ensure_ascii=False
    )
    return text if len(text) <= EDITED_MAX else ""


def _parsed(text: str) -> dict[str, Any]:
    """Arguments as somebody wrote them. Raises `Rejected`."""
    arguments = parse_jsonc(text)
    if not isinstance(arguments, dict):
        raise Rejected("The arguments must be an object.")
    return arguments
