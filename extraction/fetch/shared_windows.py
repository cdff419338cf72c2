"""Shares the windows of a browser between owners."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from taskhub.fair_share import FairShare


class SharedWindows:
    """The windows that a browser may show at once, shared between owners; who waits is served in the order of arrival.

    An owner gets half of them at most, see `FairShare`.
    """

    def __init__(self, windows: int) -> None:
        self._share = FairShare(windows)
        self._waiting: list[tuple[Hashable, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def hold(self, owner: Hashable) -> AsyncIterator[None]:
        """Holds one window until the block ends; waits for it as long as it takes."""
        if self._share.is_open_to(owner):
            self._share.take(owner)
        else:
            await self._wait(owner)
        try:
            yield
        finally:
            self._give_back(owner)

    async def _wait(self, owner: Hashable) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((owner, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._waiting.remove((owner, granted))
            else:  # it was granted at the same moment
                self._give_back(owner)
            raise

    def _give_back(self, owner: Hashable) -> None:
        self._share.give_back(owner)
        for waiter in list(self._waiting):
            if self._share.is_open_to(waiter[0]) and not waiter[1].done():
                self._waiting.remove(waiter)
                self._share.take(waiter[0])
                waiter[1].set_result(None)
