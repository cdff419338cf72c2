"""`/console/crawlers`: crawlers, what they are given, their tasks as they go on, and the state that they keep."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from crawlers.api.crawlers import CRAWLER_RELATED
from crawlers.api.serializers import UNSHOWN, serialize_crawler
from crawlers.models import Crawler, CrawlerTask
from crawlers.services.crawler_states import save_state, state_of
from crawlers.services.definitions import delete_crawler
from taskhub.console.console_view import ConsoleView, is_partial, list_position
from taskhub.console.json_tree import JsonView
from taskhub.security.masking import mask_all
from taskhub.web.cursor_pagination import read_page

CRAWLERS, TASKS = 50, 20  # on one page
SECRET = ("params", "secrets")  # of a task; to decrypt them takes longer than to find it


class CrawlerListView(ConsoleView):
    """The list, newest first, each with its last task."""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = Crawler.objects.visible_to(request.user).select_related("external", "stream", "owner", "periodic")
        rows = rows.defer(*UNSHOWN, *SECRET)
        page = read_page(rows, "-id", CRAWLERS, after=list_position(request))
        context = {
            "crawlers": _with_last_tasks(page.rows),
            "last": page.rows[-1].pk if page.has_next else None,
        }
        return render(request, "console/crawlers.html", context)


def _with_last_tasks(crawlers: list[Crawler]) -> list[tuple[Crawler, CrawlerTask | None]]:
    tasks = CrawlerTask.objects.filter(crawler=OuterRef("pk"), removed_at__isnull=True).order_by("-id")
    last = Crawler.objects.filter(pk__in=[row.pk for row in crawlers]).annotate(last=Subquery(tasks.values("pk")[:1]))
    rows = CrawlerTask.objects.defer(*SECRET).filter(pk__in=list(last.values_list("last", flat=True)))
    newest = {task.crawler_id: task for task in rows}
    return [(crawler, newest.get(crawler.pk)) for crawler in crawlers]


class CrawlerPageView(ConsoleView):
    """One crawler; htmx gets its tasks alone, which move."""

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        crawler = visible_crawler(request.user, fid)
        after = list_position(request)
        tasks = CrawlerTask.objects.filter(crawler=crawler, removed_at__isnull=True).defer(*SECRET)
        page = read_page(tasks, "-id", TASKS, after=after)
        context: dict[str, Any] = {
            "crawler": crawler,
            "tasks": page.rows,
            "after": after or "",
            "last": page.rows[-1].pk if page.has_next else None,
        }
        if is_partial(request):
            return render(request, "console/crawler_tasks.html", context)
        shown, state = serialize_crawler(crawler, request.user), state_of(crawler)
        value = state.value if crawler.owner_id == request.user.pk else mask_all(state.value)
        context |= {
            "shown": shown,
            "state": state,
            "values": [JsonView("Parameters", shown["params"]), JsonView("State", value)],
        }
        return render(request, "console/crawler.html", context)


def visible_crawler(user: Any, fid: UUID) -> Crawler:
    """Raises `NotFound`."""
    crawler: Crawler = Crawler.objects.select_related(*CRAWLER_RELATED, "owner").get_visible(user, fid)
    return crawler


class ResetStateView(ConsoleView):
    """Takes the state away that a crawler keeps: its next task begins anew."""

    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        save_state(crawler=visible_crawler(request.user, fid), value=None, check=lambda state: None)
        messages.success(request, "The state is empty: the next task begins anew.")
        return HttpResponseRedirect(reverse("console:crawlers-crawler", args=[fid]))


class DeleteCrawlerView(ConsoleView):
    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        crawler = visible_crawler(request.user, fid)
        delete_crawler(crawler=crawler)
        messages.success(request, f"The crawler {crawler.name} is deleted. Its documents stay in the stream.")
        return HttpResponseRedirect(reverse("console:crawlers"))
