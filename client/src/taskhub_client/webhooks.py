"""Webhooks of the hub: secrets, and the check of a signature as Standard Webhooks (version 1) define it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from taskhub_client.errors import HubError
from taskhub_client.exchange import Flow, Request, call_object
from taskhub_client.operations import Awaiting, Blocking, operation

TOLERANCE_SECONDS = 300


class InvalidSignature(HubError):
    """The message is not from the hub, it was changed, or it is old."""


def verify(body: bytes, headers: Mapping[str, str], *secrets: str) -> dict[str, Any]:
    """The event in a message, if one of the secrets signed it within the last five minutes.

    `body` are the bytes as they came. Raises `InvalidSignature`. Nothing but the standard library is needed for it: a
    receiver need not call the hub.
    """
    by_name = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, sent_at = by_name["webhook-id"], by_name["webhook-timestamp"]
        signatures = by_name["webhook-signature"].split()
        age = abs(time.time() - int(sent_at))
    except (KeyError, ValueError) as error:
        raise InvalidSignature("The headers webhook-id, webhook-timestamp and webhook-signature are needed.") from error
    if age > TOLERANCE_SECONDS:
        raise InvalidSignature("The message is older than five minutes, or from the future.")
    signed = f"{message_id}.{sent_at}.".encode() + body
    for secret in secrets:
        digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(digest).decode()}".encode()
        if any(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
            return dict(json.loads(body))
    raise InvalidSignature("None of the secrets made this signature.")


class WebhookCalls:
    """`hub.webhooks`."""

    @operation
    def secrets(self) -> Flow[dict[str, Any]]:
        """The secret that signs, and those that still do for a while."""
        return (yield from call_object(Request("GET", "/webhooks/secret")))

    @operation
    def rotate(self, keep_hours: float | None = None) -> Flow[dict[str, Any]]:
        """Makes a new secret; the present one signs, too, for `keep_hours`."""
        body = {} if keep_hours is None else {"keep_hours": keep_hours}
        request = Request("POST", "/webhooks/secret/rotate", json=body, repeatable=False)
        return (yield from call_object(request))

    @operation
    def verify(self, body: bytes, headers: Mapping[str, str]) -> Flow[dict[str, Any]]:
        """The event in a message of this hub to you. Raises `InvalidSignature`; see the function `verify`."""
        answer = yield from call_object(Request("GET", "/webhooks/secret"))
        kept = [answer["current"], *answer.get("retiring", ())]
        return verify(body, headers, *(secret["secret"] for secret in kept))


class Webhooks(WebhookCalls, Blocking):
    """`hub.webhooks`."""


class AsyncWebhooks(WebhookCalls, Awaiting):
    """`hub.webhooks` for asyncio."""
