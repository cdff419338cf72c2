"""`/console/you/secrets`: secrets of sequences: their names, never their values."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from sequences.services.secrets import VALUE_MAX, delete_secret, save_secret, visible_secrets
from taskhub.accounts.roles import reaches_all
from taskhub.console.console_view import ConsoleView, add_faults, list_position
from taskhub.console.placed_form import LinesField
from taskhub.errors import Forbidden, NotFound, Rejected
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS = 50
NAME_HELP = "Letters, digits and _. A sequence reads it as {{secret.NAME}}."


class SecretForm(forms.Form):
    """A secret that there is already is replaced only by a form that says so: its value would be lost otherwise."""

    name = forms.CharField(
        max_length=100,
        help_text=NAME_HELP,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    value = LinesField(
        max_length=VALUE_MAX,
        help_text="Nobody is shown it again.",
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
    )
    is_global = forms.BooleanField(label="For everybody's sequences", required=False)
    replaces = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, user: Any, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.user = user
        if not reaches_all(user, KeyScope.MANAGE):
            del self.fields["is_global"]

    def clean(self) -> dict[str, Any]:
        sent = self.cleaned_data
        owner = None if sent.get("is_global") else self.user
        if not sent.get("replaces") and visible_secrets(self.user).filter(owner=owner, name=sent.get("name")).exists():
            self.add_error("name", "There is a secret of this name already. Replace it in the list.")
        return sent


class SecretListView(ConsoleView):
    """The own secrets and those for everybody, newest first, and a form for one more or another value."""

    def get(self, request: Any) -> HttpResponse:
        name = request.GET.get("replace", "")
        initial = {"name": name, "replaces": bool(name), "is_global": "global" in request.GET}
        return _page(request, SecretForm(request.user, initial=initial))

    def post(self, request: Any) -> HttpResponse:
        form = SecretForm(request.user, request.POST)
        if not form.is_valid():
            return _page(request, form, status=400)
        sent = form.cleaned_data
        try:
            save_secret(
                user=request.user, name=sent["name"], value=sent["value"], is_global=sent.get("is_global", False)
            )
        except (Forbidden, Rejected) as refusal:
            add_faults(form, refusal)
            return _page(request, form, status=refusal.status)
        messages.success(request, f"The secret {sent['name']} is {'replaced' if sent['replaces'] else 'set'}.")
        return HttpResponseRedirect(reverse("console:you-secrets"))


def _page(request: Any, form: SecretForm, status: int = 200) -> HttpResponse:
    page = read_page(visible_secrets(request.user), "-id", PAGE_ROWS, after=list_position(request))
    context = {
        "form": form,
        "secrets": page.rows,
        "last": page.rows[-1].pk if page.has_next else None,
        "replaced": form["name"].value() if form["replaces"].value() in {True, "True"} else "",
    }
    return render(request, "console/secrets.html", context, status=status)


class DeleteSecretView(ConsoleView):
    def post(self, request: Any, name: str) -> HttpResponse:
        try:
            delete_secret(user=request.user, name=name, is_global="global" in request.POST)
            messages.success(request, f"The secret {name} is deleted.")
        except NotFound as problem:
            messages.warning(request, problem.detail)
        return HttpResponseRedirect(reverse("console:you-secrets"))
