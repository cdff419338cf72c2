"""The editor of sequences: checked while somebody types, tried beside it, made of recipes and imports, and stored."""

import re
from difflib import unified_diff
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from sequences.domain.imports import FORMATS, guess_format, import_source
from sequences.examples.recipes import read_recipes
from sequences.services.dry_runs import dry_run_in_turn
from sequences.services.sequence_runs import sequence_run, submit_sequence
from sequences.services.stored_sequences import DESCRIPTION_MAX, find_version, save_sequence
from taskhub.console.author_view import AuthorView, own_version
from taskhub.console.console_view import entries_of, is_partial
from taskhub.console.json_editor import EditorFault, JsonEditor, faults_of, sent_text
from taskhub.console.json_tree import JsonView
from taskhub.console.run_story import read_story
from taskhub.console.sequence_form import EMPTY, STORED, SequenceForm, text_of, written
from taskhub.errors import NotFound, PreconditionFailed, Problem, Rejected, invalid
from taskhub.security.scopes import KeyScope

SHOWN_REQUESTS = 50
SHOWN_BODY = 5000  # characters
COMPARED_LINES = 5000  # of two texts together; the time grows with the square
_ITEM = re.compile(r"(\.__def_loop(?:__)?)\[[0-9]+\]")


# What an action needs of a role, as the same call of the API does; all others change something.
ACTION_SCOPES = {
    "dry-run": KeyScope.RUN,
    "run": KeyScope.RUN,
    "recipe": KeyScope.READ,
    "import": KeyScope.READ,
}


class SequenceEditorView(AuthorView):
    """The editor, of a new sequence or of a stored one. `recipe` and `version` in the query say with what it begins."""

    is_form = True

    @property
    def role_scope(self) -> KeyScope:  # type: ignore[override]
        return ACTION_SCOPES.get(self.request.POST.get("action", ""), KeyScope.MANAGE)

    def get(self, request: HttpRequest, name: str = "") -> HttpResponse:
        if not name:
            return _page(
                request, SequenceForm.new(_recipe(request.GET["recipe"]) if "recipe" in request.GET else EMPTY)
            )
        shown = own_version(request, name)
        return _page(request, SequenceForm.stored(shown, shown.stored.newest))

    def post(self, request: HttpRequest, name: str = "") -> HttpResponse:
        form = SequenceForm.sent(request.POST, name)
        match request.POST.get("action"):
            case "save" | "save-over" as action:
                return _save(request, form, is_over=action == "save-over")
            case "dry-run":
                return _beside(request, form, _dry_run(request.user, form))
            case "run":
                return _beside(request, form, _start(request.user, form))
            case "recipe":
                return _beside(request, form, _replaced(form, _recipe(request.POST.get("recipe", ""))))
            case "import":
                return _beside(request, form, _import(request, form))
            case _:
                raise invalid("/action", "There is no such action.")


class SequenceCheckView(AuthorView):
    """The faults of one editor, which asks for them while somebody types; a partial page."""

    role_scope = KeyScope.READ
    throttle_scope = "read"

    def post(self, request: HttpRequest) -> HttpResponse:
        form = SequenceForm.sent(request.POST)
        field = request.headers.get("HX-Trigger-Name", "sequence")
        form.check(request.user)
        editor = form.editor(field if field in STORED else "sequence")
        return render(request, "console/json_faults.html", {"editor": editor, "is_checked": True})


class FollowedRunView(AuthorView):
    """What a run that was started from the editor has done so far; a partial page."""

    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        return render(request, "console/sequence_followed.html", _followed(run_id, request.user))


def _page(
    request: HttpRequest, form: SequenceForm, beside: dict[str, Any] | None = None, status: int = 200, **more: Any
) -> HttpResponse:
    address = (
        reverse("console:sequences-edit", args=[form.name]) if form.is_stored else reverse("console:sequences-new")
    )
    context = {
        "form": form,
        "address": address,
        "recipes": read_recipes(),
        "formats": list(FORMATS),
        "description_max": DESCRIPTION_MAX,
        "sent": request.POST,
        **(beside or {}),
        **more,
    }
    return render(request, "console/sequence_edit.html", context, status=status)


def _beside(request: HttpRequest, form: SequenceForm, beside: dict[str, Any]) -> HttpResponse:
    """What stands beside the editor; without the script the page with it."""
    if is_partial(request):
        return render(request, "console/sequence_beside.html", {"form": form, **beside})
    return _page(request, form, beside, status=beside.get("status", HTTPStatus.OK))


def _save(request: HttpRequest, form: SequenceForm, *, is_over: bool) -> HttpResponse:
    values = form.check(request.user)
    if form.is_faulty:
        return _page(request, form, status=HTTPStatus.BAD_REQUEST)

    def check_version(present: int) -> None:
        if present != form.version and not is_over:
            raise PreconditionFailed(version=present)

    try:
        if len(form.description) > DESCRIPTION_MAX:
            raise Rejected(f"The description has at most {DESCRIPTION_MAX} characters.")
        version, is_new = save_sequence(
            user=request.user,
            name=form.name,
            description=form.description,
            written=form.texts["sequence"],
            check_version=check_version,
            **values,
        )
    except PreconditionFailed as problem:
        present = problem.members["version"]
        changed = {"present": present, "is_changed": True, "difference": _difference(request.user, form, present)}
        return _page(request, form, status=HTTPStatus.CONFLICT, **changed)
    except Problem as problem:
        form.name_fault = " ".join(entry.removeprefix("name: ") for entry in entries_of(problem))
        return _page(request, form, status=problem.status)
    messages.success(request, f"It is stored as version {version.number}." if is_new else "It is as it was.")
    return HttpResponseRedirect(reverse("console:sequences-sequence", args=[form.name]))


def _difference(user: Any, form: SequenceForm, present: int) -> list[str]:
    """The lines by which what was written differs from the version that is stored by now; none where they are many."""
    if not present:
        return []
    theirs, own = text_of(find_version(user.pk, form.name)).split("\n"), form.texts["sequence"].split("\n")
    if len(theirs) + len(own) > COMPARED_LINES:
        return []
    return list(unified_diff(theirs, own, f"version {present}", "yours", lineterm=""))


def _dry_run(user: Any, form: SequenceForm) -> dict[str, Any]:
    sequence, answers = form.trial(user), form.answers()
    if form.is_faulty:
        return _faulty(form)
    try:
        report = dry_run_in_turn(owner=user, sequence=sequence, answers=answers)
    except Rejected as refusal:  # the sequence has been checked: it is the answers
        form.add_faults("answers", refusal, "answers")
        return _faulty(form)
    except Problem as problem:
        return {"notices": entries_of(problem), "status": problem.status}
    places = [*report["errors"], *([report["stopped"]] if report["stopped"] else [])]
    return {
        "report": report,
        "requests": [one | {"shown_body": _body(one["body"])} for one in report["requests"][:SHOWN_REQUESTS]],
        "more_requests": max(0, len(report["requests"]) - SHOWN_REQUESTS),
        "troubles": _places(form, [(place["path"], place["detail"]) for place in places]),
        "nothing": _places(form, [(one["path"], one["expression"]) for one in report["nothing_found"]]),
    }


def _body(body: Any) -> str:
    text = body if isinstance(body, str) else written(body)
    return text if len(text) <= SHOWN_BODY else f"{text[:SHOWN_BODY]}..."


def _start(user: Any, form: SequenceForm) -> dict[str, Any]:
    sequence = form.trial(user)
    if form.is_faulty:
        return _faulty(form)
    try:
        run = submit_sequence(arguments=sequence, owner=user)
    except Problem as problem:
        return {"notices": entries_of(problem), "status": problem.status}
    return {**_followed(run.pk, user), "is_started": True}


def _import(request: HttpRequest, form: SequenceForm) -> dict[str, Any]:
    """The sequence of a source, which is in the form or in a file."""
    source = sent_text(request.POST, "source")
    try:
        if file := request.FILES.get("source_file"):
            source = _text_of(file.read())
        format_name = request.POST.get("format", "") or guess_format(source)
        imported = import_source(format_name, source)
    except Problem as problem:
        return {"notices": entries_of(problem), "status": problem.status}
    return {**_replaced(form, written(imported["sequence"])), "warnings": imported["warnings"]}


def _text_of(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Rejected("The file is not text in UTF-8.") from None


def _replaced(form: SequenceForm, text: str) -> dict[str, Any]:
    """Puts a text in place of the one in the editor, which a script does so that it can be undone."""
    form.texts["sequence"] = text
    return {"replacement": text}


def _recipe(name: str) -> str:
    """Raises `NotFound`."""
    for recipe in read_recipes():
        if recipe.name == name:
            return recipe.text
    raise NotFound(f"There is no recipe {name[:100]}.")


def _faulty(form: SequenceForm) -> dict[str, Any]:
    editors = [editor for editor in form.editors.values() if editor.faults]
    return {"faulty": editors, "status": HTTPStatus.BAD_REQUEST}


def _followed(run_id: UUID, user: Any) -> dict[str, Any]:
    run = sequence_run(run_id=run_id, user=user)
    story = read_story(run=run, viewer=user)
    result = JsonView("Result", run.result_for(user)) if run.ended else None
    return {"run": run, "story": story, "result": result}


def _places(form: SequenceForm, told: list[tuple[str, str]]) -> JsonEditor:
    """What a trial tells of places of the sequence, as faults in its text; items of loops have their step's place."""
    errors = [{"path": _ITEM.sub(r"\1", path), "detail": detail} for path, detail in dict.fromkeys(told)]
    faults: list[EditorFault] = faults_of(form.texts["sequence"], Rejected(errors=errors)) if errors else []
    return JsonEditor("sequence", "", faults=faults)
