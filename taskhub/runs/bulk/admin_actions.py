"""Bulk changes that staff begin in the admin, by choosing rows of a list."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from taskhub.runs import queue
from taskhub.runs.bulk.services import Action, submit_chosen_change
from taskhub.runs.models import Run
from taskhub.web.admin import COUNTED_MAX, EACH_MAX, BigTableAdmin, row_link

CHOSEN_MAX = COUNTED_MAX  # runs that one action changes: as many as a list counts
_ACTS: dict[Action, Callable[[Run], Any]] = {
    Action.CANCEL: lambda run: queue.cancel(run=run),
    Action.RETRY: lambda run: queue.retry(run=run),
}


def change_chosen(
    page: BigTableAdmin, request: HttpRequest, action: Action, ids: "QuerySet[Any, UUID]", done: str
) -> None:
    """Changes the runs with these ids: a few at once, `done` says what became of them; many by a run in the
    background."""
    chosen = list(ids[:CHOSEN_MAX])
    if len(chosen) <= EACH_MAX:
        page.each(request, Run.objects.filter(pk__in=chosen).select_related("owner"), _ACTS[action], done)
        return
    run = submit_chosen_change(action=action, runs=chosen, user=request.user)
    more = " These are the first; there may be more." if len(chosen) == CHOSEN_MAX else ""
    words = "{} runs are changed in the background, one after the other, by the run {}.{}"
    page.message_user(request, format_html(words, len(chosen), row_link("runs_run", run.pk), more))
