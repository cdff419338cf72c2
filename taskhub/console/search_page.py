"""`/console/search`: leads to what has an id, and shows what has a part of a name."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from taskhub.console.console_view import ConsoleView
from taskhub.console.search_hits import find_groups, find_id

TEXT_MAX = 200


class SearchView(ConsoleView):
    """Leads to the page of what has the id that is looked for; of what has no such id it shows groups of hits."""

    def get(self, request: HttpRequest) -> HttpResponse:
        text = "".join(filter(str.isprintable, request.GET.get("q", ""))).strip()[:TEXT_MAX]
        hits = find_id(request.user, text)
        if len(hits) == 1:
            return HttpResponseRedirect(hits[0].address)
        groups = find_groups(request.user, text) if text and not hits else []
        return render(request, "console/search.html", {"sought": text, "hits": hits, "groups": groups})
