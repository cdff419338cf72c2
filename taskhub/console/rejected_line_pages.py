"""`/console/crawlers/tasks/<fid>/rejected`: lines of uploads that are no documents, and why; checked again."""

from uuid import UUID

from django.contrib import messages
from django.db.models.functions import Left, Length
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from crawlers.models import CrawlerTask, RejectedLine
from crawlers.services.rejected_lines import resend_rejected_lines
from taskhub.console.console_view import ConsoleView, list_position
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS = 50
SHOWN_MAX = 500  # characters of a line and of why it is none


class RejectedLinesPageView(ConsoleView):
    """The lines, in the order in which they came."""

    role_scope = KeyScope.UPLOAD

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        task = CrawlerTask.objects.for_upload().select_related("stream").get_visible(request.user, fid)
        shown = {"text": Left("body", SHOWN_MAX), "length": Length("body"), "why": Left("reason", SHOWN_MAX)}
        lines = RejectedLine.objects.filter(task=task).annotate(**shown).defer("body", "reason")
        page = read_page(lines, "id", PAGE_ROWS, after=list_position(request))
        context = {"task": task, "lines": page.rows, "last": page.rows[-1].pk if page.has_next else None}
        return render(request, "console/rejected_lines.html", context)

    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        task = CrawlerTask.objects.for_upload().get_visible(request.user, fid)
        counts = resend_rejected_lines(task=task)
        taken = counts.received - counts.rejected
        say = messages.success if taken else messages.warning
        say(request, f"{taken} of {counts.received} lines are documents now; {counts.rejected} are still rejected.")
        return HttpResponseRedirect(reverse("console:crawlers-task-rejected", args=[fid]))
