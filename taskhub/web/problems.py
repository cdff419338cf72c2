"""REST plumbing: problems (RFC 9457), pages, throttles, and what both spellings of a path mean."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.urls import is_valid_path
from redis.exceptions import RedisError
from rest_framework import exceptions, negotiation, pagination, throttling
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param

from taskhub import errors
from taskhub.errors import Problem, Rejected, TooLarge, Unavailable, UnsupportedMedia
from taskhub.jsontools.strict_json import escape_pointer

if TYPE_CHECKING:
    from rest_framework.views import APIView  # itself reads the settings that name this module

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

# Problems


def problem_body(problem: Problem) -> dict[str, Any]:
    """RFC 9457 members, with `errors` and `success`."""
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "errors": problem.errors,
        "success": False,
        **problem.members,
    }


def problem_response(problem: Problem) -> JsonResponse:
    """For edges outside REST framework: middleware and the handlers of unknown paths."""
    response = JsonResponse(problem_body(problem), status=problem.status, content_type=PROBLEM_TYPE)
    for name, value in _headers(problem).items():
        response[name] = value
    return response


def problem_handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """REST framework's EXCEPTION_HANDLER: every exception of a view as a problem, none with a stack trace."""
    problem = as_problem(exc)
    if problem.status >= 500 and not isinstance(problem, Unavailable):
        log.error("%s failed", context["request"].path if context.get("request") else "A view", exc_info=exc)
    return Response(problem_body(problem), problem.status, headers=_headers(problem), content_type=PROBLEM_TYPE)


def as_problem(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case exceptions.ValidationError():
            return Rejected("Some fields are not valid.", errors=list(_places(exc.detail)))
        case exceptions.Throttled():
            wait = math.ceil(getattr(exc, "wait", None) or 1)
            return errors.TooMany("The rate limit is reached.", retry_after=max(1, wait))
        case exceptions.APIException():
            return _of_status(exc.status_code, str(exc.detail))
        case Http404():
            return errors.NotFound("There is no such thing, or it is not yours.")
        case PermissionDenied():
            return errors.Forbidden(str(exc))
        case ValidationError():
            return Rejected("; ".join(exc.messages))
        case RequestDataTooBig():
            return TooLarge(str(exc))
        case SuspiciousOperation() | MultiPartParserError():
            return Rejected(str(exc))
        case OperationalError() | InterfaceError():
            _drop_dead_connections()
            return Unavailable("The database does not answer.", retry_after=2)
    return Problem("Something went wrong on our side; it is in the log.")


def _of_status(status: int, detail: str) -> Problem:
    kinds = [errors.Rejected, errors.Unauthenticated, errors.Forbidden, errors.NotFound, UnsupportedMedia, TooLarge]
    for kind in kinds:
        if kind.status == status:
            return kind(detail)
    problem = Problem(detail, type="http", title=detail)
    problem.status = status
    return problem


def _places(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    if isinstance(detail, Mapping):
        pairs = [("" if key == "non_field_errors" else f"/{escape_pointer(str(key))}", v) for key, v in detail.items()]
        return [place for step, inner in pairs for place in _places(inner, pointer + step)]
    if isinstance(detail, list):
        if all(isinstance(item, str) for item in detail):
            return [{"pointer": pointer, "detail": str(item)} for item in detail]
        return [place for index, inner in enumerate(detail) for place in _places(inner, f"{pointer}/{index}")]
    return [{"pointer": pointer, "detail": str(detail)}]


def _headers(problem: Problem) -> dict[str, str]:
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else {}
    return headers | ({"WWW-Authenticate": "token"} if problem.status == 401 else {})


def _drop_dead_connections() -> None:
    """After a restart of PostgreSQL every pooled connection is dead; one failure finds them all."""
    try:
        connection.close()
        if pool := getattr(connection, "pool", None):
            pool.check()
    except (DatabaseError, RuntimeError):
        log.warning("The database does not answer")


class Faults:
    """What fails outside REST framework's views is a problem, too; and so is a body whose end cannot be told.

    The web server gives a body in chunks that was cut off as if it were whole. Views that look after that themselves
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


class OptionalSlash:
    """A path is the same with and without its last slash. Costs nothing where the path is found as it is."""

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


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    return problem_response(as_problem(exception))


def forbidden(request: HttpRequest, exception: Exception) -> JsonResponse:
    return problem_response(errors.Forbidden())


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    return problem_response(errors.NotFound(f"There is nothing at {request.path}."))


def server_error(request: HttpRequest) -> JsonResponse:
    return problem_response(Problem("Something went wrong on our side; it is in the log."))


# Answers


class JsonUnlessAsked(negotiation.DefaultContentNegotiation):
    """An `Accept` that nothing fits gets JSON rather than a refusal."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except exceptions.NotAcceptable:
            renderer: BaseRenderer = next((one for one in renderers if isinstance(one, JSONRenderer)), renderers[0])
            return renderer, renderer.media_type


# Pages


class CursorPages(pagination.CursorPagination):
    """`{results, next, previous}`; newest first by an id that sorts by time; `?limit=` up to 1,000."""

    ordering = "-id"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.page_size))
        if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= self.max_page_size:
            raise _no_page("/limit", f"Must be a whole number from 1 to {self.max_page_size}.")
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Request, view: "APIView | None" = None) -> list[Any] | None:
        try:
            page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        except (exceptions.NotFound, ValidationError, ValueError, DataError):
            if self.cursor_query_param not in request.query_params:
                raise
            raise _no_page("/cursor", "This is no cursor of this list.") from None
        # Absolute links have one source, and never carry the key they were asked for with.
        self.base_url = remove_query_param(settings.PUBLIC_URL + request.get_full_path(), "api_key")
        return page

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """For the OpenAPI document."""
        link = {"type": ["string", "null"], "format": "uri", "description": "An address, or null at the end."}
        properties = {"results": schema, "next": {**link, "example": None}, "previous": {**link, "example": None}}
        return {"type": "object", "required": list(properties), "properties": properties}


def _no_page(pointer: str, detail: str) -> Rejected:
    return Rejected("The page cannot be given.", errors=[{"pointer": pointer, "detail": detail}])


# Throttles


class RouteThrottle(throttling.SimpleRateThrottle):
    """Counts calls per user (or address), route class and stretch of the clock, such as a minute.

    The route class is the view's `throttle_scope`, else `read` or `submit`. One number a stretch, raised by Redis
    itself: the same cost for 60 and for 60,000 calls, and calls at the same moment are all counted.
    """

    def __init__(self) -> None:
        """The rate depends on the view, which is known when it is called."""

    def allow_request(self, request: Request | HttpRequest, view: Any) -> bool:
        scope = getattr(view, "throttle_scope", None) or ("read" if request.method == "GET" else "submit")
        rate = settings.THROTTLE_RATES[scope]
        if rate is None:
            return True
        calls, duration = self._parsed(rate)
        stretch, gone = divmod(self.timer(), duration)
        self._left = duration - gone
        ident = request.user.pk or self.get_ident(request)  # type: ignore[arg-type]  # both have META
        return self._count(f"throttle:{scope}:{ident}:{stretch:.0f}", duration) <= calls

    def wait(self) -> float:
        return self._left

    def _parsed(self, rate: str) -> tuple[int, int]:
        calls, duration = self.parse_rate(rate)
        return calls or 0, duration or 1

    @staticmethod
    def _count(key: str, duration: int) -> int:
        try:
            return _raised(caches["default"], key, duration)
        except RedisError:
            # Redis is away: this process counts alone, rather than letting everybody in or nobody.
            return _raised(caches["local"], key, duration)


def _raised(cache: BaseCache, key: str, duration: int) -> int:
    cache.add(key, 0, timeout=duration + 1)
    return cache.incr(key)
