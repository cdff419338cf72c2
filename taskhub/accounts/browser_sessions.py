"""What can be done with the sessions of browsers: to see which somebody has, and to end them."""

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from taskhub.accounts.models import BrowserSession, User
from taskhub.audit.services import record_change
from taskhub.errors import NotFound


def open_sessions(user: User) -> QuerySet[BrowserSession]:
    return BrowserSession.objects.filter(user=user, sign_in_id__isnull=False, expire_date__gt=timezone.now())


@transaction.atomic
def end_session(*, user: User, sign_in_id: UUID) -> None:
    """Ends one session of a user: its browser is signed out with its next request. Raises `NotFound`."""
    if not open_sessions(user).filter(sign_in_id=sign_in_id).delete()[0]:
        raise NotFound("There is no such session, or it is not yours.")
    _record_end(user, 1)


@transaction.atomic
def end_sessions(*, user: User, keep: str | None = None) -> int:
    """Ends the user's sessions, all of them or all but the one with the key `keep`; returns how many."""
    sessions = BrowserSession.objects.filter(user=user)
    ended: int = (sessions.exclude(session_key=keep) if keep else sessions).delete()[0]
    if ended:
        _record_end(user, ended)
    return ended


def _record_end(user: User, sessions: int) -> None:
    record_change("end sessions", "user", user.pk, user.email, before={"sessions": sessions})
