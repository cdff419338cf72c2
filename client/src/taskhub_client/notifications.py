"""Notification rules: who is told of failures and the like, by webhook or e-mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskhub_client.exchange import Flow, Request, call_object, idempotent, pages, remove
from taskhub_client.operations import Awaiting, Blocking, emits, operation
from taskhub_client.runs import as_text

JsonObject = dict[str, Any]
Objects = list[JsonObject]


class NotificationCalls:
    """`hub.notifications`."""

    @operation
    def create(self, /, name: str, on: Sequence[str], to: Mapping[str, Any], **members: Any) -> Flow[JsonObject]:
        """Makes a rule. `on` are events such as `run.failed`; `to` is `{"webhook": url}` or `{"email": [address]}`.

        `members` are the others of `POST /notifications`: `filter`, `quiet`, `slow_after`, `enabled` and so on.
        """
        body = {"name": name, "on": [*on], "to": dict(to), **members}
        return (yield from call_object(idempotent(Request("POST", "/notifications", json=body))))

    @emits(JsonObject)
    def list(self, /, **filters: Any) -> Flow[None]:
        """Iterates over rules, newest first; the filters are `on`, `enabled`."""
        query = {name: as_text(value) for name, value in filters.items() if value is not None}
        return (yield from pages("/notifications", query))

    @operation
    def get(self, rule_id: int) -> Flow[JsonObject]:
        """A rule."""
        return (yield from call_object(Request("GET", f"/notifications/{rule_id}")))

    @operation
    def update(self, /, rule_id: int, **changes: Any) -> Flow[JsonObject]:
        """Changes these members."""
        return (yield from call_object(Request("PATCH", f"/notifications/{rule_id}", json=changes)))

    @operation
    def delete(self, rule_id: int) -> Flow[None]:
        """Removes a rule; what it has sent stays."""
        yield from remove(f"/notifications/{rule_id}")

    @operation
    def test(self, rule_id: int) -> Flow[Objects]:
        """Sends a test to each receiver of a rule, and returns the messages."""
        answer = yield from call_object(idempotent(Request("POST", f"/notifications/{rule_id}/test")))
        return [dict(message) for message in answer["results"]]

    @emits(JsonObject)
    def messages(self, rule_id: int) -> Flow[None]:
        """Iterates over what a rule has sent, newest first, with each attempt to deliver it."""
        return (yield from pages(f"/notifications/{rule_id}/messages"))


class Notifications(NotificationCalls, Blocking):
    """`hub.notifications`."""


class AsyncNotifications(NotificationCalls, Awaiting):
    """`hub.notifications` for asyncio."""
