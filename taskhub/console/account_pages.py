"""The sign-in and the sign-out, the sign-up where it is open, and the page on which people change their password."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from taskhub.accounts import services
from taskhub.accounts.second_factors import active_factor, check_code
from taskhub.accounts.serializers import PASSWORD_MAX
from taskhub.accounts.sign_ins import begin_second_step, end_second_step, second_step
from taskhub.console.code_form import CodeForm
from taskhub.console.console_view import ConsoleView, add_faults
from taskhub.errors import Forbidden, Rejected, TooMany


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

    def form_valid(self, form: Any) -> HttpResponse:
        """Signs in, or asks for the code of a second factor first."""
        user = form.get_user()
        if active_factor(user) is None:
            return super().form_valid(form)
        begin_second_step(self.request, user, self.get_success_url())
        return HttpResponseRedirect(reverse("console:sign-in-code"))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(**context, is_sign_up_open=settings.OPEN_SIGNUP)

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        """Where somebody came from; empty for these pages themselves, to which he would be led for ever."""
        address: str = super().get_redirect_url(*args, **kwargs)
        own = {reverse(f"console:sign-{way}") for way in ("in", "out", "up")}
        return "" if urlsplit(address).path.rstrip("/") in own else address


class SignInCodeForm(CodeForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["otp"].widget.attrs["autofocus"] = True


class SignInCodeView(ConsoleView):
    """The second step of the sign-in, for those with a second factor. A code counts like a password."""

    is_open = True
    throttle_scope = "sign_in"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, SignInCodeForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        step, form = second_step(request), SignInCodeForm(request.POST)
        if step is None or not form.is_valid():
            return self._page(request, form, status=400)
        user, back = step
        try:
            check_code(user, form.cleaned_data["otp"])
        except (Rejected, TooMany) as refusal:
            add_faults(form, refusal)
            return self._page(request, form, status=refusal.status)
        end_second_step(request, user)
        return HttpResponseRedirect(back)

    @staticmethod
    def _page(request: HttpRequest, form: SignInCodeForm, status: int = 200) -> HttpResponse:
        step = second_step(request)
        if step is None:
            return HttpResponseRedirect(reverse("console:sign-in"))
        return render(request, "console/sign_in_code.html", {"form": form, "email": step[0].email}, status=status)


class SignOutView(ConsoleView):
    is_open = True

    def post(self, request: HttpRequest) -> HttpResponse:
        logout(request)
        return HttpResponseRedirect(reverse("console:sign-in"))


class NewPasswordForm(forms.Form):
    """The fields in which people write a password that they choose, twice."""

    password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        max_length=PASSWORD_MAX,
        help_text="At least eight characters, not only digits, and not one that many have.",
    )
    repeated = forms.CharField(
        label="Password again", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False
    )

    def clean_repeated(self) -> str:
        if self.cleaned_data.get("password") != self.cleaned_data["repeated"]:
            raise forms.ValidationError("The two passwords differ.")
        return str(self.cleaned_data["repeated"])


class SignUpForm(NewPasswordForm):
    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    name = forms.CharField(max_length=200, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"}))

    field_order = ("email", "name", "password", "repeated")


class SignUpView(ConsoleView):
    """Makes an account as `POST /user/create/` does, and signs in as it."""

    is_open = True
    throttle_scope = "sign_in"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, SignUpForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = SignUpForm(request.POST)
        if not settings.OPEN_SIGNUP or not form.is_valid():
            return self._page(request, form, status=400)
        try:
            user = services.sign_up(**{name: form.cleaned_data[name] for name in ("email", "name", "password")})
        except Rejected as refusal:
            add_faults(form, refusal)
            return self._page(request, form, status=400)
        login(request, user)
        return HttpResponseRedirect(reverse("console:home"))

    @staticmethod
    def _page(request: HttpRequest, form: SignUpForm, status: int = 200) -> HttpResponse:
        """Raises `Forbidden` where sign-up is closed."""
        if not settings.OPEN_SIGNUP:
            raise Forbidden(services.SIGN_UP_CLOSED)
        return render(request, "console/sign_up.html", {"form": form}, status=status)


class ChangePasswordForm(NewPasswordForm):
    current_password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}), strip=False
    )

    field_order = ("current_password", "password", "repeated")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["password"].label = "New password"
        self.fields["repeated"].label = "New password again"


class PasswordView(ConsoleView):
    """A guess at the password counts like a sign-in. A new one ends the other sessions, and all tokens."""

    is_own_account = True
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
        user = services.change_account(user=request.user, keep_session=request.session.session_key, **values)
    except Rejected as refusal:
        add_faults(form, refusal)
        return False
    update_session_auth_hash(request, user)
    return True
