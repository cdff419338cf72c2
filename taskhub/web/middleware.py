"""Middleware: problem details for what fails outside of views, and paths with or without their last slash."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.http.multipartparser import MultiPartParserError
from django.middleware.common import CommonMiddleware
from django.urls import is_valid_path

from taskhub import errors
from taskhub.db.refusals import is_refusal
from taskhub.errors import Problem
from taskhub.jsontools.strict_json import escape_pointer
from taskhub.web.front.request_body import StreamedBody
from taskhub.web.hub_names import HubNames
from taskhub.web.problems import as_problem, is_nul_refusal, problem_response
from taskhub.web.query_values import refuse_repeated

# Programs that look after the hub ask each machine by its address; they tell nobody anything that is his.
UNDER_ANY_NAME = frozenset({"/livez", "/readyz", "/healthz", "/version"})


def _asks_for_health(request: HttpRequest) -> bool:
    return request.path_info.rstrip("/") in UNDER_ANY_NAME


class HubNamesMiddleware:
    """Refuses calls under a foreign name, and those of foreign web pages, where the settings know the hub's names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        names: HubNames | None = settings.HUB_NAMES
        host, origin = request.META.get("HTTP_HOST"), request.META.get("HTTP_ORIGIN")
        if names and host is not None and not (names.has_host(host) or _asks_for_health(request)):
            mend = "use its address, or set TASKHUB_PUBLIC_URL or TASKHUB_ALLOWED_HOSTS"
            return problem_response(errors.Rejected(f"The hub is not called {host!r}: {mend}."))
        if names and origin is not None and not names.has_origin(origin, host or ""):
            return problem_response(errors.Forbidden(f"Pages of {origin!r} may not call this hub."))
        return self.get_response(request)


class AllowedHostsMiddleware(CommonMiddleware):
    """Django's, which refuses other names than ALLOWED_HOSTS, and gives answers their length.

    What is asked under any name, it lets pass under none, too, as programs of HTTP/1.0 ask.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if _asks_for_health(request) else super().process_request(request)


class ProblemDetailsMiddleware:
    """Answers with a problem where something fails outside of REST framework's views.

    A query with U+0000 is refused at once: no text of the database holds it. So is one that names a parameter of the
    API twice, where the view does not take a list (`list_parameters`).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "%00" in request.META.get("QUERY_STRING", "") and (name := _nul_parameter(request)) is not None:
            pointer = f"/{escape_pointer(name)}"
            return problem_response(errors.invalid(pointer, "The query has the character U+0000."))
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Lets a query name each parameter once, and a long body come only to views of the API, which ask who calls.

        A long body is read while it arrives. In chunks it comes only to those that read it piece by piece; all others
        read as many bytes as are announced.
        """
        view_class, limit = getattr(view, "cls", None), settings.BODY_MAX_BYTES
        if view_class is not None and "&" in request.META.get("QUERY_STRING", ""):
            try:
                refuse_repeated(request.GET, getattr(view_class, "list_parameters", ()))
            except Problem as problem:
                return problem_response(problem)
        if not isinstance(request.META.get("wsgi.input"), StreamedBody):
            return None
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
