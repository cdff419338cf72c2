"""Webhooks as Standard Webhooks say (https://github.com/standard-webhooks/standard-webhooks, specification). Pure."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum

PREFIX = "whsec_"
SECRET_BYTES = 32

# Seconds after each attempt that failed; the last attempt is made about a day after the first.
RETRY_DELAYS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 8 * 3600, 8 * 3600)


class Verdict(StrEnum):
    DELIVERED = "delivered"
    GONE = "gone"  # nobody wants to hear of it any more
    AGAIN = "again"


def verdict(status: int) -> Verdict:
    """What the status of an answer means. A redirect is no delivery, and is not followed."""
    if 200 <= status < 300:
        return Verdict.DELIVERED
    return Verdict.GONE if status == 410 else Verdict.AGAIN


def secret_text(key: bytes) -> str:
    """A signing secret as users copy it."""
    return PREFIX + base64.b64encode(key).decode()


def signatures(secrets: Iterable[str], *, message: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature a secret, parted by spaces; while secrets rotate there are two."""
    signed = f"{message}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets)


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
