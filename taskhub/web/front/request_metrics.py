"""Counts of requests, by the route that answers them, never by their path, which callers choose."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from taskhub.metrics.totals import SharedCounter, SharedHistogram

ROUTE = "taskhub.route"  # in the environ, once Django has found it
UNMATCHED = "unmatched"  # no route, or none yet: the body did not come
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
ADMIN = "admin/"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = SharedCounter("taskhub_http_requests", "Requests that were answered.", "method", "route", "status")
REQUEST_SECONDS = SharedHistogram(
    "taskhub_http_request_seconds",
    "Seconds from a request, once its body has come, to its view's answer, without what it then waits for.",
    BOUNDS,
    "method",
    "route",
)


def route_of(request: HttpRequest) -> str:
    """The route of a request, such as `runs/<uuid:run_id>`; the admin is one."""
    if request.resolver_match is None:
        return UNMATCHED
    route = str(request.resolver_match.route)
    return ADMIN if route.startswith(ADMIN) else route


def labels_of(environ: Mapping[str, Any]) -> tuple[str, str]:
    """The method and the route of a request that Django has answered, each of few variants."""
    method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in METHODS else OTHER_METHOD
    return method, environ.get(ROUTE, UNMATCHED)


def count_request(method: str, route: str, status: int, seconds: float | None) -> None:
    """Counts an answer. `seconds` are those of the view; None where none was called."""
    REQUESTS.add(method, route, str(status))
    if seconds is not None:
        REQUEST_SECONDS.observe(seconds, method, route)
