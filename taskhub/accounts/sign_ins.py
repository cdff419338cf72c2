"""What goes on when somebody signs in with a browser."""

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from uuid_utils.compat import uuid7

from taskhub.accounts.models import ADDRESS_MAX, USER_AGENT_MAX
from taskhub.accounts.session_store import SIGN_IN
from taskhub.web.rest_policies import RouteThrottle


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest, **_: Any) -> None:
    """Writes into the session that begins when, and from where; these are columns of its row."""
    address = RouteThrottle().get_ident(request) or ""  # type: ignore[arg-type]  # it has META
    request.session[SIGN_IN] = {
        "sign_in_id": str(uuid7()),
        "signed_in_at": timezone.now().isoformat(),
        "address": address[:ADDRESS_MAX],
        "user_agent": request.META.get("HTTP_USER_AGENT", "")[:USER_AGENT_MAX],
    }
