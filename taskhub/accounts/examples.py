"""Examples of the account calls, as the OpenAPI document shows them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

_ID = "7b0c9a52-5d35-4a1c-9a5e-0f6a3f1f2c11"
_USER = {
    "id": _ID,
    "jid": f"urn:uuid:{_ID}",
    "email": "ada@example.com",
    "name": "Ada",
    "is_staff": False,
    "created_at": "2026-11-22T09:00:00Z",
}
_KEY = {
    "prefix": "thk_3f9a1c07be55",
    "name": "nightly report",
    "scopes": ["read", "run"],
    "created_at": "2026-11-22T09:05:00Z",
    "expires_at": "2026-12-22T09:05:00Z",
}

_SESSION = {
    "id": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
    "address": "192.0.2.7",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "signed_in_at": "2026-11-22T09:00:00Z",
    "seen_at": "2026-11-22T11:30:00Z",
    "expires_at": "2026-12-06T09:00:00Z",
    "is_this": True,
}


def _sent(name: str, body: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, body, request_only=True)


def _answered(name: str, body: dict[str, Any], status: int = 200) -> OpenApiExample:
    return OpenApiExample(name, body, response_only=True, status_codes=[str(status)])


def user(status: int) -> OpenApiExample:
    return _answered("The account", _USER, status)


PREFIX = OpenApiParameter(
    "prefix",
    str,
    OpenApiParameter.PATH,
    description="What the key begins with.",
    examples=[OpenApiExample("A key", _KEY["prefix"])],
)
SESSION_ID = OpenApiParameter(
    "id",
    UUID,
    OpenApiParameter.PATH,
    description="The session's id.",
    examples=[OpenApiExample("A session", _SESSION["id"])],
)
SIGN_UP = _sent("Signing up", {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"})
SIGN_IN = _sent("Signing in", {"email": "ada@example.com", "password": "correct horse battery"})
TOKEN = _answered("A token", {"token": "tht_5c1f...", "expiry": "2026-12-02T09:00:00Z"})
CHANGE = _sent("A new password", {"password": "battery horse correct", "current_password": "correct horse battery"})
NEW_KEY = _sent("A key for a month", {"name": "nightly report", "expires_in": 2592000, "scopes": ["read", "run"]})
SHOWN_KEY = _answered("The key", {"key": "thk_3f9a1c07be55_Wq0...", **_KEY}, 201)
KEY = _answered("Keys", {**_KEY, "owner": "ada@example.com", "last_used_at": None})
SESSION = _answered("A session", _SESSION)
