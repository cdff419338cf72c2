"""Roles of staff: viewer, operator and admin, each a group; and what a role lets its members do with what others own.

One table says it for all doors. Over the API and in the console a call of staff needs the scope that a key needs for
it (`taskhub.security.scopes`), of which `PERMISSION_OF_SCOPE` names the permission. In the admin each page and action
needs its own permission of Django's. The groups have both, so a role may do the same at each door.
"""

from enum import StrEnum
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import m2m_changed

from taskhub.accounts.sign_in_limit import count_sign_in
from taskhub.errors import Forbidden
from taskhub.security.scopes import KeyScope, scope_of


class Role(StrEnum):
    """In the order of what they may do."""

    VIEWER = "viewer"  # sees everything, and changes nothing but the own account
    OPERATOR = "operator"  # and cancels, tries again, pauses, starts and sends again what others own
    ADMIN = "admin"  # and changes and deletes it, and looks after users


PERMISSION_OF_SCOPE = {
    KeyScope.RUN: "accounts.operate_all",
    KeyScope.UPLOAD: "accounts.manage_all",
    KeyScope.MANAGE: "accounts.manage_all",
}
# What an operator does in the admin, besides looking. None of it changes a row's fields: those pages only show them.
OPERATED = frozenset(
    {
        "accounts.operate_all",
        "crawlers.add_crawlertask",
        "crawlers.change_crawlertask",
        "extraction.add_process",
        "extraction.change_process",
        "runs.add_notificationmessage",
        "runs.add_run",
        "runs.change_run",
        "webhooks.add_deliveryattempt",
    }
)


class RoleBackend(ModelBackend):
    """Django's, but that sign-ins to an account are limited, whichever the door; and that a role is of staff alone: its
    group gives nothing to somebody who is no staff any more."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **named: Any) -> Any:
        """Raises `TooMany`."""
        count_sign_in(str(username or named.get("email", "")))
        return super().authenticate(request, username, password, **named)

    def _get_group_permissions(self, user_obj: Any) -> QuerySet[Permission]:
        groups = user_obj.groups.all() if user_obj.is_staff else user_obj.groups.exclude(name__in=list(Role))
        return Permission.objects.filter(group__in=groups)


def role_of(user: Any) -> Role | None:
    """The highest role of a user; None for who is no staff, and for staff without one. A superuser is an admin."""
    if not getattr(user, "is_staff", False):
        return None
    if user.is_superuser:
        return Role.ADMIN
    names = {group.name for group in user.groups.all()}  # which may have been read along with the user
    return next((role for role in reversed(Role) if role in names), None)


def reaches_all(user: Any, scope: KeyScope) -> bool:
    """Whether a user's calls of this scope reach what others own, too."""
    if not getattr(user, "is_staff", False):
        return False
    return scope == KeyScope.READ or bool(user.has_perm(PERMISSION_OF_SCOPE[scope]))


def may(user: Any, scope: KeyScope, owner_id: UUID | None) -> bool:
    """Whether a user may make calls of this scope about what this owner has; a button for them is shown to nobody
    else."""
    if role_of(user) is Role.VIEWER:
        return scope == KeyScope.READ
    return owner_id == user.pk or reaches_all(user, scope)


def admit(user: Any, scope: KeyScope, *, to_own_account: bool = False) -> None:
    """Lets a user make a call: from now on `user.reaches_all` says whether it reaches what others own.

    Staff whose role lacks the scope reach only what is theirs, like everybody else. Raises `Forbidden` for viewers,
    who change nothing but their own accounts.
    """
    if not getattr(user, "is_staff", False):
        return
    user.is_kept_to_own = not reaches_all(user, scope)
    if user.is_kept_to_own and not to_own_account and role_of(user) is Role.VIEWER:
        raise Forbidden("You are a viewer: you see everything, and change nothing.", type="missing-role")


def admit_to_view(user: Any, view: Any, method: str) -> None:
    """As `admit`, to a method of a view. Its `role_scopes` name the scope by method where roles need another than keys;
    `is_own_account` says that it changes nothing but the caller's account."""
    scope = getattr(view, "role_scopes", {}).get(method) or scope_of(view, method)
    admit(user, scope, to_own_account=getattr(view, "is_own_account", False))


@transaction.atomic
def assign_role(user: Any, role: Role | None) -> None:
    """Puts a user into the group of a role, and out of those of others; without a role it is no staff any more.

    The permissions that roles stand for are the role's alone from now on; staff of older hubs have them by themselves.
    """
    take_own_permissions(user)
    user.groups.remove(*user.groups.filter(name__in=[other for other in Role if other != role]))
    if role is not None:
        user.groups.add(Group.objects.get(name=role))
    if user.is_staff != (role is not None):
        user.is_staff = role is not None
        user.save(update_fields=["is_staff"])


def take_own_permissions(user: Any) -> None:
    """Takes away what a user has by himself of the permissions that roles stand for."""
    codenames = {name.partition(".")[2] for name in PERMISSION_OF_SCOPE.values()}
    own = user.user_permissions.filter(content_type__app_label="accounts", codename__in=codenames)
    if own := list(own):
        user.user_permissions.remove(*own)


def connect() -> None:
    through = get_user_model().groups.through
    m2m_changed.connect(_leave_to_roles, sender=through, dispatch_uid="roles-alone")


def _leave_to_roles(instance: Any, action: str, reverse: bool, pk_set: Any, **_: Any) -> None:
    """Where somebody is put into the group of a role or out of it, by whichever door, the role alone counts."""
    if action not in {"post_add", "post_remove", "pre_clear"}:
        return
    members = get_user_model().groups.through.objects.filter(group__name__in=list(Role))
    if reverse and instance.name in list(Role):
        keys: Any = members.filter(group=instance).values("user") if action == "pre_clear" else pk_set
        for user in get_user_model().objects.filter(pk__in=keys):
            take_own_permissions(user)
    elif not reverse:
        named = Group.objects.filter(name__in=list(Role))
        is_concerned = named.filter(user=instance) if action == "pre_clear" else named.filter(pk__in=pk_set)
        if is_concerned.exists():
            take_own_permissions(instance)


def keep_groups(**_: Any) -> None:
    """Makes the groups of the roles, and gives each its permissions, those of new tables included; after migrations."""
    names = Permission.objects.values_list("content_type__app_label", "codename", "pk")
    permissions = {f"{label}.{codename}": pk for label, codename, pk in names}
    views = {name for name in permissions if name.partition(".")[2].startswith("view_")}
    wanted = {Role.VIEWER: views, Role.OPERATOR: views | OPERATED, Role.ADMIN: set(permissions)}
    for role, chosen in wanted.items():
        group = Group.objects.get_or_create(name=role)[0]
        _grant(group, {permissions[name] for name in chosen if name in permissions})


def _grant(group: Group, keys: set[int]) -> None:
    """Gives a group exactly these permissions. Directly: what the hub itself does is no entry of the audit log."""
    granted: Any = Group.permissions.through.objects
    granted.filter(group=group).exclude(permission__in=keys).delete()
    present = set(granted.filter(group=group).values_list("permission_id", flat=True))
    granted.bulk_create(
        [granted.model(group=group, permission_id=key) for key in keys - present], ignore_conflicts=True
    )


def last_app() -> Any:
    """The app after whose migrations all permissions are there. Django tells of none that has no models."""
    return [app for app in apps.get_app_configs() if app.models_module is not None][-1]
