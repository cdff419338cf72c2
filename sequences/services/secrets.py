"""Secrets of users, and those of all, which staff keep: values that sequences use and nobody is shown again."""

import re
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet

from sequences.models import StoredSecret
from taskhub.audit.services import record_change
from taskhub.errors import Forbidden, NotFound, invalid

NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_]{0,99}"
VALUE_MAX = 65_536  # characters
SECRETS_MAX = 1000  # of one owner
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('sequences secrets'), hashtext(%s))"


def save_secret(*, user: Any, name: str, value: str, is_global: bool) -> StoredSecret:
    """Stores a secret, or another value of it. Raises `Rejected`, and `Forbidden` where a global one is not staff's."""
    _check_name(name)
    _check_global(user, is_global)
    if not 1 <= len(value) <= VALUE_MAX or "\x00" in value:
        raise invalid("/value", f"A secret is a text of 1 to {VALUE_MAX} characters, without U+0000.")
    owner = None if is_global else user
    with transaction.atomic():
        _lock_secrets(owner)
        if StoredSecret.objects.filter(owner=owner).exclude(name=name).count() >= SECRETS_MAX:
            raise invalid("/name", f"There are {SECRETS_MAX} secrets already.")
        secret, is_new = StoredSecret.objects.update_or_create(owner=owner, name=name, defaults={"value": value})
        _record("create" if is_new else "change", owner, name)
    return secret


def _lock_secrets(owner: Any) -> None:
    """Has those who change the secrets of an owner, or the global ones, do it one after the other."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [str(owner.pk) if owner else ""])


def _record(action: str, owner: Any, name: str) -> None:
    """The audit log knows the name alone: the value is nobody's to see."""
    shown = name if owner is not None else f"{name} (for everybody)"
    record_change(action, "secret", name, shown, owner_id=owner and owner.pk)


def visible_secrets(user: Any) -> QuerySet[StoredSecret]:
    """A user's secrets and the global ones, without their values."""
    return StoredSecret.objects.usable_by(user.pk).defer("value")


def delete_secret(*, user: Any, name: str, is_global: bool) -> None:
    """Raises `NotFound`, and `Forbidden` where a global one is not staff's."""
    _check_global(user, is_global)
    owner = None if is_global else user
    with transaction.atomic():
        _lock_secrets(owner)
        if not StoredSecret.objects.filter(owner=owner, name=name).delete()[0]:
            raise NotFound(f"There is no secret {name[:100]}.")
        _record("delete", owner, name)


def secret_value(owner_id: UUID, name: str) -> str | None:
    """The value of a secret for the sequences of an owner: their own, else the global one, else None."""
    secret = StoredSecret.objects.usable_by(owner_id).filter(name=name).order_by(F("owner").asc(nulls_last=True))
    found = secret.first()
    return None if found is None else str(found.value)


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise invalid("/name", "A secret's name has letters, digits and _, up to 100, and does not begin with a digit.")


def _check_global(user: Any, is_global: bool) -> None:
    if is_global and not user.reaches_all:
        raise Forbidden("Secrets for everybody are kept by staff.")
