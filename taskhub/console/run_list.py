"""`/console/runs`: the runs, filtered as `GET /runs` is, in pages, and what is done with those that are selected."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from rest_framework.exceptions import ValidationError

from taskhub.console.console_view import ConsoleView, entries_of, is_partial, without_empty
from taskhub.console.saved_filters import POSITIONS, filters_of, normal_query, read_filter
from taskhub.errors import Problem, invalid
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue import cancel, retry, visible_run
from taskhub.runs.queue.wait_reasons import waits_of
from taskhub.runs.run_kinds import all_kinds
from taskhub.runs.run_pages import read_runs
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import RowPage
from taskhub.web.problems import as_problem

PAGE_ROWS = 50
SELECTED_MAX = 100
SHOWN = frozenset({"state", "kind", "q", "since", "until", "after", "before"})  # what the form has fields for

ACTIONS: dict[str, tuple[Callable[..., Run], str]] = {
    "cancel": (cancel, "cancelled"),
    "retry": (retry, "accepted again"),
}


class RunTableView(ConsoleView):
    """The list; htmx gets its rows alone."""

    def get(self, request: HttpRequest) -> HttpResponse:
        query = without_empty(request.GET)
        faults: list[str] = []
        page = RowPage([], False, False)
        try:
            page = _read(request.user, query)
            _add_waits(page.rows)
        except (Problem, ValidationError) as error:
            faults = entries_of(as_problem(error))
        saved, own_query = filters_of(request.user), normal_query(query)
        context = {
            "saved": saved,
            "own_query": own_query,
            "chosen": next((one for one in saved if one["query"] == own_query), None),
            "rows": page.rows,
            "faults": faults,
            "query": query,
            "address": _address(query),
            "newer": _neighbour(query, page, "before") if page.has_previous else "",
            "older": _neighbour(query, page, "after") if page.has_next else "",
            "states": [str(state) for state in State],
            "chosen_states": query.getlist("state"),
            "kinds": sorted(kind.name for kind in all_kinds()),
            "more_filters": [(name, text) for name, texts in query.lists() if name not in SHOWN for text in texts],
            "is_filtered": bool(own_query),
        }
        if not is_partial(request):
            return render(request, "console/runs.html", context)
        response = render(request, "console/run_rows.html", context)
        if "HX-Trigger-Name" in request.headers or request.headers.get("HX-Trigger") == "filters":
            response["HX-Push-Url"] = _address(query)
        return response


def _read(user: Any, query: QueryDict) -> RowPage:
    """A page of the runs that a user may see. Raises `Rejected` and REST framework's `ValidationError`."""
    no_place = "This is no place in this list."
    positions = {name: _id(name, str(query[name]), no_place) for name in POSITIONS if name in query}
    runs = read_filter(query, user).narrow(Run.objects.visible_to(user).brief().select_related("owner"))
    if "before" in positions:
        return read_runs(runs, PAGE_ROWS, after=positions["before"], backwards=True)
    return read_runs(runs, PAGE_ROWS, after=positions.get("after"))


def _add_waits(runs: list[Run]) -> None:
    """Adds to each run why it waits, as `wait`; None to one that does not."""
    waits = waits_of(runs)
    for run in runs:
        run.wait = waits.get(run.pk)  # type: ignore[attr-defined]  # for the template


def _neighbour(query: QueryDict, page: RowPage, side: str) -> str:
    """The address of the page on one side, which begins where this one ends, or where its search got in time."""
    is_reading_side = side == ("before" if "before" in query else "after")
    ends = [run.pk for run in (page.rows[-1:] if side == "after" else page.rows[:1])]
    position = (page.reached if is_reading_side else None) or next(
        iter(ends), query.get("after") or query.get("before")
    )
    return _address(query, **{side: position}) if position else ""


def _id(name: str, text: str, fault: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise invalid(f"/{name}", fault) from None


def _address(query: QueryDict, **position: Any) -> str:
    pairs = [(name, text) for name, texts in query.lists() if not position or name not in POSITIONS for text in texts]
    pairs += position.items()
    return f"{reverse('console:runs')}?{urlencode(pairs)}" if pairs else reverse("console:runs")


class SelectedRunsView(ConsoleView):
    """What is done with the runs that were selected. What refuses it is told, and stops no other."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest) -> HttpResponse:
        act, done = ACTIONS.get(request.POST.get("action", ""), (None, ""))
        if act is None:
            raise invalid("/action", "There is no such action.")
        ids = [_id("run", text, "This is no run.") for text in dict.fromkeys(request.POST.getlist("run"))]
        if len(ids) > SELECTED_MAX:
            raise invalid("/run", f"At most {SELECTED_MAX} at once.")
        refusals = [refusal for id in ids if (refusal := _act_on(act, id, request.user))]
        if count := len(ids) - len(refusals):
            messages.success(request, f"{count} {'run' if count == 1 else 'runs'} {done}.")
        for refusal in refusals[:5]:
            messages.warning(request, refusal)
        if len(refusals) > 5:
            messages.warning(request, f"And {len(refusals) - 5} more could not be {done}.")
        return HttpResponseRedirect(way_back(request))


def _act_on(act: Callable[..., Run], run_id: UUID, user: Any) -> str:
    """Why it could not be done with a run; empty when it is done."""
    try:
        act(run=visible_run(run_id=run_id, user=user))
    except Problem as problem:
        return f"{run_id}: {problem.detail}"
    return ""


def way_back(request: HttpRequest) -> str:
    """The address of the console that a form says it stands on; the list's where it says another."""
    address = request.POST.get("back", "")
    is_own = url_has_allowed_host_and_scheme(address, None) and address.startswith("/")
    return address if is_own else reverse("console:runs")
