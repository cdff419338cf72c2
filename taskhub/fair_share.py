"""Slots that nobody takes all of (the dynamic thresholds of shared buffers: Choudhury and Hahne, 1998). Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable


class FairShare:
    """Counts slots by who holds them. Nobody gets one more unless more are free than he holds.

    So whoever comes first gets half of them at most, and the next one finds some.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._held: Counter[Hashable] = Counter()

    def is_open_to(self, holder: Hashable) -> bool:
        return self._free > self._held[holder]

    @property
    def is_open(self) -> bool:
        """Whether somebody who holds none could take a slot."""
        return self._free > 0

    def shut_out(self) -> Iterable[Hashable]:
        """Those who may take no further slot now."""
        return [holder for holder in self._held if not self.is_open_to(holder)]

    def take(self, holder: Hashable) -> None:
        self._free -= 1
        self._held[holder] += 1

    def give_back(self, holder: Hashable) -> None:
        self._free += 1
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]
