"""The admin site. People sign in, and change their password, where they do so for the console, whose policy it has.

taskhub.console dresses it; a ready-made dress such as django-unfold cannot live under that policy, for it is made of
scripts and styles that stand in its pages.
"""

from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, resolve_url
from django.urls import reverse

from taskhub.web.page_policy import CONTENT_POLICY


class Site(AdminSite):
    site_title = site_header = "taskhub"
    index_title = "What the hub keeps"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Leads to the sign-in, of which there is one: it limits guesses, and asks for second factors."""
        index = reverse("admin:index", current_app=self.name)
        if self.has_permission(request):
            return HttpResponseRedirect(index)
        if request.user.is_authenticated:
            messages.warning(request, "The admin is for staff.")
            return redirect(settings.LOGIN_REDIRECT_URL)
        return redirect_to_login(request.GET.get("next", index), resolve_url(settings.LOGIN_URL))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        inner: Any = super().admin_view(view, cacheable)

        @wraps(inner)
        def with_policy(*args: Any, **kwargs: Any) -> HttpResponseBase:
            response: HttpResponseBase = inner(*args, **kwargs)
            response.headers["Content-Security-Policy"] = CONTENT_POLICY
            return response

        return with_policy

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Leads to the console's page: a new password ends tokens and sessions there."""
        return redirect("console:password")
