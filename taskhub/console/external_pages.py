"""`/console/crawlers/externals`: the crawler programs that are registered: listed, shown, registered and changed."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from crawlers.api.external_request import EXTERNAL
from crawlers.api.serializers import external_body, serialize_external
from crawlers.models import Crawler, External
from crawlers.services.definitions import delete_external, save_external
from taskhub.console.console_view import ConsoleView, list_position
from taskhub.console.json_tree import JsonView
from taskhub.console.saved_forms import save_forms, version_check
from taskhub.console.schema_form import SchemaForm
from taskhub.errors import Conflict, Problem
from taskhub.web.cursor_pagination import read_page

EXTERNALS, CRAWLERS = 50, 50  # on one page
UNLISTED = ("parameters", "schema", "headers", "kept")
# Of what a call takes; what is only kept for clients stays as it is.
FORM_NAMES = (
    "name",
    "description",
    "endpoint",
    "credential",
    "parameters",
    "schema",
    "docIdField",
    "headers",
    "timeout",
)
FORM_LABELS = {"docIdField": "Field that is a document's id"}
EXAMPLES = {
    "endpoint": "https://crawler.example.com/shop",
    "parameters": [{"name": "query", "type": "string", "required": True}],
    "schema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
    "docIdField": "sku",
}
CREDENTIALS = [{"const": str(value), "title": label} for value, label in External.Credential.choices]


class ExternalListView(ConsoleView):
    """The list, newest first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = External.objects.visible_to(request.user).select_related("owner").defer(*UNLISTED)
        page = read_page(rows, "-id", EXTERNALS, after=list_position(request))
        context = {"externals": page.rows, "last": page.rows[-1].pk if page.has_next else None}
        return render(request, "console/externals.html", context)


class ExternalPageView(ConsoleView):
    """One external with its crawlers."""

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        external = _visible_external(request, fid)
        shown = serialize_external(external, request.user)
        crawlers = Crawler.objects.visible_to(request.user).filter(external=external).select_related("stream")
        context = {
            "external": external,
            "shown": shown,
            "crawlers": list(crawlers.defer("params", "secrets").order_by("-pk")[:CRAWLERS]),
            "values": [JsonView("Parameters", shown["parameters"]), JsonView("Schema", shown["schema"])],
        }
        return render(request, "console/external.html", context)


def _visible_external(request: HttpRequest, fid: UUID) -> External:
    external: External = External.objects.select_related("owner").get_visible(request.user, fid)
    return external


class NewExternalView(ConsoleView):
    """A form that registers a crawler program."""

    is_form = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request, None, _form({}))

    def post(self, request: HttpRequest) -> HttpResponse:
        return _save(request, External(owner_id=cast(UUID, request.user.pk)), {}, None)


class ChangeExternalView(ConsoleView):
    """A form for an external as it is to be from now on. Headers and secrets in it are stars, for what is stored."""

    is_form = True

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        external = _visible_external(request, fid)
        return _page(request, external, _form(serialize_external(external, request.user)))

    @transaction.atomic
    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        rows = External.objects.select_related("owner").select_for_update(of=("self",), no_key=True)
        external: External = rows.get_visible(request.user, fid)
        return _save(request, external, serialize_external(external, request.user), external)


def _form(present: Mapping[str, Any], sent: Any = None) -> SchemaForm:
    """A form for an external, as a call would take it, with what there is."""
    properties: dict[str, Any] = dict(EXTERNAL.schema()["properties"])
    text = {"type": "string", "maxLength": 200}
    properties |= {"name": text, "description": {**text, "maxLength": 2000}}
    if not isinstance(present.get("credential"), Mapping):
        properties["credential"] = {"oneOf": CREDENTIALS, "default": "none"}
    values = {**present, **{name: present.get("meta", {}).get(name) for name in ("name", "description")}}
    for name in FORM_NAMES:
        properties[name] = {**properties[name], "examples": [EXAMPLES[name]]} if name in EXAMPLES else properties[name]
        if values.get(name) is not None:
            properties[name] = {**properties[name], "default": values[name]}
    schema = {**EXTERNAL.schema(), "properties": properties, "required": ["name", "endpoint"]}
    return SchemaForm(schema, sent, names=FORM_NAMES, labels=FORM_LABELS, prefix="external")


def _save(request: HttpRequest, external: External, shown: Mapping[str, Any], row: External | None) -> HttpResponse:
    form = _form(shown, request.POST)

    def add_problem(problem: Problem) -> None:
        for error in problem.errors or [{"detail": problem.detail}]:
            form.add_fault(str(error.get("pointer", "")).removeprefix("/meta"), str(error["detail"]))

    @transaction.atomic
    def save() -> External:
        if row:
            version_check(request)(row.version)
        return save_external(external=external, values=EXTERNAL.check(_as_sent(form, external, shown, row)))

    return save_forms(
        request,
        [form],
        save,
        add_problem=add_problem,
        page=partial(_page, request, row, form),
        address=lambda saved: reverse("console:crawlers-external", args=[saved.fid]),
        done="It is saved.",
    )


def _as_sent(form: SchemaForm, external: External, shown: Mapping[str, Any], row: External | None) -> dict[str, Any]:
    """What a call would send: what there is, and over it what was sent and differs from what was shown."""
    present = external_body(external) if row else {}
    values = {name: form.values.get(name) for name in FORM_NAMES}
    changes = {name: value for name, value in values.items() if name not in shown or value != shown[name]}
    meta = {**present.get("meta", {}), "name": changes.pop("name"), "description": changes.pop("description") or ""}
    return {name: value for name, value in {**present, **changes, "meta": meta}.items() if value is not None}


def _page(
    request: HttpRequest, external: External | None, form: SchemaForm, status: int = 200, **more: Any
) -> HttpResponse:
    version = request.POST.get("version") or (external and external.version)
    context = {"external": external, "form": form, "version": version}
    return render(request, "console/external_form.html", context | more, status=status)


class DeleteExternalView(ConsoleView):
    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        external = _visible_external(request, fid)
        try:
            delete_external(external=external)
        except Conflict as refusal:
            messages.warning(request, refusal.detail)
            return HttpResponseRedirect(reverse("console:crawlers-external", args=[fid]))
        messages.success(request, f"The external crawler {external.name} is deleted.")
        return HttpResponseRedirect(reverse("console:crawlers-externals"))
