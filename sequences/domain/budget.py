"""The budgets of a run: steps, items of loops, time, and room for what it saves."""

from collections.abc import Callable
from typing import Any

from sequences.domain.errors import BudgetExceeded
from sequences.domain.exchange import SequenceLimits
from sequences.domain.json_values import ValueTooLarge, weigh

_UNBOUNDED = 1 << 62


class Budget:
    """Counts steps, items and time.

    `clock()` gives seconds that only grow; `should_stop()` may raise what its caller wants.
    """

    def __init__(
        self, limits: SequenceLimits, clock: Callable[[], float], should_stop: Callable[[], bool | None]
    ) -> None:
        self._limits, self._clock, self._should_stop = limits, clock, should_stop
        self.begin(0, 0, 0.0)

    def begin(self, steps: int, items: int, elapsed: float) -> None:
        self.steps, self.items = steps, items
        self._started = self._clock() - elapsed

    @property
    def elapsed(self) -> float:
        return self._clock() - self._started

    def check_step(self) -> None:
        """Raises `BudgetExceeded` when there may be no further step."""
        self._check()
        if self.steps >= self._limits.steps:
            raise BudgetExceeded(f"The sequence has more than {self._limits.steps} steps.")

    def check_item(self) -> None:
        """Raises `BudgetExceeded` when there may be no further item."""
        self._check()
        if self.items >= self._limits.items:
            raise BudgetExceeded(f"The loops of the sequence have more than {self._limits.items} items.")

    def _check(self) -> None:
        if self._should_stop():
            raise BudgetExceeded("The run was stopped.")
        if self.elapsed > self._limits.seconds:
            raise BudgetExceeded(f"The sequence takes longer than {self._limits.seconds:g} seconds.")


class Persistence:
    """What a run saves. `values` gets new keys while a run goes on; a value that was saved never changes."""

    def __init__(self, values: dict[str, Any], room: int) -> None:
        self.values = values
        self._room = room
        self._sizes = {key: len(key) + weigh(value, _UNBOUNDED, "A value") for key, value in values.items()}
        self._size = sum(self._sizes.values())

    def save(self, key: str, value: Any) -> None:
        """Raises `BudgetExceeded` when there is no room, `StepFailure` for a value that is nested too deep."""
        others = self._size - self._sizes.get(key, 0) + len(key)
        try:
            size = weigh(value, self._room - others, "A saved value")
        except ValueTooLarge:
            raise BudgetExceeded(f"Persistence would be larger than {self._room} characters.") from None
        self.values[key] = value
        self._sizes[key] = size + len(key)
        self._size = others + size
