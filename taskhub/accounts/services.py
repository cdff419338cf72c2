"""What can be done with accounts: to sign up, in and out, to change or delete one, and to make and revoke API keys."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import CharField, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.dispatch import receiver
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from knox.models import AuthToken

from taskhub.accounts.browser_sessions import end_sessions
from taskhub.accounts.models import (
    AUDITED,
    EMAIL_TAKEN,
    PREFIX,
    ApiKey,
    BrowserSession,
    KeptCredentials,
    SecondFactor,
    User,
    hashed,
    new_key,
    password_changed,
)
from taskhub.accounts.removal import remove_deleted
from taskhub.accounts.second_factors import require_code
from taskhub.audit.services import prune_entries, record_change
from taskhub.errors import Conflict, NotFound, Rejected, Unauthenticated
from taskhub.security.scopes import ALL_SCOPES

KEYS_MAX = 1000  # a user; far more than anybody needs, and few enough that nobody fills the table
USE_STORED_EVERY = timedelta(minutes=1)  # a write in every request would cost more than the answer is worth
PRUNE_BATCH = 1000
SIGN_UP_CLOSED = "Sign-up is closed here; ask its staff for an account."


class IssuedToken(NamedTuple):
    """A token in plain text, which is shown once, and its end."""

    token: str
    expiry: datetime | None


# Signing up, in and out


@sensitive_variables("password")
def sign_up(*, email: str, password: str, name: str = "", by_staff: bool = False) -> User:
    """Creates a user. Raises `Rejected` for a taken address, and for a password that the validators refuse."""
    user = User(email=email, name=name, email_unconfirmed=not by_staff)
    _check_password(password, user)
    user.set_password(password)
    save_account(user=user)
    return user


@sensitive_variables("password", "otp")
def sign_in(*, email: str, password: str, otp: str | None = None) -> IssuedToken:
    """Creates a token. An unknown address, a wrong password and an inactive user fail alike, and take the same time.

    Of those with a second factor `otp` is its code. Raises `Unauthenticated`, and `TooMany` after many wrong codes.
    """
    user = authenticate(email=email, password=password)
    if isinstance(user, User):
        require_code(user, otp)
    with transaction.atomic():
        # The condition closes a gap: a password changed since it was checked ends this sign-in, too.
        if user is None or not _unchanged(user).update(last_login=timezone.now()):
            raise Unauthenticated("The e-mail address or the password is wrong.")
        row, token = AuthToken.objects.create(user)
    return IssuedToken(token, row.expiry)


@transaction.atomic
def sign_out(*, token: AuthToken) -> None:
    token.delete()
    record_change("end tokens", "user", token.user_id, token.user.email, before={"tokens": 1})


@transaction.atomic
def sign_out_everywhere(*, user: User, keep: AuthToken | None = None) -> int:
    """Deletes the user's tokens, all of them or all but `keep`; returns how many. API keys stay."""
    tokens = AuthToken.objects.filter(user=user)
    ended: int = (tokens.exclude(pk=keep.pk) if keep else tokens).delete()[0]
    if ended:
        record_change("end tokens", "user", user.pk, user.email, before={"tokens": ended})
    return ended


# The account itself


def save_account(*, user: User) -> None:
    """Stores a new or changed user. Raises `Rejected` when another user has the address, in whatever case."""
    user.email = User.objects.normalize_email(user.email)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        if "accounts_user_email" not in str(error):
            raise
        raise _invalid("/email", EMAIL_TAKEN) from None


@sensitive_variables("password", "current_password")
@transaction.atomic
def change_account(
    *,
    user: User,
    name: str | None = None,
    email: str | None = None,
    password: str | None = None,
    current_password: str | None = None,
    keep: AuthToken | None = None,
    keep_session: str | None = None,
) -> User:
    """Changes what is not None. A new address or password needs the current password, whatever the credential is.

    A new password deletes all tokens but `keep`, and ends all sessions but the one with the key `keep_session`.
    """
    user = _locked(user)
    if (email is not None or password is not None) and not user.check_password(current_password):
        raise _invalid("/current_password", "This is not the current password.")
    if name is not None:
        user.name = name
    if email is not None:
        user.email_unconfirmed |= User.objects.normalize_email(email) != user.email
        user.email = email
    if password is not None:
        _check_password(password, user)
        user.set_password(password)
        user.kept = KeptCredentials(keep, keep_session)
    save_account(user=user)
    return user


@sensitive_variables("password")
@transaction.atomic
def set_password(*, user: User, password: str | None) -> None:
    """Sets a password as operators do, without the current one. None: nobody can sign in."""
    user.set_password(password)
    user.save(update_fields=["password"])


@receiver(password_changed)
def end_credentials(user: User, **_: Any) -> None:
    """Deletes all tokens and ends all sessions of who has another password, whoever has set it and by whichever door:
    `manage.py changepassword` is one. What `user.kept` names stays."""
    sign_out_everywhere(user=user, keep=user.kept.token)
    end_sessions(user=user, keep=user.kept.session_key)


@transaction.atomic
def delete_accounts(*, users: QuerySet[User]) -> None:
    """Marks the users as deleted: nobody can sign in or call as them any more, and their addresses are free.

    What they own may be millions of rows: `prune` removes it.
    """
    rows = list(users.select_for_update())
    ids = [user.pk for user in rows]
    for user in rows:
        before = {name: getattr(user, name) for name in AUDITED}
        record_change("delete", "user", user.pk, user.email, before=before)
    AuthToken.objects.filter(user__in=ids).delete()
    ApiKey.objects.filter(user__in=ids).delete()
    BrowserSession.objects.filter(user__in=ids).delete()
    SecondFactor.objects.filter(user__in=ids).delete()
    User.objects.filter(pk__in=ids).update(
        email=Concat(Cast("pk", CharField()), Value("@deleted.invalid")),
        name="",
        password=make_password(None),
        is_active=False,
        deleted_at=timezone.now(),
    )


# Keys


@transaction.atomic
def create_key(
    *,
    user: User,
    name: str = "",
    expires_in: int | None = None,
    scopes: Collection[str] | None = None,
    maker: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    """A stored key and its text, which cannot be had again. `expires_in` counts seconds; None never expires.

    A key that was made by another, its `maker`, has no more scopes than that and no later end; where nothing is said,
    it has the maker's. Raises `Rejected` for more.
    """
    now = timezone.now()
    held = maker.scopes if maker else ALL_SCOPES
    if lacking := sorted(set(scopes or ()).difference(held)):
        raise _invalid("/scopes", f"The key that makes it lacks the scope '{lacking[0]}'.")
    expires_at = None if expires_in is None else now + timedelta(seconds=expires_in)
    if maker and maker.expires_at and (expires_at := expires_at or maker.expires_at) > maker.expires_at:
        raise _invalid("/expires_in", "The key that makes it expires before.")
    _locked(user)  # two at once would both pass the count
    if ApiKey.objects.filter(user=user).alive(now).count() >= KEYS_MAX:
        raise Conflict(f"You have {KEYS_MAX} API keys; revoke one first.")
    text, prefix = new_key()
    key = ApiKey.objects.create(
        user=user,
        prefix=prefix,
        name=name,
        hash=hashed(text),
        created_at=now,
        expires_at=expires_at,
        scopes=[scope for scope in held if scope in (scopes or held)],
    )
    _record_key("create", key, user, after=_values_of_key(key))
    return key, text


@transaction.atomic
def revoke_key(*, user: User, prefix: str) -> None:
    """Deletes a key of the user's; staff may delete anybody's. Raises `NotFound`."""
    keys = ApiKey.objects.visible_to(user).filter(prefix=prefix)
    if not PREFIX.fullmatch(prefix) or not revoke_keys(keys=keys):
        raise NotFound("There is no such API key, or it is not yours.")


@transaction.atomic
def revoke_keys(*, keys: QuerySet[ApiKey]) -> int:
    """Deletes keys; returns how many."""
    rows = list(keys.select_related("user").select_for_update(of=("self",)))
    for key in rows:
        _record_key("revoke", key, key.user, before=_values_of_key(key))
    ApiKey.objects.filter(pk__in=[key.pk for key in rows]).delete()
    return len(rows)


def _values_of_key(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "scopes": key.scopes, "expires_at": key.expires_at}


def _record_key(action: str, key: ApiKey, user: User, **values: Any) -> None:
    record_change(action, "API key", key.prefix, key.name, owner_id=user.pk, **values)


def store_use(*, key: ApiKey, now: datetime) -> None:
    """Stores when a key was used last, at most once a minute."""
    due = now - USE_STORED_EVERY
    if key.last_used_at is None or key.last_used_at <= due:
        unless_stored = ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=due), pk=key.pk)
        unless_stored.update(last_used_at=now)


def prune(now: datetime) -> int:
    """Deletes expired tokens, keys and sessions, and a batch of what deleted accounts own; returns how many rows."""
    expired = [
        AuthToken.objects.filter(expiry__lte=now),
        ApiKey.objects.filter(expires_at__lte=now),
        BrowserSession.objects.filter(expire_date__lte=now),
        Session.objects.all(),  # of releases whose sessions were Django's: they sign nobody in any more
    ]
    return sum(map(_delete_all, expired)) + remove_deleted() + prune_entries(now)


def _delete_all(rows: QuerySet[Any]) -> int:
    total = 0
    while deleted := rows.filter(pk__in=rows.values("pk")[:PRUNE_BATCH]).delete()[0]:
        total += deleted
    return total


def _locked(user: User) -> User:
    row = User.objects.select_for_update().filter(pk=user.pk).first()
    if row is None:
        raise Unauthenticated("The account was deleted a moment ago.")
    return row


def _unchanged(user: User) -> QuerySet[User]:
    """The user's row, if it still has the password that was checked."""
    return User.objects.filter(pk=user.pk, password=user.password, is_active=True)


@sensitive_variables("password")
def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise _invalid("/password", *error.messages) from None


def _invalid(pointer: str, *details: str) -> Rejected:
    return Rejected("Some fields are not valid.", errors=[{"pointer": pointer, "detail": detail} for detail in details])
