"""Several proxies of one process, which take turns; one that fails rests for a while."""

import time
from collections import deque
from collections.abc import Callable, Iterable

REST_SECONDS = 60.0


class ProxyTurns:
    """The proxies of a process, whose pages take one after the other; without any, each takes none."""

    def __init__(self, addresses: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting, self._clock = deque(addresses), clock
        self._resting: dict[str, float] = {}  # until when, by the clock

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

    def rest(self, address: str) -> bool:
        """Lets a proxy rest that failed; False for the only one, which has nobody to take its turns."""
        if len(self._waiting) < 2:
            return False
        self._resting[address] = self._clock() + REST_SECONDS
        return True
