"""`Hub` and `AsyncHub`: a taskhub, as one of its users."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from taskhub_client.connection import AsyncConnection, Connection
from taskhub_client.exchange import Flow, Request, call, call_object, idempotent
from taskhub_client.extraction import AsyncExtraction, Extraction
from taskhub_client.notifications import AsyncNotifications, Notifications
from taskhub_client.operations import Awaiting, Blocking, operation
from taskhub_client.runs import AsyncRuns, Runs, as_text
from taskhub_client.schedules import AsyncSchedules, Schedules
from taskhub_client.sequences import AsyncSecrets, AsyncSequences, Secrets, Sequences
from taskhub_client.settings import find_credentials
from taskhub_client.streams import AsyncCrawlers, AsyncStreams, Crawlers, Streams
from taskhub_client.walkers import AsyncWalkers, Walkers
from taskhub_client.webhooks import AsyncWebhooks, Webhooks

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class HubCalls:
    """What `Hub` and `AsyncHub` do themselves."""

    @operation
    def version(self) -> Flow[str]:
        """The hub's version."""
        return str((yield from call_object(Request("GET", "/version")))["version"])

    @operation
    def me(self) -> Flow[dict[str, Any]]:
        """The account whose key is used. Raises `NotSignedIn`."""
        return (yield from call_object(Request("GET", "/user/manage/")))

    @operation
    def queues(self) -> Flow[list[dict[str, Any]]]:
        """The queues of the whole hub: what waits and for how long, what goes on, slots and workers."""
        return list((yield from call_object(Request("GET", "/queues")))["results"])

    @operation
    def workers(self) -> Flow[list[dict[str, Any]]]:
        """The workers that are alive, and the runs that they carry out. Raises `Forbidden`: it is for staff."""
        return list((yield from call_object(Request("GET", "/workers")))["results"])

    @operation
    def usage(
        self, *, bucket: str = "hour", since: datetime | str | None = None, until: datetime | str | None = None
    ) -> Flow[list[dict[str, Any]]]:
        """What was done by `bucket` (`minute`, `hour`, `day`), yours, for staff everybody's.

        Each entry has `bucket`, `pages`, `failed_pages`, `credits`, `inserted` and `updated`.
        """
        query = {"bucket": bucket, "since": as_text(since), "until": as_text(until)}
        said = {name: value for name, value in query.items() if value is not None}
        return list((yield from call_object(Request("GET", "/usage", said)))["results"])

    @operation
    def make_token(self, email: str, password: str, otp: str | None = None) -> Flow[str]:
        """Signs in, and returns a token for some days. `otp` is a code of the account's second factor, if it has one.

        Raises `NotSignedIn` for a wrong password or code, of the type `second-factor` where the code is what is wrong.
        """
        body = {"email": email, "password": password} | ({"otp": otp} if otp else {})
        return str((yield from call_object(Request("POST", "/user/token/", json=body, repeatable=False)))["token"])

    @operation
    def make_key(self, name: str, *, scopes: list[str] | None = None, expires_in: int | None = None) -> Flow[str]:
        """Makes an API key, which is shown this once. `expires_in` is in seconds."""
        members = {"name": name, "scopes": scopes, "expires_in": expires_in}
        body = {key: value for key, value in members.items() if value is not None}
        return str((yield from call_object(Request("POST", "/user/apikey", json=body, repeatable=False)))["key"])

    @operation
    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        idempotency_key: str | None = None,
    ) -> Flow[Any]:
        """Makes any call of the hub, with the same retries and errors, and returns what it answers in JSON."""
        request = Request(
            method,
            path,
            query,
            json=json,
            repeatable=method.upper() in REPEATABLE_METHODS,
            done_status=404 if method.upper() == "DELETE" else None,
        )
        return (yield from call(idempotent(request, idempotency_key) if idempotency_key else request))


class Hub(HubCalls, Blocking):
    """A taskhub, as one of its users. Safe for threads. Use it as a context manager, or `close` it.

    Address and key are those given, or TASKHUB_URL and TASKHUB_KEY, or what `taskhub login` kept. `options` go to
    httpx's client, such as `verify`, `proxy` or `transport`.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, token: str | None = None, **options: Any
    ) -> None:
        connection = Connection(find_credentials(url, key, token), **options)
        super().__init__(connection)
        self.url = connection.credentials.url
        self.walkers = Walkers(connection)
        self.runs = Runs(connection)
        self.sequences = Sequences(connection)
        self.secrets = Secrets(connection)
        self.schedules = Schedules(connection)
        self.streams = Streams(connection)
        self.crawlers = Crawlers(connection)
        self.extraction = Extraction(connection)
        self.webhooks = Webhooks(connection)
        self.notifications = Notifications(connection)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncHub(HubCalls, Awaiting):
    """A taskhub, as one of its users, for asyncio. Its methods are those of `Hub`, awaited."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *, token: str | None = None, **options: Any
    ) -> None:
        connection = AsyncConnection(find_credentials(url, key, token), **options)
        super().__init__(connection)
        self.url = connection.credentials.url
        self.walkers = AsyncWalkers(connection)
        self.runs = AsyncRuns(connection)
        self.sequences = AsyncSequences(connection)
        self.secrets = AsyncSecrets(connection)
        self.schedules = AsyncSchedules(connection)
        self.streams = AsyncStreams(connection)
        self.crawlers = AsyncCrawlers(connection)
        self.extraction = AsyncExtraction(connection)
        self.webhooks = AsyncWebhooks(connection)
        self.notifications = AsyncNotifications(connection)

    async def close(self) -> None:
        await self._connection.close()

    async def __aenter__(self) -> AsyncHub:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
