"""Turns at the threads of a web process: however many calls one client has waiting, another's comes next.

Addresses take turns, and at one address its callers, by what they call with: a signed-in user is not held up by the
flood of somebody without credentials, nor by another user behind the same proxy. Credentials have not been checked by
then, so a caller can pass for many; callers from other addresses do not notice.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from taskhub.web.client_networks import client_network

Key = TypeVar("Key")
Value = TypeVar("Value")
Waiters = deque["asyncio.Future[None]"]

CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_COOKIE")


class WebClient(NamedTuple):
    """Where a call comes from, and what it shows for credentials."""

    address: str
    credentials: tuple[str, ...]


def client_of(environ: Mapping[str, Any], proxies: int) -> WebClient:
    """The client of a request; behind so many proxies, whose headers say where it comes from (NUM_PROXIES)."""
    forwarded = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    address = forwarded[-min(proxies, len(forwarded))] if proxies else ""
    address = client_network(address or environ["REMOTE_ADDR"])
    return WebClient(address, tuple(environ.get(name, "") for name in CREDENTIALS))


class ThreadTurns:
    """As many turns at once as there are threads. For one event loop."""

    def __init__(self, threads: int) -> None:
        self._free = threads
        self._waiting: dict[str, dict[tuple[str, ...], Waiters]] = {}  # by address and credentials; the first is next
        self.count_waiting = 0

    @asynccontextmanager
    async def turn(self, client: WebClient) -> AsyncIterator[None]:
        """Waits for a turn, which the block has."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: WebClient) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client.address, {}).setdefault(client.credentials, deque()).append(waiter)
        self.count_waiting += 1
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it was this one's turn
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Gives a turn that has ended to the next caller of the next address."""
        while self._waiting:
            address, callers = _pop_first(self._waiting)
            credentials, waiters = _pop_first(callers)
            waiter = waiters.popleft()
            self.count_waiting -= 1
            if waiters:
                callers[credentials] = waiters
            if callers:
                self._waiting[address] = callers
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


def _pop_first(of: dict[Key, Value]) -> tuple[Key, Value]:
    key = next(iter(of))
    return key, of.pop(key)
