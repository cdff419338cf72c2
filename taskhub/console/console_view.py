"""What all pages of the console have in common: who may open them, how often, their headers, and how errors look."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import escape_leading_slashes, url_has_allowed_host_and_scheme
from django.views.generic import View
from rest_framework.exceptions import Throttled

from taskhub.accounts.roles import admit
from taskhub.errors import NotFound, Problem, Unavailable
from taskhub.security.scopes import READING_METHODS, KeyScope
from taskhub.web.page_policy import CONTENT_POLICY
from taskhub.web.problems import as_problem, problem_body
from taskhub.web.rest_policies import RouteThrottle

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cache-Control": "no-store",  # the next at this computer must not go back to what another was shown
}


class ConsoleView(View):
    """A page, or a part of one.

    `is_open`: for those who have not signed in, too. `for_staff`: for staff alone; to others it is not there.
    `throttle_scope` is the rate by which its POSTs are counted, if not those of all calls; `role_scope` what these need
    of a role, where `is_own_account` does not say that they change nothing but the account of who sends them.
    `is_form`: there is nothing but a form, so the page is opened by those alone who may send it.
    """

    is_open: ClassVar[bool] = False
    for_staff: ClassVar[bool] = False
    is_own_account: ClassVar[bool] = False
    is_form: ClassVar[bool] = False
    role_scope: KeyScope = KeyScope.MANAGE
    throttle_scope: str | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = self._refusal(request) or super().dispatch(request, *args, **kwargs)
            if isinstance(response, HttpResponse) and hasattr(response, "render"):
                response.render()  # what fails there is an error of this page, too
        except Exception as error:
            response = error_page(request, error)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        problem = Problem("Forms are sent to this address; there is nothing to look at.", title="No page")
        problem.status = HTTPStatus.METHOD_NOT_ALLOWED
        response = error_page(request, problem)
        response["Allow"] = ", ".join(name.upper() for name in self.http_method_names if hasattr(self, name))
        return response

    def _refusal(self, request: HttpRequest) -> HttpResponseBase | None:
        """The way to the sign-in, for those who have to go there. Raises `NotFound`, `Forbidden` and `TooMany`."""
        throttle = RouteThrottle()
        # A form may be opened as often as anybody likes; what is sent with it is counted.
        counted = self if request.method == "POST" else None
        if not throttle.allow_request(request, counted):
            raise Throttled(throttle.wait())
        if self.is_open or request.user.is_authenticated:
            if self.for_staff and not getattr(request.user, "is_staff", False):
                raise NotFound(f"There is nothing at {request.path}.")
            is_read = request.method in READING_METHODS and not self.is_form
            scope = KeyScope.READ if is_read else self.role_scope
            admit(request.user, scope, to_own_account=self.is_open or self.is_own_account)
            return None
        return way_to_sign_in(request)


def way_to_sign_in(request: HttpRequest) -> HttpResponse:
    """A redirect to the sign-in, which leads back here; of a part of a page that page is led there, and comes again."""
    if is_partial(request):
        address = f"{reverse('console:sign-in')}?{urlencode({'next': request.headers.get('HX-Current-URL', '')})}"
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    back = request.get_full_path() if request.method in READING_METHODS else page_of_form(request)
    return (
        redirect_to_login(back, reverse("console:sign-in"))
        if back != reverse("console:home")
        else HttpResponseRedirect(reverse("console:sign-in"))
    )


def is_partial(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page; a page that is shown again when somebody goes back is whole."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def error_page(request: HttpRequest, error: Exception) -> HttpResponse:
    """A page that says what is wrong; what is our fault is logged."""
    problem = as_problem(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(problem, Unavailable):
        log.error("%s failed", request.path, exc_info=error)
    response = problem_page(request, problem_body(problem), problem.status, problem.retry_after)
    if problem.retry_after:
        response["Retry-After"] = str(problem.retry_after)
    return response


def problem_page(
    request: HttpRequest, problem: Mapping[str, Any], status: int, retry_after: int | None
) -> HttpResponse:
    """The page of a problem: when to try again, and the way back to where that is done."""
    is_read = request.method in READING_METHODS
    may_pass = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    context = {
        "problem": problem,
        "retry_after": retry_after,
        "again": request.get_full_path() if is_read and may_pass else "",
        "form": "" if is_read else page_of_form(request),
        "is_away": is_read and status == HTTPStatus.SERVICE_UNAVAILABLE,
    }
    return render(request, "console/error.html", context, status=status)


def page_of_form(request: HttpRequest) -> str:
    """The address of the page on which a form was sent, as far as the browser tells; else of the first page."""
    sent_from = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(sent_from, allowed_hosts={request.get_host()}):
        return reverse("console:home")
    parts = urlsplit(sent_from)
    return escape_leading_slashes(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def without_empty(given: QueryDict) -> QueryDict:
    """A query without the fields of its form that were left empty."""
    query = QueryDict(mutable=True)
    for name, texts in given.lists():
        if kept := [text for text in texts if text.strip()]:
            query.setlist(name, kept)
    return query


def list_position(request: HttpRequest) -> int | None:
    """The id behind which a page of a list begins; None for what is none, which begins the list."""
    after = request.GET.get("after", "")
    return int(after) if after.isascii() and after.isdecimal() and len(after) < 19 else None


def uuid_position(request: HttpRequest) -> UUID | None:
    """The same of a list whose ids are UUIDs, such as runs."""
    try:
        return UUID(request.GET.get("after", ""))
    except ValueError:
        return None


def add_faults(form: BaseForm, problem: Problem) -> None:
    """Shows in a form what a service refused: each place at its field, and above all fields what has none."""
    for error in problem.errors or [{"detail": problem.detail}]:
        name = str(error.get("pointer", "")).lstrip("/")
        form.add_error(name if name in form.fields else None, str(error["detail"]))


def entries_of(problem: Problem) -> list[str]:
    """What is wrong with a form's fields, a line each; or the problem's own words."""
    entries = [
        f"{str(error.get('pointer', error.get('path', ''))).lstrip('/')}: {error['detail']}".lstrip(": ")
        for error in problem.errors
    ]
    return entries or [problem.detail]
