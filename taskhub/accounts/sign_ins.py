"""What goes on when somebody signs in with a browser: a note of it, and the second step of who has a second factor."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from uuid_utils.compat import uuid7

from taskhub.accounts.models import ADDRESS_MAX, USER_AGENT_MAX, User
from taskhub.accounts.session_store import SIGN_IN
from taskhub.client_addresses import client_address

STEP = "second_step"  # under which a session has it
SECOND_STEP = timedelta(minutes=10)  # in which the code has to come


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, **_: Any) -> None:
    """Writes into the session that begins when, and from where; these are columns of its row."""
    request.session[SIGN_IN] = {
        "sign_in_id": str(uuid7()),
        "signed_in_at": timezone.now().isoformat(),
        "address": client_address(request.META, settings.PROXIES)[:ADDRESS_MAX],
        "user_agent": request.META.get("HTTP_USER_AGENT", "")[:USER_AGENT_MAX],
    }


# Those with a second factor sign in by two steps. Between them the session knows who has given the password.


def begin_second_step(request: HttpRequest, user: User, back: str) -> None:
    """Keeps who gave the right password, and where to go on to, `back`, for the next minutes.

    The session gets another key: who has put the one that there was into somebody's browser shares no step with him.
    """
    request.session.cycle_key()
    until = timezone.now() + SECOND_STEP
    request.session[STEP] = {
        "user": str(user.pk),
        "hash": user.get_session_auth_hash(),
        "until": until.isoformat(),
        "back": back,
    }


def second_step(request: HttpRequest) -> tuple[User, str] | None:
    """Who still has to give a code, and where to go on to; None for whoever has to give the password first."""
    kept = request.session.get(STEP)
    if not kept or datetime.fromisoformat(kept["until"]) <= timezone.now():
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    if user is None or not constant_time_compare(kept["hash"], user.get_session_auth_hash()):
        return None  # deleted, or with another password, since
    return user, kept["back"]


def end_second_step(request: HttpRequest, user: User) -> None:
    """Signs in whoever gave a right code."""
    del request.session[STEP]
    login(request, user)
