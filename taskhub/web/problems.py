"""Faults as problem details (RFC 9457): REST framework's exception handler, and Django's handlers of errors."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.response import Response

from taskhub import errors
from taskhub.db.refusals import is_refusal, why_refused
from taskhub.errors import NO_ROOM_SECONDS, Problem, Rejected, TooLarge, Unavailable, UnsupportedMedia
from taskhub.jsontools.strict_json import escape_pointer

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"


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
    problem = _logged_problem(exc, context["request"].path if context.get("request") else "A view")
    return Response(problem_body(problem), problem.status, headers=_headers(problem), content_type=PROBLEM_TYPE)


def exception_response(exc: Exception, path: str) -> JsonResponse:
    """Makes a problem of an exception that neither a view nor middleware handles."""
    return problem_response(_logged_problem(exc, path))


def _logged_problem(exc: Exception, path: str) -> Problem:
    """The problem; what is our fault is logged with its stack trace."""
    problem = as_problem(exc)
    if problem.status >= 500 and not isinstance(problem, Unavailable):
        log.error("%s failed", path, exc_info=exc)
    return problem


def as_problem(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case exceptions.ValidationError():
            return Rejected("Some fields are not valid.", errors=list(_error_entries(exc.detail)))
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
        case DataError() if is_nul_refusal(exc):  # such as in a cookie, where it can be quoted
            return Rejected("The request has the character U+0000, which no text may hold.")
        case DatabaseError() if is_refusal(exc):
            log.error("The database %s: %s", why_refused(exc), exc)
            return Unavailable(f"The database {why_refused(exc)}.", retry_after=NO_ROOM_SECONDS)
        case OperationalError() | InterfaceError():
            _drop_dead_connections()
            return Unavailable("The database does not answer.", retry_after=2)
    return Problem("Something went wrong on our side; it is in the log.")


def is_nul_refusal(exc: BaseException) -> bool:
    """Whether the database was asked for a text with U+0000, which it cannot hold."""
    return isinstance(exc, DataError) and "NUL (0x00)" in str(exc)


def _of_status(status: int, detail: str) -> Problem:
    kinds = [errors.Rejected, errors.Unauthenticated, errors.Forbidden, errors.NotFound, UnsupportedMedia, TooLarge]
    for kind in kinds:
        if kind.status == status:
            return kind(detail)
    problem = Problem(detail, type="http", title=detail)
    problem.status = status
    return problem


def _error_entries(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    if isinstance(detail, Mapping):
        pairs = [("" if key == "non_field_errors" else f"/{escape_pointer(str(key))}", v) for key, v in detail.items()]
        return [entry for step, inner in pairs for entry in _error_entries(inner, pointer + step)]
    if isinstance(detail, list):
        if all(isinstance(item, str) for item in detail):
            return [{"pointer": pointer, "detail": str(item)} for item in detail]
        return [entry for index, inner in enumerate(detail) for entry in _error_entries(inner, f"{pointer}/{index}")]
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


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    return problem_response(as_problem(exception))


def forbidden(request: HttpRequest, exception: Exception) -> JsonResponse:
    return problem_response(errors.Forbidden())


def csrf_failure(request: HttpRequest, reason: str = "") -> JsonResponse:
    """Django's CSRF_FAILURE_VIEW. A form has another token after a sign-in, also in another window."""
    words = "The page is older than your sign-in, or the browser keeps no cookies. Open the page again."
    return problem_response(errors.Forbidden(words))


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    return problem_response(errors.NotFound(f"There is nothing at {request.path}."))


def server_error(request: HttpRequest) -> JsonResponse:
    return problem_response(Problem("Something went wrong on our side; it is in the log."))
