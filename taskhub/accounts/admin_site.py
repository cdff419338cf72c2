"""The admin site. Its sign-in is limited as `POST /user/token/` is, and its pages have the policy of the console's.

taskhub.console dresses it; a ready-made dress such as django-unfold cannot live under that policy, for it is made of
scripts and styles that stand in its pages.
"""

from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from rest_framework.exceptions import Throttled

from taskhub.web.page_policy import CONTENT_POLICY
from taskhub.web.problems import as_problem
from taskhub.web.rest_policies import RouteThrottle


class Site(AdminSite):
    site_title = site_header = "taskhub"
    index_title = "What the hub keeps"
    throttle_scope = "sign_in"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._throttle(request)
        response = super().login(request, extra_context)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        return response

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        inner: Any = super().admin_view(view, cacheable)

        @wraps(inner)
        def with_policy(*args: Any, **kwargs: Any) -> HttpResponseBase:
            response: HttpResponseBase = inner(*args, **kwargs)
            response.headers["Content-Security-Policy"] = CONTENT_POLICY
            return response

        return with_policy

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        self._throttle(request)
        return super().password_change(request, extra_context)

    def _throttle(self, request: HttpRequest) -> None:
        """Counts a POST. Raises `TooMany`; the form itself may be opened as often as anybody likes."""
        throttle = RouteThrottle()
        if request.method == "POST" and not throttle.allow_request(request, self):
            raise as_problem(Throttled(throttle.wait()))
