"""The second factor of an account: codes of an authenticator app (TOTP, RFC 6238), and recovery codes in its place.

Who has one signs in with a code beside the password. A code counts once. After some wrong ones each further try has to
wait, longer each time, so that nobody who knows the password guesses the million that there are.
"""

import logging
import math
import re
import secrets
from base64 import b32encode
from datetime import datetime, timedelta

import pyotp
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from knox.models import AuthToken
from pyotp.exceptions import OTPVerificationError

from taskhub.accounts.browser_sessions import end_sessions
from taskhub.accounts.models import SecondFactor, User, hashed
from taskhub.audit.services import record_change
from taskhub.errors import Conflict, Rejected, TooMany, Unauthenticated, invalid

log = logging.getLogger(__name__)

ISSUER = "taskhub"  # as authenticator apps show it
PENDING = timedelta(minutes=15)  # in which a new secret has to be confirmed
RECOVERY_CODES = 10
FREE_FAILURES = 5  # wrong codes after which none has to wait
FIRST_PAUSE, LONGEST_PAUSE = 30, 3600  # seconds; each further wrong code doubles the pause
WRONG_CODE = "This code is wrong, or was used before."
CODE_NEEDED = "The account has a second factor: a code of it is needed."


# What there is


def active_factor(user: User | AnonymousUser) -> SecondFactor | None:
    return SecondFactor.objects.filter(user=user.pk, confirmed_at__isnull=False).first()


def pending_factor(user: User) -> SecondFactor | None:
    """A secret that still has to be confirmed."""
    since = timezone.now() - PENDING
    return SecondFactor.objects.filter(user=user, confirmed_at=None, created_at__gt=since).first()


def provisioning_uri(factor: SecondFactor) -> str:
    """The address that authenticator apps read of a QR code (the "Key Uri Format" of Google Authenticator)."""
    return pyotp.TOTP(factor.secret).provisioning_uri(name=factor.user.email, issuer_name=ISSUER)


# Turning on and off


@sensitive_variables()
@transaction.atomic
def begin_factor(*, user: User, current_password: str) -> SecondFactor:
    """Makes a secret, which counts once it is confirmed. Raises `Rejected`, and `Conflict` where one counts already."""
    _check_password(user, current_password)
    User.objects.select_for_update().get(pk=user.pk)
    if active_factor(user):
        raise Conflict("The account has a second factor already.")
    SecondFactor.objects.filter(user=user).delete()
    return SecondFactor.objects.create(user=user, secret=pyotp.random_base32())


@sensitive_variables()
@transaction.atomic
def confirm_factor(*, user: User, code: str, keep_session: str | None = None) -> list[str]:
    """Turns the second factor on by its first code, and gives recovery codes, which cannot be had again.

    What signed in without it ends: all tokens, and all sessions of browsers but the one with the key `keep_session`.
    Raises `Rejected` for a wrong code, and `Conflict` where there is nothing to confirm.
    """
    factor = SecondFactor.objects.select_for_update().filter(user=user).first()
    if factor is None or factor.confirmed_at or factor.created_at <= timezone.now() - PENDING:
        raise Conflict("There is no new second factor to confirm: begin again.")
    if not _takes_code(factor, code, timezone.now()):
        raise invalid("/otp", "This is not the code that the app shows now.")
    factor.confirmed_at = timezone.now()
    codes = _renew_codes(factor)
    AuthToken.objects.filter(user=user).delete()
    end_sessions(user=user, keep=keep_session)
    record_change("turn on second factor", "user", user.pk, user.email)
    return codes


@sensitive_variables()
def renew_recovery_codes(*, user: User, current_password: str, code: str) -> list[str]:
    """New recovery codes in place of those that there were. Raises `Rejected`, `Conflict` and `TooMany`."""
    _check_password_and_code(user, current_password, code)
    with transaction.atomic():
        record_change("renew recovery codes", "user", user.pk, user.email)
        return _renew_codes(SecondFactor.objects.select_for_update().get(user=user))


@sensitive_variables()
def remove_factor(*, user: User, current_password: str, code: str) -> None:
    """Turns the second factor off. Raises `Rejected`, `Conflict` and `TooMany`."""
    _check_password_and_code(user, current_password, code)
    delete_factor(user=user)


@transaction.atomic
def delete_factor(*, user: User) -> bool:
    """Turns the second factor off as operators do; returns whether there was one."""
    if not SecondFactor.objects.filter(user=user).delete()[0]:
        return False
    record_change("turn off second factor", "user", user.pk, user.email)
    return True


# At a sign-in


@sensitive_variables()
def require_code(user: User, code: str | None) -> None:
    """Raises `Unauthenticated` where a second factor needs another code than this, or any; and `TooMany`."""
    if not active_factor(user):
        return
    if not code:
        raise Unauthenticated(f"{CODE_NEEDED} Send it as `otp`.", type="second-factor")
    try:
        check_code(user, code)
    except Rejected as refusal:
        raise Unauthenticated(WRONG_CODE, type="second-factor", errors=refusal.errors) from None


@sensitive_variables()
def check_code(user: User, code: str) -> None:
    """Takes a code, which does not count again. Raises `Rejected` for a wrong one, and `TooMany` after many."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user, confirmed_at__isnull=False).first()
        if factor is None:  # it was removed a moment ago
            return
        now = timezone.now()
        if seconds := _pause_left(factor, now):
            raise TooMany(f"There were too many wrong codes: try again in {seconds} s.", retry_after=seconds)
        is_right = _takes_code(factor, code, now)
        factor.failures, factor.failed_at = (0, None) if is_right else (factor.failures + 1, now)
        factor.save()
    if not is_right:
        log.warning("A wrong code of the second factor of user %s", user.pk)
        raise invalid("/otp", WRONG_CODE)


def _takes_code(factor: SecondFactor, code: str, now: datetime) -> bool:
    """Whether a code is right. If so, it is used up: in the row, which is not stored here."""
    text = re.sub(r"[\s-]", "", code).lower()
    if re.fullmatch(r"[0-9]{6}", text):
        # One step of 30 seconds earlier or later is taken, too: clocks differ, and people need time to type.
        try:
            step = pyotp.TOTP(factor.secret).verify_and_get_timecode(text, for_time=now, valid_window=1)
        except OTPVerificationError:
            return False
        is_new = step > factor.last_step
        factor.last_step = max(step, factor.last_step)
        return is_new
    if hashed(text) not in factor.recovery_hashes:
        return False
    factor.recovery_hashes.remove(hashed(text))
    return True


def _pause_left(factor: SecondFactor, now: datetime) -> int:
    """The seconds for which no code is looked at."""
    if factor.failed_at is None or factor.failures < FREE_FAILURES:
        return 0
    pause: int = min(FIRST_PAUSE * 2 ** min(factor.failures - FREE_FAILURES, 20), LONGEST_PAUSE)
    return max(0, math.ceil(pause - (now - factor.failed_at).total_seconds()))


def _renew_codes(factor: SecondFactor) -> list[str]:
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    factor.recovery_hashes = [hashed(code) for code in codes]
    factor.save()
    return ["-".join(re.findall("....", code)) for code in codes]


def _check_password(user: User, current_password: str) -> None:
    if not user.check_password(current_password):
        raise invalid("/current_password", "This is not the current password.")


def _check_password_and_code(user: User, current_password: str, code: str) -> None:
    _check_password(user, current_password)
    if not active_factor(user):
        raise Conflict("The account has no second factor.")
    check_code(user, code)
