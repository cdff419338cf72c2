"""Tells the audit log which groups and permissions users are given, whoever gives them."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models.signals import m2m_changed

from taskhub.accounts.models import User
from taskhub.audit.services import record_change

ADDED, REMOVED, CLEARED = "post_add", "post_remove", "pre_clear"


def connect() -> None:
    m2m_changed.connect(_record_groups, sender=User.groups.through, dispatch_uid="audit-groups")
    m2m_changed.connect(_record_permissions, sender=User.user_permissions.through, dispatch_uid="audit-permissions")


def _record_groups(instance: Any, action: str, reverse: bool, pk_set: Any, **_: Any) -> None:
    if action not in {ADDED, REMOVED, CLEARED}:
        return
    chosen = instance.user_set.values_list("pk", flat=True) if reverse else instance.groups.values_list("pk", flat=True)
    keys = set(chosen) if action == CLEARED else pk_set
    if reverse:
        for user in User.objects.filter(pk__in=keys):
            _record(user, "groups", action, [instance.name])
    else:
        _record(instance, "groups", action, Group.objects.filter(pk__in=keys).values_list("name", flat=True))


def _record_permissions(instance: Any, action: str, reverse: bool, pk_set: Any, **_: Any) -> None:
    if reverse or action not in {ADDED, REMOVED, CLEARED}:
        return  # nobody gives a permission its users
    rows = instance.user_permissions.all() if action == CLEARED else Permission.objects.filter(pk__in=pk_set)
    names = rows.values_list("content_type__app_label", "codename")
    _record(instance, "permissions", action, [f"{label}.{codename}" for label, codename in names])


def _record(user: User, name: str, action: str, given: Collection[str]) -> None:
    if given:
        values = {name: sorted(given)}
        if action == ADDED:
            record_change(f"give {name}", "user", user.pk, user.email, after=values)
        else:
            record_change(f"take away {name}", "user", user.pk, user.email, before=values)
