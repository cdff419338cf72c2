"""`/console/audit`: who changed what, when and by which door; filtered as `GET /audit` is."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from rest_framework.exceptions import ValidationError

from taskhub.accounts.audit_filters import AuditFilters
from taskhub.audit.models import AuditEntry, Door
from taskhub.console.console_view import ConsoleView, entries_of, list_position, without_empty
from taskhub.console.json_tree import one_line
from taskhub.web.cursor_pagination import RowPage, read_page
from taskhub.web.problems import as_problem
from taskhub.web.query_values import query_values

PAGE_ROWS = 50
# What the form suggests; others can be written there, too.
KINDS = (
    *("API key", "crawler", "crawler task", "credits", "external", "extraction task", "group", "notification rule"),
    *("process", "run", "schedule", "secret", "sequence", "stream", "user", "webhook secret"),
)
ACTIONS = (
    *("cancel", "cancel all", "change", "create", "delete", "end sessions", "end tokens", "give groups", "pause"),
    *("resume", "retry", "retry all", "revoke", "rotate", "run", "set password", "take away groups", "top up"),
)
# The pages of objects, by the kind that entries have.
PAGES = {
    "crawler": "console:crawlers-crawler",
    "crawler task": "console:crawlers-task",
    "external": "console:crawlers-external",
    "notification rule": "console:notifications-rule",
    "process": "console:extraction-process",
    "run": "console:runs-run",
    "schedule": "console:schedules-schedule",
    "stream": "console:streams-stream",
    "user": "console:users-user",
}


class AuditView(ConsoleView):
    """The list, newest first. Each entry says what was before and what is since."""

    for_staff = True

    def get(self, request: HttpRequest) -> HttpResponse:
        query = without_empty(request.GET)
        query.pop("after", None)
        filters, faults, page = AuditFilters(data=query_values(query)), list[str](), RowPage([], False, False)
        try:
            filters.is_valid(raise_exception=True)
            entries = filters.narrow(AuditEntry.objects.all())
            page = read_page(entries, "-id", PAGE_ROWS, after=list_position(request))
        except ValidationError as error:
            faults = entries_of(as_problem(error))
        older = {**query.dict(), "after": page.rows[-1].pk} if page.has_next else {}
        context = {
            "entries": [(entry, address_of(entry), changes_of(entry)) for entry in page.rows],
            "faults": faults,
            "query": query,
            "doors": Door.choices,
            "kinds": KINDS,
            "actions": ACTIONS,
            "older": f"?{urlencode(older)}" if older else "",
            "is_filtered": bool(query),
        }
        return render(request, "console/audit.html", context)


def address_of(entry: AuditEntry) -> str:
    """The page of what was changed; empty where it has none."""
    if entry.action == "delete" or entry.object_kind not in PAGES:
        return ""
    try:
        return reverse(PAGES[entry.object_kind], args=[entry.object_id])
    except NoReverseMatch:
        return ""


def changes_of(entry: AuditEntry) -> list[tuple[str, str, str]]:
    """Each value that differs: its name, what it was and what it is; empty where it was or is not there."""
    before: Mapping[str, Any] = entry.before or {}
    after: Mapping[str, Any] = entry.after or {}
    names = dict.fromkeys([*before, *after])
    return [(name, *(one_line(values[name]) if name in values else "" for values in (before, after))) for name in names]  # type: ignore[misc]
