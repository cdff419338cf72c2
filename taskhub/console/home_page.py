"""`/`: what runs, what failed today and why, what fires next, and who carries it out."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from taskhub.console.console_view import ConsoleView, is_partial
from taskhub.db.plans import reads_along_indexes
from taskhub.runs.domain import WAITING, State
from taskhub.runs.health.checks import OK, check_parts
from taskhub.runs.models import Run
from taskhub.runs.queue.queue_states import queue_states, worker_states
from taskhub.runs.schedules.services import schedules_visible_to

CREDENTIALS = ("Authorization", "X-API-Key")
ROWS = 8
COUNTED_MAX = 1000
TODAY = timedelta(hours=24)


class HomeView(ConsoleView):
    """The page for people; programs, which take no HTML or have credentials of the API, are led to its documents."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.accepts("text/html") and not any(name in request.headers for name in CREDENTIALS):
            return super().dispatch(request, *args, **kwargs)
        return HttpResponseRedirect(reverse("docs"), headers={"Vary": "Accept, Authorization, X-API-Key"})

    def get(self, request: HttpRequest) -> HttpResponse:
        with reads_along_indexes():
            runs = Run.objects.visible_to(request.user).brief().select_related("owner")
            yesterday = timezone.now() - TODAY
            failed = runs.filter(state=State.FAILURE, finished_at__gte=yesterday)
            leased = _some_ids(runs.filter(lease_until__isnull=False))  # whoever goes on has a lease
            fires = schedules_visible_to(request.user).filter(periodic__enabled=True, due_at__isnull=False)
            context = {
                "figures": [
                    ("running", _shown(len(leased)), "state=STARTED&state=PROGRESS"),
                    (
                        "waiting",
                        _shown(len(_some_ids(runs.filter(state__in=sorted(WAITING))))),
                        "state=PENDING&state=RETRY",
                    ),
                    (
                        "failed in 24 hours",
                        _shown(len(_some_ids(failed))),
                        f"state=FAILURE&finished_since={yesterday:%Y-%m-%dT%H:%M:%SZ}",
                    ),
                ],
                "running": list(runs.filter(pk__in=leased[:ROWS])),
                "failed": list(failed.order_by("-finished_at")[:ROWS]),
                "unwell": [(part, words) for part, words in check_parts().items() if words != OK],
                "queues": queue_states(),
                "workers": worker_states() if getattr(request.user, "is_staff", False) else [],
                "fires": list(fires.order_by("due_at")[:ROWS]),
            }
        return render(request, "console/home_moved.html" if is_partial(request) else "console/home.html", context)


def _some_ids(runs: Any) -> list[UUID]:
    """Ids of runs, up to a limit, newest first: to look at all of a big table, or to find the newest, takes long."""
    return sorted(runs.order_by().values_list("pk", flat=True)[: COUNTED_MAX + 1], reverse=True)


def _shown(count: int) -> str:
    return f"{COUNTED_MAX}+" if count > COUNTED_MAX else str(count)
