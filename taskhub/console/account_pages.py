"""The sign-in, the sign-out, and the page on which people change their password."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from taskhub.accounts import services
from taskhub.console.console_view import ConsoleView
from taskhub.errors import Rejected


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "The e-mail address or the password is wrong.",
        "inactive": "The e-mail address or the password is wrong.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "E-mail address"
        self.fields["username"].widget = forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"})


class SignInView(ConsoleView, LoginView):
    """Its POSTs are limited as those of `POST /user/token/` are, and counted with them."""

    is_open = True
    throttle_scope = "sign_in"
    form_class = SignInForm
    template_name = "console/sign_in.html"
    redirect_authenticated_user = True
    next_page = "console:home"


class SignOutView(ConsoleView):
    is_open = True

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return HttpResponseRedirect(reverse("console:sign-in"))


class ChangePasswordForm(forms.Form):
    current_password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}), strip=False
    )
    password = forms.CharField(
        label="New password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        help_text="At least eight characters, not only digits, and not one that many have.",
    )
    repeated = forms.CharField(
        label="New password again", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False
    )

    def clean_repeated(self) -> str:
        if self.cleaned_data.get("password") != self.cleaned_data["repeated"]:
            raise forms.ValidationError("The two new passwords differ.")
        return str(self.cleaned_data["repeated"])


class PasswordView(ConsoleView):
    """A guess at the password counts like a sign-in. A new one ends the other sessions, and all tokens."""

    throttle_scope = "sign_in"

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "console/password.html", {"form": ChangePasswordForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ChangePasswordForm(request.POST)
        if form.is_valid() and _change_password(request, form):
            messages.success(request, "The password is changed. All tokens and other sessions have ended.")
            return HttpResponseRedirect(reverse("console:password"))
        return render(request, "console/password.html", {"form": form}, status=400)


def _change_password(request: Any, form: ChangePasswordForm) -> bool:
    """Whether it could be changed; if not, the form says why."""
    values = {name: form.cleaned_data[name] for name in ("current_password", "password")}
    try:
        user = services.change_account(user=request.user, **values)
    except Rejected as refusal:
        for error in refusal.errors:
            form.add_error(str(error["pointer"]).lstrip("/"), str(error["detail"]))
        return False
    update_session_auth_hash(request, user)
    return True
