"""`/console/sequences`: stored sequences, what became of them, and one of them: run, looked at by version, deleted."""

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from sequences.examples.recipes import read_recipes
from sequences.models import SequenceVersion
from sequences.services.sequence_runs import submit_sequence
from sequences.services.sequence_uses import last_runs, runs_of_sequence, schedules_by_sequence
from sequences.services.stored_sequences import (
    UNLISTED,
    all_versions,
    delete_sequence,
    newest_versions,
)
from taskhub.console.author_view import AuthorView, own_version, version_in_query
from taskhub.console.console_view import entries_of, list_position
from taskhub.console.json_editor import JsonEditor, faults_of, sent_text
from taskhub.console.json_tree import JsonView
from taskhub.console.schema_form import SchemaForm
from taskhub.console.sequence_form import text_of
from taskhub.db.plans import reads_along_indexes
from taskhub.errors import Problem, Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS, RUNS, VERSIONS = 50, 20, 20


class SequenceListView(AuthorView):
    """The user's stored sequences, the one that was changed last first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        sought = request.GET.get("q", "").strip()[:100]
        rows = newest_versions(request.user)
        if sought:
            rows = rows.filter(Q(stored__name__icontains=sought) | Q(description__icontains=sought))
        page = read_page(rows, "-pk", PAGE_ROWS, after=list_position(request))
        schedules = schedules_by_sequence(request.user) if page.rows else {}
        with reads_along_indexes():
            last = last_runs(request.user, [row.stored.name for row in page.rows], schedules)
        context = {
            "rows": [(row, last.get(row.stored.name), schedules.get(row.stored.name, [])) for row in page.rows],
            "last": page.rows[-1].pk if page.has_next else None,
            "sought": sought,
            "recipes": read_recipes(),
        }
        return render(request, "console/sequences.html", context)


class SequencePageView(AuthorView):
    """One stored sequence, its newest version or the one that `version` in the query names."""

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        shown = own_version(request, name)
        return _page(request, shown, _InputsForm(shown))


class RunSequenceView(AuthorView):
    """Runs a version of a stored sequence with inputs."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        version, shown = version_in_query(request), own_version(request, name)
        form = _InputsForm(shown, request.POST)
        if not form.is_faulty:
            arguments = {"sequence": name, "inputs": form.inputs, **({"version": version} if version else {})}
            try:
                run = submit_sequence(arguments=arguments, owner=request.user)
            except Problem as problem:
                form.refuse(problem)
                return _page(request, shown, form, status=problem.status)
            messages.success(request, "It is started: this is the run.")
            return HttpResponseRedirect(reverse("console:runs-run", args=[run.pk]))
        return _page(request, shown, form, status=HTTPStatus.BAD_REQUEST)


class DeleteSequenceView(AuthorView):
    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        delete_sequence(user=request.user, name=name)
        messages.success(request, f"{name} is deleted.")
        return HttpResponseRedirect(reverse("console:sequences"))


class _InputsForm:
    """The inputs of a run: fields, where their schema has properties, or else an object in JSON."""

    def __init__(self, shown: SequenceVersion, sent: Any = None) -> None:
        described = shown.inputs or {}
        self.fields = SchemaForm(described, sent, prefix="in") if described.get("properties") else None
        self.editor = None if self.fields else JsonEditor("inputs", "Inputs", help_text="JSON; stands in #.inputs.")
        self.fault, self.is_faulty = "", False
        self.inputs: dict[str, Any] = {}
        if sent is not None:
            self._read(sent)

    def _read(self, sent: Any) -> None:
        if self.fields:
            self.is_faulty = not self.fields.is_valid()
            self.inputs = {} if self.is_faulty else self.fields.values
        elif self.editor:
            self.editor.text = sent_text(sent, "inputs")
            try:
                self.inputs = _object(self.editor.text) if self.editor.text.strip() else {}
            except Rejected as refusal:
                self.is_faulty, self.editor.faults = True, faults_of(self.editor.text, refusal)

    def refuse(self, problem: Problem) -> None:
        self.is_faulty, self.fault = True, " ".join(entries_of(problem))


def _object(text: str) -> dict[str, Any]:
    value = parse_jsonc(text)
    if not isinstance(value, dict):
        raise Rejected(errors=[{"path": "", "detail": "This is an object in braces."}])
    return value


def _page(request: HttpRequest, shown: SequenceVersion, form: _InputsForm, status: int = 200) -> HttpResponse:
    name = shown.stored.name
    schedules = schedules_by_sequence(request.user).get(name, [])
    versions = all_versions(request.user, name).defer(*UNLISTED)
    page = read_page(versions, "-number", VERSIONS, after=list_position(request))
    with reads_along_indexes():
        runs = runs_of_sequence(request.user, name, schedules, RUNS)
    values = [("Inputs", shown.inputs), ("Outputs", shown.outputs)]
    context = {
        "shown": shown,
        "is_newest": shown.number == shown.stored.newest,
        "form": form,
        "text": JsonEditor("text", "What it does", text_of(shown), is_readonly=True),
        "values": [JsonView(title, value) for title, value in values if value is not None],
        "versions": page.rows,
        "last_version": page.rows[-1].number if page.has_next else None,
        "schedules": schedules,
        "runs": runs,
    }
    return render(request, "console/sequence.html", context, status=status)
