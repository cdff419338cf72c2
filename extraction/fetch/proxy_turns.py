"""Several proxies of one process, which take turns; one that fails rests for a while."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable

from extraction.fetch.host_limits import HostLimits

REST_SECONDS = 60


class ProxyTurns:
    """The proxies of a process, whose pages take one after the other; without any, each takes none.

    What rests is shared through `hosts`: a page that is tried again, in another slice maybe, goes by another proxy.
    """

    def __init__(
        self, addresses: Iterable[str], process: object, hosts: HostLimits, clock: Callable[[], float] = time.time
    ) -> None:
        self._waiting, self._process, self._hosts, self._clock = deque(addresses), process, hosts, clock
        self._resting: dict[str, float] = {}  # until when, by the clock

    async def load(self) -> None:
        """Learns which proxies rest already."""
        if len(self._waiting) < 2:
            return
        addresses = list(self._waiting)
        found = await self._hosts.get_all_shared("proxy", map(self._name, addresses))
        self._resting |= {address: float(till) for address, till in zip(addresses, found, strict=False) if till}

    def take(self) -> str:
        """The proxy whose turn it is. Where all rest, it is the one that has rested longest."""
        if not self._waiting:
            return ""
        now = self._clock()
        for _ in range(len(self._waiting)):
            self._waiting.rotate(-1)
            if self._resting.get(self._waiting[-1], now) <= now:
                return self._waiting[-1]
        return min(self._waiting, key=self._resting.__getitem__)

    async def rest(self, address: str) -> bool:
        """Lets a proxy rest that failed; False for the only one, which has nobody to take its turns."""
        if len(self._waiting) < 2:
            return False
        till = self._resting[address] = self._clock() + REST_SECONDS
        await self._hosts.set_shared("proxy", self._name(address), b"%.3f" % till, REST_SECONDS)
        return True

    def _name(self, address: str) -> str:
        """Its name among what is shared, which tells nobody its credentials."""
        return f"{self._process}:{hashlib.sha256(address.encode()).hexdigest()}"
