"""`/console/you`: the own account, and what belongs to it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from sequences.services.secrets import visible_secrets
from taskhub.accounts import services
from taskhub.accounts.browser_sessions import open_sessions
from taskhub.accounts.models import ApiKey
from taskhub.accounts.second_factors import active_factor
from taskhub.console.console_view import ConsoleView, add_faults
from taskhub.errors import Rejected


class AccountForm(forms.Form):
    name = forms.CharField(max_length=200, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    email = forms.EmailField(
        label="E-mail address", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    current_password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text="Needed for another e-mail address.",
    )


class YouView(ConsoleView):
    """A guess at the password, which a new address needs, counts like a sign-in."""

    is_own_account = True
    throttle_scope = "sign_in"

    def get(self, request: Any) -> HttpResponse:
        form = AccountForm(initial={"name": request.user.name, "email": request.user.email})
        return _page(request, form)

    def post(self, request: Any) -> HttpResponse:
        form = AccountForm(request.POST)
        if not form.is_valid():
            return _page(request, form, status=400)
        sent = form.cleaned_data
        values = {"name": sent["name"]}
        if sent["email"] != request.user.email:
            values |= {"email": sent["email"], "current_password": sent["current_password"]}
        try:
            services.change_account(user=request.user, **values)
        except Rejected as refusal:
            add_faults(form, refusal)
            return _page(request, form, status=400)
        messages.success(request, "The account is changed.")
        return HttpResponseRedirect(reverse("console:you"))


def _page(request: Any, form: AccountForm, status: int = 200) -> HttpResponse:
    user = request.user
    context = {
        "form": form,
        "groups": list(user.groups.order_by("name").values_list("name", flat=True)),
        "keys": ApiKey.objects.filter(user=user).alive(timezone.now()).count(),
        "factor": active_factor(user),
        "sessions": open_sessions(user).count(),
        "secrets": visible_secrets(user).filter(owner=user).count(),
    }
    return render(request, "console/you.html", context, status=status)
