"""Slots that nobody takes all of (the dynamic thresholds of shared buffers: Choudhury and Hahne, 1998). Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable


class FairShare:
    """Counts slots by who holds them. Nobody gets one more unless more are free than he holds.

    So whoever comes first gets half of them at most, and the next one finds some. Nobody has more than `per_holder`.
    """

    def __init__(self, slots: int, per_holder: int | None = None) -> None:
        self._free = slots
        self._per_holder = slots if per_holder is None else per_holder
        self._held: Counter[Hashable] = Counter()

    def is_open_to(self, holder: Hashable) -> bool:
        return self._held[holder] < min(self._free, self._per_holder)

    @property
    def is_open(self) -> bool:
        """Whether somebody who holds none could take a slot."""
        return self._free > 0

    def shut_out(self) -> Iterable[Hashable]:
        """Those who may take no further slot now."""
        return [holder for holder in self._held if not self.is_open_to(holder)]

    def try_take(self, holder: Hashable) -> bool:
        """Takes a slot if the holder may have one; whether it does."""
        if not self.is_open_to(holder):
            return False
        self.take(holder)
        return True

    def take(self, holder: Hashable) -> None:
        self._free -= 1
        self._held[holder] += 1

    def give_back(self, holder: Hashable) -> None:
        self._free += 1
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]
