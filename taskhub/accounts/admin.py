"""The operator's edge of accounts. Shows no hash, no digest and no key; what it changes goes through the services."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, BaseUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import CharField, Func, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.browser_sessions import end_sessions
from taskhub.accounts.models import ApiKey, User
from taskhub.accounts.roles import Role, role_of, take_own_permissions
from taskhub.accounts.second_factors import active_factor, delete_factor
from taskhub.accounts.user_administration import may_administer
from taskhub.audit.models import AuditEntry
from taskhub.web.admin import BigTableAdmin, ReadOnlyAdmin, WatchedAdmin, json_block, row_action

RIGHTS = ("is_superuser", "groups", "user_permissions")


class NewUserForm(BaseUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")
        field_classes: dict[str, type[forms.Field]] = {}


class PasswordForm(AdminPasswordChangeForm):
    def save(self, commit: bool = True) -> Any:
        usable = self.cleaned_data["set_usable_password"]
        services.set_password(user=self.user, password=self.cleaned_data["password1"] if usable else None)
        return self.user


@admin.register(User)
class UserAdmin(BigTableAdmin, DjangoUserAdmin):
    console_page = ("users-user", "pk")
    recorded_as = None
    form = forms.ModelForm
    add_form = NewUserForm
    change_password_form = PasswordForm
    add_fieldsets = ((None, {"fields": ("email", "name", "password1", "password2")}),)
    fieldsets = (
        (None, {"fields": ("email", "email_unconfirmed", "name", "set_password")}),
        ("Second factor", {"fields": ("second_factor_state",)}),
        ("Rights", {"fields": ("is_active", "is_staff", *RIGHTS)}),
        ("Dates", {"fields": ("date_joined", "last_login")}),
    )
    readonly_fields = ("set_password", "second_factor_state", "date_joined", "last_login")
    list_display = ("email", "name", "is_staff", "is_active", "date_joined", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_ids = ("id",)
    search_fields = ("email", "name")
    ordering = ("-date_joined",)
    actions = ("end_tokens", "remove_second_factors")

    @admin.display(description="password")
    def set_password(self, user: User) -> SafeString:
        state = "Set." if user.has_usable_password() else "None: cannot sign in."
        return format_html(
            '{} <a href="{}">Set another</a>', state, reverse("admin:auth_user_password_change", args=[user.pk])
        )

    @admin.display(description="second factor")
    def second_factor_state(self, user: User) -> str:
        factor = active_factor(user)
        return f"On since {factor.confirmed_at:%Y-%m-%d %H:%M %Z}." if factor else "Off."

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Staff who are no superusers cannot make themselves, or anybody, into one. Admins give others their roles.

        The own address takes the password, for which the console asks.
        """
        fields = super().get_readonly_fields(request, obj)
        if obj == request.user:
            fields = (*fields, "email")
        if request.user.is_superuser:
            return fields
        gives_roles = may_administer(request.user, obj)
        return (*fields, *(right for right in RIGHTS if right != "groups" or not gives_roles))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Without the list of all that goes with a user, which may be a million runs.
        denied = {"user" for user in objs if not self.has_delete_permission(request, user)}
        return [str(user) for user in objs], {"users, with all they own": len(objs)}, denied, []

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Another's. The own takes the current one, for which the console asks."""
        if self.get_object(request, unquote(id)) == request.user:
            return redirect("console:password")
        response: HttpResponse = super().user_change_password(request, id, form_url)
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        services.save_account(user=obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # The form has the own permissions of before, too, and has just given them back.
        if "groups" in form.changed_data and "user_permissions" not in form.changed_data:
            take_own_permissions(form.instance)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        services.delete_accounts(users=User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        services.delete_accounts(users=queryset)

    @row_action("End all tokens and sessions", "accounts.change_user", asks=True)
    def end_tokens(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        users = [user for user in queryset if _may_touch(request, user)]
        tokens = sum(services.sign_out_everywhere(user=user) for user in users)
        sessions = sum(end_sessions(user=user) for user in users)
        self.message_user(request, f"Ended {tokens} tokens and {sessions} sessions.", messages.SUCCESS)

    @row_action("Remove the second factor", "accounts.change_user", asks=True)
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Others'. The own takes a password and a code, for which the console asks."""
        others = [user for user in queryset if user != request.user and _may_touch(request, user)]
        removed = [user for user in others if delete_factor(user=user)]
        for user in removed:
            self.log_change(request, user, "Removed the second factor.")
        self.message_user(request, f"Removed {len(removed)} second factors.", messages.SUCCESS)


class CredentialAdmin(ReadOnlyAdmin):
    """Credentials are made by who uses them; the operator sees that they exist, and ends them."""

    recorded_as = None
    list_select_related = ("user",)
    search_ids = ("user",)
    search_fields: ClassVar[tuple[str, ...]] = ("user__email",)


@admin.register(ApiKey)
class ApiKeyAdmin(CredentialAdmin):
    list_display = ("prefix", "name", "user", "shown_scopes", "created_at", "expires_at", "last_used_at")
    fields = list_display
    search_fields = ("prefix__exact", "name", "user__email")
    ordering = ("-id",)
    actions = ("revoke",)

    @admin.display(description="scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    def get_actions(self, request: HttpRequest) -> Any:
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        services.revoke_keys(keys=ApiKey.objects.filter(pk=obj.pk))

    @row_action("Revoke", "accounts.delete_apikey", asks=True)
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.select_related("user"):
            self.log_change(request, key.user, f"Revoked the API key {key.prefix}.")
        self.message_user(request, f"Revoked {services.revoke_keys(keys=queryset)} keys.", messages.SUCCESS)


@admin.register(AuditEntry)
class AuditEntryAdmin(WatchedAdmin):
    """What was done stays as it is, for superusers, too."""

    list_display = ("at", "actor", "door", "action", "object_kind", "object_name", "object_id")
    list_filter = ("door",)
    fields = (
        *("at", "actor", "actor_id", "credential", "door", "address", "request_id", "run_id"),
        *("action", "object_kind", "object_id", "object_name", "owner_id", "shown_before", "shown_after"),
    )
    unlisted = ("before", "after")
    search_ids = ("actor_id", "owner_id")
    search_fields = ("actor__exact", "object_id__exact", "object_name__exact", "request_id__exact")
    search_help_text = "An e-mail address, or the id or the name of an object, as a whole"

    @admin.display(description="before")
    def shown_before(self, entry: AuditEntry) -> SafeString:
        return json_block(entry.before)

    @admin.display(description="after")
    def shown_after(self, entry: AuditEntry) -> SafeString:
        return json_block(entry.after)


class Handle(Func):
    template = "encode(sha256(%(expressions)s::bytea), 'hex')"
    output_field = CharField()


admin.site.unregister([AuthToken, Group])


@admin.register(Group)
class GroupAdmin(BigTableAdmin, DjangoGroupAdmin):
    """Groups of permissions. Those of the roles are the hub's own: only who is in them is chosen, at the user."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.name not in set(Role))

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.name not in set(Role))


@admin.register(AuthToken)
class TokenAdmin(CredentialAdmin):
    """The digest is the row's key, so Django's own links and tick boxes would show it: a button stands in for them."""

    list_display = ("user", "created", "expiry", "end")
    list_display_links = None
    ordering = ("-created",)
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        tokens: QuerySet[Any] = super().get_queryset(request).annotate(handle=Handle("digest"))
        return tokens

    @admin.display(description="")
    def end(self, token: Any) -> SafeString:
        return format_html('<button class="button" name="end" value="{}">End</button>', token.handle)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "POST" and self.has_delete_permission(request):
            handle = request.POST.get("end", "")
            tokens = self.get_queryset(request).filter(handle=handle).select_related("user")
            if "post" not in request.POST:
                return self.ask(
                    request, tokens.values_list("user__email", flat=True), "End the token", [("end", handle)]
                )
            for token in tokens:
                services.sign_out(token=token)
                self.log_change(request, token.user, "Ended a token.")
            return HttpResponseRedirect(request.get_full_path())
        return super().changelist_view(request, extra_context)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_view_permission(request)


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    """Whether somebody may change this account: who could sign in as an admin would be one."""
    if user is None or request.user.is_superuser:
        return True
    return not user.is_superuser and (role_of(user) is not Role.ADMIN or role_of(request.user) is Role.ADMIN)
