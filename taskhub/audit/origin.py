"""Where a change comes from: the request that is answered, the run that goes on, or the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from taskhub.audit.models import Door
from taskhub.client_addresses import client_address
from taskhub.telemetry.log_context import current_request_id, log_context

_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)
_actor: ContextVar[Any] = ContextVar("audit_actor", default=None)


class Origin(NamedTuple):
    """Who makes a change, and how; `user` is None for nobody."""

    door: Door
    user: Any = None
    credential: str = ""
    request_id: str = ""
    run_id: UUID | None = None
    address: str = ""


class OriginMiddleware:
    """Remembers the request for the changes that its view makes. Most change nothing, so nothing is read of it here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(token)


@contextmanager
def acting_as(user: Any) -> Iterator[None]:
    """Has changes in the block be those of a user, where no request says who makes them."""
    token = _actor.set(user)
    try:
        yield
    finally:
        _actor.reset(token)


def is_by_hand() -> bool:
    """Whether a request is answered: what goes on is then what somebody asked for, not what the hub does by itself."""
    return _request.get() is not None


def current_origin() -> Origin:
    request = _request.get()
    if request is not None:
        user = getattr(request, "user", None)  # REST framework sets it, too
        known = user if user is not None and user.is_authenticated else None
        address = client_address(request.META, settings.PROXIES)[:45]
        return Origin(_door_of(request), known, _credential_of(request, known), current_request_id(), None, address)
    run_id = log_context().get("run", "")
    door = Door.RUN if run_id else Door.COMMAND
    return Origin(door, _actor.get(), "", current_request_id(), UUID(run_id) if run_id else None)


def _door_of(request: HttpRequest) -> Door:
    match = request.resolver_match
    namespace = match.namespace if match else ""
    return Door.ADMIN if namespace == "admin" else Door.CONSOLE if namespace == "console" else Door.API


def _credential_of(request: Any, user: Any) -> str:
    """With what the user has shown who he is; never the credential itself."""
    if user is None:
        return ""
    credential = getattr(request, "auth", None)
    if credential is None:
        return "session"
    return str(getattr(credential, "prefix", "") or "token")
