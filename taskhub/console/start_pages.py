"""`/console/start`: what may be started: each walker, by a form made from the schema of its `ctx`."""

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from taskhub.console.console_view import ConsoleView
from taskhub.console.run_options_form import RunOptionsForm
from taskhub.console.schema_form import SchemaForm
from taskhub.errors import NotFound, Problem
from taskhub.jsontools.schema import ObjectSchema
from taskhub.runs.run_options import FIELDS
from taskhub.security.scopes import KeyScope
from walkers.authoring.sentinels import BUNDLED, WalkerDefinition, all_sentinels
from walkers.domain.ids import GLOBAL
from walkers.http.calls.walker_runs import NodeRef, RunAt
from walkers.http.registry import call
from walkers.walks.principal import Principal
from walkers.walks.walk_execution import WalkerFailed

# Of what `walker_run` takes beside the walker and its `ctx`.
_MORE = {"run_at": (RunAt, None), "nd": (NodeRef, None)}
_OPTIONS = ObjectSchema("StartOptions", {**FIELDS, **_MORE})


class StartView(ConsoleView):
    """The walkers of each app with their descriptions; those that come with the hub stand last."""

    is_form = True
    role_scope = KeyScope.RUN

    def get(self, request: HttpRequest) -> HttpResponse:
        sentinels = [sentinel for sentinel in all_sentinels() if sentinel.name != GLOBAL]
        sentinels.sort(key=lambda sentinel: sentinel.name == BUNDLED)
        listed = [(one.name, [one.walkers[name] for name in sorted(one.walkers)]) for one in sentinels]
        return render(request, "console/start.html", {"sentinels": listed})


class StartWalkerView(ConsoleView):
    """A form for one walker, of the sentinel that `snt` in the query names; what is sent is a run in the background."""

    is_form = True
    role_scope = KeyScope.RUN

    def get(self, request: HttpRequest, walker: str) -> HttpResponse:
        definition = _definition(request, walker)
        return _page(request, definition, _ctx_form(definition), _options_form())

    def post(self, request: HttpRequest, walker: str) -> HttpResponse:
        definition = _definition(request, walker)
        ctx, options = _ctx_form(definition, request.POST), _options_form(request.POST)
        if ctx.is_valid() & options.is_valid():
            named = {"name": definition.name, "snt": definition.sentinel, "is_async": True}
            try:
                run_id = _start(request.user, {**named, "ctx": ctx.values, **options.values})
            except NotFound as problem:  # the walker was found: what else may be missing is the node
                options.add_fault("/nd", problem.detail)
                return _page(request, definition, ctx, options, status=problem.status)
            except Problem as problem:
                options.add_problem(problem, ctx, "/ctx")
                return _page(request, definition, ctx, options, status=problem.status)
            messages.success(request, "It is started: this is the run.")
            return HttpResponseRedirect(reverse("console:runs-run", args=[run_id]))
        return _page(request, definition, ctx, options, status=HTTPStatus.BAD_REQUEST)


def _definition(request: HttpRequest, walker: str) -> WalkerDefinition:
    """Raises `NotFound`."""
    return Principal(request.user).sentinel(request.GET.get("snt")).walker(walker)


def _ctx_form(definition: WalkerDefinition, sent: Any = None) -> SchemaForm:
    return SchemaForm(definition.ctx_schema.schema(), sent, prefix="ctx")


def _options_form(sent: Any = None) -> RunOptionsForm:
    return RunOptionsForm(_OPTIONS, sent, more=tuple(_MORE))


def _start(user: Any, arguments: dict[str, Any]) -> str:
    """The id of the run. Raises what `walker_run` raises."""
    try:
        body = call("walker_run", arguments, Principal(user)).body
    except WalkerFailed as failure:  # no worker was there, and it ran at once
        return str(failure.members["task_id"])
    return str(body["task_id"])


def _page(
    request: HttpRequest, definition: WalkerDefinition, ctx: SchemaForm, options: RunOptionsForm, status: int = 200
) -> HttpResponse:
    context = {"walker": definition, "ctx": ctx, "options": options}
    return render(request, "console/start_walker.html", context, status=status)
