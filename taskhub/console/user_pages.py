"""`/console/users`: all users, for staff; and for admins what is done with their accounts."""

from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.browser_sessions import open_sessions
from taskhub.accounts.models import ApiKey, User
from taskhub.accounts.roles import Role, role_of
from taskhub.accounts.user_administration import (
    NO_ROLE,
    SUPERUSER,
    change_activity,
    change_role,
    end_credentials,
    find_user,
    find_users,
    may_administer,
)
from taskhub.console.console_view import ConsoleView, without_empty
from taskhub.errors import Conflict, Forbidden, Rejected, invalid
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS = 50
KEYS_SHOWN = 50
ACTIVITY = {"yes": True, "no": False}
ROLES = [NO_ROLE, *map(str, Role)]


class UserListView(ConsoleView):
    """The list, by address."""

    for_staff = True

    def get(self, request: HttpRequest) -> HttpResponse:
        query = without_empty(request.GET)
        after = query.pop("after", [None])[-1]
        users = find_users(
            part=query.get("q", "")[:200],
            role=query.get("role", "") if query.get("role") in {*ROLES, SUPERUSER} else "",
            is_active=ACTIVITY.get(query.get("active", "")),
        )
        page = read_page(users.prefetch_related("groups"), "email", PAGE_ROWS, after=after)
        more = {**query.dict(), "after": page.rows[-1].email} if page.has_next else {}
        context = {
            "users": page.rows,
            "query": query,
            "roles": [*ROLES, SUPERUSER],
            "more": f"?{urlencode(more)}" if more else "",
            "is_filtered": bool(query),
            "may_administer": may_administer(request.user),
        }
        return render(request, "console/users.html", context)


class NewAccountForm(forms.Form):
    email = forms.EmailField(label="E-mail address", max_length=254, widget=forms.EmailInput(attrs={"autofocus": True}))
    name = forms.CharField(max_length=200, required=False)
    password = forms.CharField(
        label="First password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        help_text="Hand it over safely; it can be changed in the console.",
    )
    role = forms.ChoiceField(
        choices=[(role, role) for role in ROLES], help_text="None sees and changes only what is their own."
    )


class NewUserView(ConsoleView):
    """A form for an account, which is another's."""

    for_staff = True

    def get(self, request: HttpRequest) -> HttpResponse:
        _check_admin(request)
        return render(request, "console/user_new.html", {"form": NewAccountForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        _check_admin(request)
        form = NewAccountForm(request.POST)
        if form.is_valid() and (user := _create(request, form)):
            messages.success(request, f"{user.email} can sign in now.")
            return HttpResponseRedirect(reverse("console:users-user", args=[user.pk]))
        return render(request, "console/user_new.html", {"form": form}, status=HTTPStatus.BAD_REQUEST)


def _check_admin(request: HttpRequest) -> None:
    if not may_administer(request.user):
        raise Forbidden("Only admins make accounts for others.")


def _create(request: HttpRequest, form: NewAccountForm) -> User | None:
    """The new user; None where it could not be made, and the form says why."""
    values = form.cleaned_data
    try:
        user = services.sign_up(email=values["email"], name=values["name"], password=values["password"], by_staff=True)
    except Rejected as refusal:
        for error in refusal.errors:
            form.add_error(str(error["pointer"]).lstrip("/"), str(error["detail"]))
        return None
    if values["role"] != NO_ROLE:
        change_role(user=user, role=Role(values["role"]), by=request.user)
    return user


class UserPageView(ConsoleView):
    """One user: facts, credentials, and links to what he owns."""

    for_staff = True

    def get(self, request: HttpRequest, user_id: UUID) -> HttpResponse:
        person = find_user(user_id)
        keys = ApiKey.objects.filter(user=person).alive(timezone.now()).order_by("-id")
        context = {
            "person": person,
            "role": role_of(person),
            "roles": ROLES,
            "keys": list(keys[:KEYS_SHOWN]),
            "sessions": open_sessions(person).count(),
            "tokens": AuthToken.objects.filter(user=person, expiry__gt=timezone.now()).count(),
            "may_administer": may_administer(request.user, person),
        }
        return render(request, "console/user.html", context)


class UserActionView(ConsoleView):
    """Gives a role, lets in or keeps out, or ends what is signed in."""

    for_staff = True
    actions: ClassVar = frozenset({"role", "activate", "deactivate", "end"})

    def post(self, request: HttpRequest, user_id: UUID) -> HttpResponse:
        person, action = find_user(user_id), request.POST.get("action", "")
        if action not in self.actions:
            raise invalid("/action", "There is no such action.")
        try:
            messages.success(request, _act(action, person, request))
        except Conflict as refusal:
            messages.error(request, refusal.detail)
        return HttpResponseRedirect(reverse("console:users-user", args=[user_id]))


def _act(action: str, person: User, request: Any) -> str:
    """What was done, in words. Raises what the services raise."""
    by = request.user
    if action == "role":
        name = request.POST.get("role", "")
        if name not in ROLES:
            raise invalid("/role", "There is no such role.")
        change_role(user=person, role=None if name == NO_ROLE else Role(name), by=by)
        return "The role is taken away." if name == NO_ROLE else f"The role is {name} now."
    if action == "end":
        return f"{end_credentials(user=person, by=by)} sign-ins have ended."
    change_activity(user=person, is_active=action == "activate", by=by)
    return "The account is active again." if action == "activate" else "The account is not active any more."
