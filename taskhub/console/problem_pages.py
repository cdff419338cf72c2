"""Pages in place of problems, where something fails outside of the console's views and a browser is answered."""

import json
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from taskhub.console.console_view import HEADERS, problem_page
from taskhub.web.problems import PROBLEM_TYPE

PLACES = ("/console/", "/admin/", "/sign-in/", "/sign-out/", "/sign-up/")  # where people are, and `/` itself


class ProblemPagesMiddleware:
    """Shows people a page where programs get a problem: for an address that is none, a form that is too old.

    Browsers ask for HTML by its name when somebody goes to an address. What a script asks for stays as it is.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.headers.get("Content-Type") != PROBLEM_TYPE or not _is_looked_at(request):
            return response
        problem = json.loads(getattr(response, "content", b"{}"))
        retry_after = response.headers.get("Retry-After", "")
        page = problem_page(
            request, problem, response.status_code, int(retry_after) if retry_after.isdecimal() else None
        )
        kept = {name: value for name, value in response.items() if name not in {"Content-Type", "Content-Length"}}
        for name, value in ({"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} | kept | HEADERS).items():
            page.headers[name] = value
        page.cookies = response.cookies
        return page


def _is_looked_at(request: HttpRequest) -> bool:
    path = f"{request.path.rstrip('/')}/"
    return (path == "/" or path.startswith(PLACES)) and "text/html" in request.headers.get("Accept", "")
