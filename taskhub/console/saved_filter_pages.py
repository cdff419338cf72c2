"""`/console/runs/filters`: what is done with the filters that somebody keeps."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from rest_framework.exceptions import ValidationError

from taskhub.console.console_view import ConsoleView, entries_of
from taskhub.console.saved_filters import delete_filter, normal_query, rename_filter, save_filter
from taskhub.errors import Conflict, Rejected, invalid
from taskhub.web.problems import as_problem


class SavedFilterView(ConsoleView):
    """Saves, renames or deletes a filter, and leads back to the list with it."""

    is_own_account = True

    def post(self, request: HttpRequest) -> HttpResponse:
        query = QueryDict(request.POST.get("query", ""))
        try:
            messages.success(request, _act(request, query))
        except (Conflict, Rejected, ValidationError) as refusal:
            messages.warning(request, " ".join(entries_of(as_problem(refusal))))
        address = reverse("console:runs")
        return HttpResponseRedirect(f"{address}?{text}" if (text := normal_query(query)) else address)


def _act(request: HttpRequest, query: QueryDict) -> str:
    """Does what the form asks for; says what is done. Raises what `saved_filters` raises."""
    action, name = request.POST.get("action"), request.POST.get("name", "")
    if action == "save":
        return f"The filter {save_filter(user=request.user, name=name, query=query).name} is saved."
    number = request.POST.get("id", "")
    if action not in {"rename", "delete"} or not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise invalid("/action", "There is no such action.")
    if action == "rename":
        return f"The filter is called {rename_filter(user=request.user, id=int(number), name=name).name}."
    delete_filter(user=request.user, id=int(number))
    return "The filter is deleted."
