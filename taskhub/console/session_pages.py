"""`/console/you/sessions`: where somebody is signed in with a browser, and how that is ended."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.browser_sessions import end_session, end_sessions, open_sessions
from taskhub.accounts.models import BrowserSession
from taskhub.console.console_view import ConsoleView, uuid_position
from taskhub.errors import NotFound, invalid
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS = 50
# Words of a User-Agent, of which the first that occurs tells: most browsers name those that they are like, too.
BROWSERS = {"Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS"}
SYSTEMS |= {"CrOS": "ChromeOS", "Linux": "Linux"}


def browser_name(user_agent: str) -> str:
    """A browser as people call it, such as `Firefox on Linux`; of one that is not known what it says of itself."""
    browser = next((name for word, name in BROWSERS.items() if word in user_agent), "")
    system = next((name for word, name in SYSTEMS.items() if word in user_agent), "")
    return " on ".join(filter(None, [browser, system])) if browser else user_agent[:60] or "unknown"


class SessionListView(ConsoleView):
    """The open sessions, the newest sign-in first. A POST ends all but this one, or all tokens."""

    is_own_account = True

    def get(self, request: Any) -> HttpResponse:
        sessions = open_sessions(request.user)
        page = read_page(sessions, "-sign_in_id", PAGE_ROWS, after=uuid_position(request))
        context = {
            "sessions": [_shown(session, request) for session in page.rows],
            "last": page.rows[-1].sign_in_id if page.has_next else None,
            "has_others": sessions.exclude(session_key=request.session.session_key).exists(),
            "tokens": AuthToken.objects.filter(user=request.user, expiry__gt=timezone.now()).count(),
        }
        return render(request, "console/sessions.html", context)

    def post(self, request: Any) -> HttpResponse:
        match request.POST.get("action"):
            case "end-others":
                ended = end_sessions(user=request.user, keep=request.session.session_key)
                messages.success(request, f"{ended} other {'session' if ended == 1 else 'sessions'} ended.")
            case "end-tokens":
                ended = services.sign_out_everywhere(user=request.user)
                messages.success(request, f"{ended} {'token' if ended == 1 else 'tokens'} ended.")
            case _:
                raise invalid("/action", "There is no such action.")
        return HttpResponseRedirect(reverse("console:you-sessions"))


def _shown(session: BrowserSession, request: Any) -> dict[str, Any]:
    return {
        "row": session,
        "browser": browser_name(session.user_agent),
        "is_this": session.session_key == request.session.session_key,
    }


class EndSessionView(ConsoleView):
    is_own_account = True

    def post(self, request: Any, sign_in_id: UUID) -> HttpResponse:
        try:
            end_session(user=request.user, sign_in_id=sign_in_id)
            messages.success(request, "The session is ended: its browser is signed out.")
        except NotFound as problem:
            messages.warning(request, problem.detail)
        return HttpResponseRedirect(reverse("console:you-sessions"))
