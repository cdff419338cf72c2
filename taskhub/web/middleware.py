"""Middleware: problem details for what fails outside of views, and paths with or without their last slash."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.urls import is_valid_path

from taskhub import errors
from taskhub.db.refusals import is_refusal
from taskhub.errors import Problem
from taskhub.jsontools.strict_json import escape_pointer
from taskhub.web.front.request_body import StreamedBody
from taskhub.web.hub_names import HubNames
from taskhub.web.problems import as_problem, is_nul_refusal, problem_response

# Programs that look after the hub ask each machine by its address; they tell nobody anything that is his.
UNDER_ANY_NAME = frozenset({"/livez", "/readyz", "/healthz", "/version"})


class HubNamesMiddleware:
    """Refuses calls under a foreign name, and those of foreign web pages, where the settings know the hub's names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        names: HubNames | None = settings.HUB_NAMES
        host, origin = request.META.get("HTTP_HOST"), request.META.get("HTTP_ORIGIN")
        asks_for_health = request.path_info.rstrip("/") in UNDER_ANY_NAME
        if names and host is not None and not (names.has_host(host) or asks_for_health):
            mend = "use its address, or set TASKHUB_PUBLIC_URL or TASKHUB_ALLOWED_HOSTS"
            return problem_response(errors.Rejected(f"The hub is not called {host!r}: {mend}."))
        if names and origin is not None and not names.has_origin(origin, host or ""):
            return problem_response(errors.Forbidden(f"Pages of {origin!r} may not call this hub."))
        return self.get_response(request)


class ProblemDetailsMiddleware:
    """Answers with a problem where something fails outside of REST framework's views.

    A query with U+0000 is refused at once: no text of the database holds it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "%00" in request.META.get("QUERY_STRING", "") and (name := _nul_parameter(request)) is not None:
            pointer = f"/{escape_pointer(name)}"
            return problem_response(errors.invalid(pointer, "The query has the character U+0000."))
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Lets a long body, which is read while it arrives, come only to views of the API: they ask first who calls.

        In chunks it comes only to those that read it piece by piece; all others read as many bytes as are announced.
        """
        if not isinstance(request.META.get("wsgi.input"), StreamedBody):
            return None
        view_class, limit = getattr(view, "cls", None), settings.BODY_MAX_BYTES
        if view_class is None:
            return problem_response(errors.TooLarge(f"{limit} bytes are allowed.", limit=limit))
        if "HTTP_TRANSFER_ENCODING" in request.META and not getattr(view_class, "reads_pieces", False):
            return problem_response(errors.LengthRequired(f"A body of more than {limit} bytes needs a Content-Length."))
        return None

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponseBase | None:
        expected = Problem | OperationalError | InterfaceError | MultiPartParserError
        if isinstance(exc, expected) or is_nul_refusal(exc) or is_refusal(exc):
            return problem_response(as_problem(exc))
        return None


def _nul_parameter(request: HttpRequest) -> str | None:
    """The first parameter of the query with U+0000; a key with it is no key, which is told where keys are read."""
    for name, values in request.GET.lists():
        if "\0" in name or ("\0" in "".join(values) and name != "api_key"):
            return name
    return None


class OptionalSlashMiddleware:
    """Serves a path with and without its last slash, without a redirect. Costs nothing where the path is found."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code != 404 or request.resolver_match is not None:
            return response
        path = request.path_info
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        if not is_valid_path(other):
            return response
        request.path_info = other
        return self.get_response(request)
