"""`/console/you/keys`: the own API keys: which there are, a new one, and how one is revoked."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from taskhub.accounts import services
from taskhub.accounts.models import ApiKey
from taskhub.console.console_view import ConsoleView, add_faults, list_position
from taskhub.errors import Conflict, NotFound, Rejected
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS = 50
SCOPES = {
    KeyScope.READ: "read: whatever changes nothing, results and documents included",
    KeyScope.RUN: "run: start, cancel and retry",
    KeyScope.UPLOAD: "upload: send documents, report how crawler tasks go on",
    KeyScope.MANAGE: "manage: whatever else changes something, keys and the account included",
}
DAY = 24 * 3600
EXPIRIES = [(str(days * DAY), words) for days, words in ((1, "in a day"), (7, "in 7 days"), (30, "in 30 days"))]
EXPIRIES += [(str(days * DAY), words) for days, words in ((90, "in 90 days"), (365, "in a year"))]


class KeyForm(forms.Form):
    name = forms.CharField(max_length=100, required=False, help_text="What the key is for.")
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=[(str(scope), words) for scope, words in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        initial=[str(KeyScope.READ), str(KeyScope.RUN)],
    )
    expires_in = forms.TypedChoiceField(
        label="Expires",
        choices=[*EXPIRIES, ("0", "never")],
        coerce=lambda text: int(text) or None,
        initial=str(90 * DAY),
    )


class KeyListView(ConsoleView):
    """The list, newest first. The text of a new key is on the page that answers to its form, and nowhere else."""

    is_own_account = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request, KeyForm())

    def post(self, request: Any) -> HttpResponse:
        form = KeyForm(request.POST)
        if not form.is_valid():
            return _page(request, form, status=400)
        try:
            key, text = services.create_key(user=request.user, **form.cleaned_data)
        except (Conflict, Rejected) as refusal:
            add_faults(form, refusal)
            return _page(request, form, status=refusal.status)
        return _page(request, KeyForm(), made=key, text=text)


def _page(request: Any, form: KeyForm, status: int = 200, **made: Any) -> HttpResponse:
    page = read_page(ApiKey.objects.filter(user=request.user), "-id", PAGE_ROWS, after=list_position(request))
    now = timezone.now()
    context = {
        "form": form,
        "keys": [(key, key.expired(now)) for key in page.rows],
        "last": page.rows[-1].pk if page.has_next else None,
        **made,
    }
    return render(request, "console/keys.html", context, status=status)


class RevokeKeyView(ConsoleView):
    is_own_account = True

    def post(self, request: Any, prefix: str) -> HttpResponse:
        try:
            services.revoke_key(user=request.user, prefix=prefix)
            messages.success(request, f"The key {prefix} is revoked.")
        except NotFound as problem:
            messages.warning(request, problem.detail)
        return HttpResponseRedirect(reverse("console:you-keys"))
