"""`/console/extraction/look`: payloads are built by looking at a page: suggested for it, tried on it, kept as tasks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from extraction.domain.extraction_rule import CHROME
from extraction.domain.preview_payload import TRIED
from extraction.domain.result_formats import PREVIEW, SUGGESTIONS
from extraction.models import Process
from extraction.services.processes import visible_process
from extraction.services.samples import start_preview, start_suggestions, take_result
from extraction.services.tasks import create_task
from taskhub.console.console_view import ConsoleView, entries_of, is_partial
from taskhub.console.json_tree import one_line
from taskhub.errors import NotFound, Problem, Rejected, invalid
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.security.scopes import KeyScope

COLUMNS_MAX = 12


class LookView(ConsoleView):
    """A form for an address, for which payloads are suggested, and one for a payload, which is tried or kept."""

    is_form = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "console/look.html", {"sent": {}})

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            return HttpResponseRedirect(_act(request))
        except Problem as problem:
            context = {"sent": request.POST, "faults": entries_of(problem)}
            return render(request, "console/look.html", context, status=problem.status)


def _act(request: HttpRequest) -> str:
    """Does what a form asks for; the address where it is seen. Raises what the services raise."""
    match request.POST.get("action"):
        case "suggest":
            rendered = {"type": CHROME} if "rendered" in request.POST else {}
            sample = start_suggestions(owner=request.user, body={"url": request.POST.get("url", ""), **rendered})
        case "preview":
            sample = start_preview(owner=request.user, body=_payload(request))
        case "keep":
            task = create_task(owner=request.user, body=_payload(request))
            messages.success(request, "The task is made.")
            return f"{reverse('console:extraction')}?task={task.id}"
        case _:
            raise invalid("/action", "There is no such action.")
    return reverse("console:extraction-sample", args=[sample.id])


def _payload(request: HttpRequest) -> dict[str, Any]:
    payload = parse_jsonc(request.POST.get("payload", ""))
    if not isinstance(payload, dict):
        raise Rejected("The payload must be an object.")
    return payload


class SamplePageView(ConsoleView):
    """What came of one look at a page. It is taken once, by POST, when its run has ended; then it is gone."""

    role_scope = KeyScope.RUN

    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return render(request, "console/sample.html", {"process": _own_sample(request, id)})

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        process = _own_sample(request, id)
        template = "console/sample_result.html" if is_partial(request) else "console/sample.html"
        if process.run is not None and not process.run.ended:
            return render(request, template, {"process": process})
        tried = process.payload.get(TRIED)
        context: dict[str, Any] = {"process": process, "is_taken": True}
        try:
            result = take_result(process=process)
        except Problem as problem:
            context["faults"] = entries_of(problem)
        else:
            context |= _shown_preview(result) if tried else _shown_suggestions(result)
        context["payload"] = _written(tried) if tried else ""
        return render(request, template, context)


def _own_sample(request: HttpRequest, id: str) -> Process:
    process = visible_process(id=id, user=request.user)
    if process.owner_id != request.user.pk or process.format not in {PREVIEW, SUGGESTIONS}:
        raise NotFound(f"There is no look {id}, or it is not yours.")
    return process


def _shown_suggestions(result: Mapping[str, Any]) -> dict[str, Any]:
    suggestions = [
        {
            "payload": _written(suggestion["payload"]),
            "table": record_table(suggestion["records"]),
            "percent": round(100 * suggestion["score"]),
        }
        for suggestion in result["suggestions"]
    ]
    return {"suggestions": suggestions, "is_empty": not suggestions}


def _shown_preview(result: Mapping[str, Any]) -> dict[str, Any]:
    fields = [field | {"shown": ", ".join(map(one_line, field["examples"]))} for field in result["fields"]]
    return {"preview": result, "fields": fields, "table": record_table(result["records"])}


def record_table(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Records as a table: `{columns, rows}`, a cell a name and a text."""
    columns = list(dict.fromkeys(name for record in records for name in record))[:COLUMNS_MAX]
    rows = [[(name, one_line(record.get(name))) for name in columns] for record in records]
    return {"columns": columns, "rows": rows}


def _written(payload: Any) -> str:
    return json.dumps(payload, indent=2, ensure_ascii=False)
