"""What staff do with the accounts of others: find, invite, give a role, let in and keep out."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from taskhub.accounts.browser_sessions import end_sessions
from taskhub.accounts.models import User
from taskhub.accounts.roles import Role, assign_role, role_of
from taskhub.accounts.services import sign_out_everywhere
from taskhub.errors import Conflict, Forbidden, NotFound

SUPERUSER, NO_ROLE = "superuser", "none"


def find_users(*, part: str = "", role: str = "", is_active: bool | None = None) -> QuerySet[User]:
    """Users with `part` in their name or address, of one role: `SUPERUSER`, one of `Role`, or `NO_ROLE`."""
    users = User.objects.all()
    if part:
        users = users.filter(Q(email__icontains=part) | Q(name__icontains=part))
    if is_active is not None:
        users = users.filter(is_active=is_active)
    if role == SUPERUSER:
        return users.filter(is_superuser=True)
    membership = User.groups.through.objects.filter(user=OuterRef("pk"), group__name__in=[role] if role else [])
    if role == NO_ROLE:
        return users.filter(is_staff=False, is_superuser=False)
    return users.filter(Exists(membership), is_staff=True) if role else users


def find_user(user_id: UUID) -> User:
    """Raises `NotFound`."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise _no_user(user_id)
    return user


def _no_user(user_id: UUID) -> NotFound:
    return NotFound(f"There is no user {user_id}.")


def may_administer(actor: Any, user: User | None = None) -> bool:
    """Whether somebody may change the accounts of others, and this one: those of superusers only superusers."""
    if role_of(actor) is not Role.ADMIN:
        return False
    return user is None or (user != actor and (actor.is_superuser or not user.is_superuser))


@transaction.atomic
def change_role(*, user: User, role: Role | None, by: Any) -> User:
    """Gives a user a role, or none. Raises `Forbidden` where `by` may not, and `Conflict` for a superuser, who is above
    roles."""
    user = _administered(user, by)
    if user.is_superuser:
        raise Conflict("Superusers are above roles. Whether somebody is one is said in the admin.")
    assign_role(user, role)
    return user


@transaction.atomic
def change_activity(*, user: User, is_active: bool, by: Any) -> User:
    """Lets a user in, or keeps him out: he can neither sign in nor call, and what is signed in ends. His runs go on."""
    user = _administered(user, by)
    user.is_active = is_active
    user.save(update_fields=["is_active"])
    if not is_active:
        _end_credentials(user)
    return user


@transaction.atomic
def end_credentials(*, user: User, by: Any) -> int:
    """Ends all tokens and sessions of a user; returns how many. API keys stay, which are revoked one by one."""
    return _end_credentials(_administered(user, by))


def _end_credentials(user: User) -> int:
    return end_sessions(user=user) + sign_out_everywhere(user=user)


def _administered(user: User, by: Any) -> User:
    """The user's row, locked. Raises `Forbidden`, and `NotFound` for one that was deleted a moment ago."""
    row = User.objects.select_for_update().filter(pk=user.pk).first()
    if row is None:
        raise _no_user(user.pk)
    if not may_administer(by, row):
        raise Forbidden("Only admins change the accounts of others, and only superusers those of superusers.")
    return row
