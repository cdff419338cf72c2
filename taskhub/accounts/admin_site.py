"""The admin site. Its sign-in is limited as `POST /user/token/` is."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework.exceptions import Throttled

from taskhub.web.problems import as_problem
from taskhub.web.rest_policies import RouteThrottle


class Site(AdminSite):
    site_title = site_header = "taskhub"
    index_title = "What the hub keeps"
    throttle_scope = "sign_in"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._throttle(request)
        return super().login(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        self._throttle(request)
        return super().password_change(request, extra_context)

    def _throttle(self, request: HttpRequest) -> None:
        """Counts a POST. Raises `TooMany`; the form itself may be opened as often as anybody likes."""
        throttle = RouteThrottle()
        if request.method == "POST" and not throttle.allow_request(request, self):
            raise as_problem(Throttled(throttle.wait()))
