"""Middleware: problem details for what fails outside of views, and paths with or without their last slash."""

from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.urls import is_valid_path

from taskhub import errors
from taskhub.errors import Problem
from taskhub.web.problems import as_problem, problem_response


class ProblemDetailsMiddleware:
    """Answers with a problem where something fails outside of REST framework's views, or a body comes in chunks.

    The web server gives a body in chunks that was cut off as if it were whole. Views that find that out themselves
    (see `taskhub.web.chunked_body`) say so by `takes_chunks`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if "Transfer-Encoding" in request.headers and not getattr(getattr(view, "cls", None), "takes_chunks", False):
            return problem_response(errors.LengthRequired("A body in chunks is not taken; send its Content-Length."))
        return None

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponseBase | None:
        if isinstance(exc, Problem | OperationalError | InterfaceError | MultiPartParserError):
            return problem_response(as_problem(exc))
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
