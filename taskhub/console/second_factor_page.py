"""`/console/you/second-factor`: the own second factor: turned on by a QR code and a first code, renewed, turned off."""

import re
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from taskhub.accounts.models import SecondFactor
from taskhub.accounts.second_factors import (
    active_factor,
    begin_factor,
    confirm_factor,
    pending_factor,
    provisioning_uri,
    remove_factor,
    renew_recovery_codes,
)
from taskhub.console.code_form import CodeForm
from taskhub.console.console_view import ConsoleView, add_faults
from taskhub.errors import Conflict, Rejected, TooMany, invalid


class CurrentPasswordForm(forms.Form):
    current_password = forms.CharField(
        strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class PasswordAndCodeForm(CurrentPasswordForm, CodeForm):
    field_order = ("current_password", "otp")


class FirstCodeForm(CodeForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["otp"].help_text = "The six digits; they change every 30 seconds."


FORMS: dict[str, type[forms.Form]] = {
    "begin": CurrentPasswordForm,
    "confirm": FirstCodeForm,
    "renew": PasswordAndCodeForm,
    "remove": PasswordAndCodeForm,
}


class SecondFactorView(ConsoleView):
    """Off, about to be confirmed, or on. Passwords and codes that are tried count like sign-ins."""

    is_own_account = True
    throttle_scope = "sign_in"

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request)

    def post(self, request: Any) -> HttpResponse:
        action = request.POST.get("action", "")
        if action not in FORMS:
            raise invalid("/action", "There is no such action.")
        form = FORMS[action](request.POST)
        if not form.is_valid():
            return _page(request, form, action, status=400)
        try:
            codes = _act(request, action, form.cleaned_data)
        except (Conflict, Rejected, TooMany) as refusal:
            add_faults(form, refusal)
            return _page(request, form, action, status=refusal.status)
        return _page(request, codes=codes) if codes else HttpResponseRedirect(reverse("console:you-second-factor"))


def _act(request: Any, action: str, sent: dict[str, str]) -> list[str]:
    """Does what a form asks for; new recovery codes, where there are some. Raises what the services raise."""
    user, given = request.user, {name.replace("otp", "code"): value for name, value in sent.items()}
    match action:
        case "begin":
            begin_factor(user=user, **given)
        case "confirm":
            return confirm_factor(user=user, keep_session=request.session.session_key, **given)
        case "renew":
            return renew_recovery_codes(user=user, **given)
        case "remove":
            remove_factor(user=user, **given)
            messages.success(request, "The second factor is off.")
    return []


def _page(
    request: Any, form: forms.Form | None = None, action: str = "", *, codes: list[str] | None = None, status: int = 200
) -> HttpResponse:
    """The page with a form for what may be done, or the one that was refused."""
    factor, pending = active_factor(request.user), pending_factor(request.user)
    actions = ("renew", "remove") if factor else ("confirm", "begin") if pending else ("begin",)
    context = {
        "factor": factor,
        "pending": pending,
        "forms": {name: form if name == action else FORMS[name](auto_id=f"{name}_%s") for name in actions},
        "refused": form if form is not None and action not in actions else None,
        "codes": codes,
        "qr": _qr_code(pending) if pending else "",
        "secret": " ".join(re.findall(".{1,4}", pending.secret)) if pending else "",
    }
    return render(request, "console/second_factor.html", context, status=status)


def _qr_code(factor: SecondFactor) -> SafeString:
    """Dark on light in either look: cameras read it so."""
    code = segno.make(provisioning_uri(factor), error="m", micro=False)
    svg: str = code.svg_inline(scale=5, light="#fff", svgclass="qr", lineclass=None, title="QR code of the secret")
    return mark_safe(svg)  # noqa: S308  # of numbers alone
