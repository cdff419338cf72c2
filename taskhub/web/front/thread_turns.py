"""Turns at the threads of a web process: however many calls one client has waiting, another's comes next.

Addresses take turns, and at one address its callers, by what they call with: a signed-in user is not held up by the
flood of somebody without credentials, nor by another user behind the same proxy. Credentials have not been checked by
then, so a caller can pass for many; callers from other addresses do not notice.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskhub.client_addresses import client_address
from taskhub.fair_share import FairShare
from taskhub.web.client_networks import client_network

Waiters = deque["asyncio.Future[None]"]

CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_COOKIE")


class WebClient(NamedTuple):
    """Where a call comes from, and what it shows for credentials."""

    address: str
    credentials: tuple[str, ...]


def client_of(environ: Mapping[str, Any], proxies: int) -> WebClient:
    """The client of a request; behind so many proxies, whose headers say where it comes from (NUM_PROXIES)."""
    address = client_network(client_address(environ, proxies))
    return WebClient(address, tuple(environ.get(name, "") for name in CREDENTIALS))


class ThreadTurns:
    """As many turns at once as there are threads. For one event loop.

    A caller gets one more only while more of them are free than the caller has, and has no more than `per_caller`: long
    calls of one leave threads, and connections to the database, for the next.
    """

    def __init__(self, threads: int, per_caller: int | None = None) -> None:
        self._share = FairShare(threads, per_caller)
        self._waiting: dict[str, dict[tuple[str, ...], Waiters]] = {}  # by address and credentials; the first is next
        self.count_waiting = 0

    @property
    def all_are_taken(self) -> bool:
        return not self._share.is_open

    async def take(self, client: WebClient) -> None:
        """Waits for a turn, which the client has until `give_back`."""
        if not self._share.try_take(client):
            await self._wait(client)

    async def _wait(self, client: WebClient) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client.address, {}).setdefault(client.credentials, deque()).append(waiter)
        self.count_waiting += 1
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it was this one's turn
                self.give_back(client)
            raise

    def give_back(self, client: WebClient) -> None:
        """Gives a turn back, and what is free to the next callers of the next addresses, as far as they may have it."""
        self._share.give_back(client)
        while next_client := self._take_for_next():
            waiter = self._pop_waiter(next_client)
            if waiter.done():  # it has given up
                self._share.give_back(next_client)
            else:
                waiter.set_result(None)

    def _take_for_next(self) -> WebClient | None:
        """Takes a turn for the next caller who waits and may have one more."""
        if self.all_are_taken:
            return None
        for address, callers in self._waiting.items():
            for credentials in callers:
                if self._share.try_take(client := WebClient(address, credentials)):
                    return client
        return None

    def _pop_waiter(self, client: WebClient) -> "asyncio.Future[None]":
        """Takes the first call of a caller out of those that wait; the address and the caller are the last in turn."""
        callers = self._waiting.pop(client.address)
        waiters = callers.pop(client.credentials)
        waiter = waiters.popleft()
        self.count_waiting -= 1
        if waiters:
            callers[client.credentials] = waiters
        if callers:
            self._waiting[client.address] = callers
        return waiter
