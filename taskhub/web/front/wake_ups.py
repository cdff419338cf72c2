"""How answers that wait are woken."""

import asyncio

from taskhub.web.front.front_state import FrontState
from taskhub.web.front.responses import WakeUpSource


class ClientGone(Exception):
    """The client left, or takes nothing of its answer."""


class WakeUps:
    """What a waiting answer is woken by: its subscription, the end of this process, and the client's leaving."""

    def __init__(self, front: FrontState, subscription: WakeUpSource, loop: asyncio.AbstractEventLoop) -> None:
        self._subscription = subscription
        self._wake = asyncio.Event()
        self.client_left = False
        subscription.call_on_wake(lambda: loop.call_soon_threadsafe(self._wake.set))
        front.open_waits.add(self._wake)
        self._front = front

    async def wait(self, seconds: float) -> None:
        """Until a wake-up, at most so long. Raises `ClientGone`."""
        if not self._front.stopping:
            try:
                async with asyncio.timeout(max(0.0, min(seconds, self._subscription.longest_wait))):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
        if self.client_left:
            raise ClientGone

    def client_leaves(self) -> None:
        self.client_left = True
        self._wake.set()

    def close(self) -> None:
        self._front.open_waits.discard(self._wake)
