"""The budgets of a run: steps, items of loops, time, and room for what it saves."""

from collections.abc import Callable
from typing import Any

from sequences.domain.errors import BudgetExceeded
from sequences.domain.exchange import SequenceLimits
from sequences.domain.json_values import ValueTooLarge, weigh

_UNBOUNDED = 1 << 62
# What is left for `on_failure` and `finally` where a budget is used up.
_LAST_STEPS, _LAST_ITEMS, _LAST_SECONDS = 100, 1000, 30.0


class Budget:
    """Counts steps, items and time.

    `clock()` gives seconds that only grow; `should_stop()` may raise what its caller wants.
    """

    def __init__(
        self, limits: SequenceLimits, clock: Callable[[], float], should_stop: Callable[[], bool | None]
    ) -> None:
        self._limits, self._clock, self._should_stop = limits, clock, should_stop
        self._steps_max, self._items_max, self._seconds = limits.steps, limits.items, limits.seconds
        self.begin(0, 0, 0.0)

    def begin(self, steps: int, items: int, elapsed: float) -> None:
        self.steps, self.items = steps, items
        self._started = self._clock() - elapsed

    @property
    def elapsed(self) -> float:
        return self._clock() - self._started

    @property
    def remaining(self) -> float:
        return max(0.0, self._seconds - self.elapsed)

    def grant_last_steps(self) -> None:
        """Lets what comes after the sequence's end, such as `finally`, use a little more than there was."""
        self._steps_max = max(self._steps_max, self.steps + _LAST_STEPS)
        self._items_max = max(self._items_max, self.items + _LAST_ITEMS)
        self._seconds = max(self._seconds, self.elapsed + _LAST_SECONDS)

    def check_step(self) -> None:
        """Raises `BudgetExceeded` when there may be no further step."""
        self._check()
        if self.steps >= self._steps_max:
            raise BudgetExceeded(f"The sequence has more than {self._limits.steps} steps.")

    def check_item(self) -> None:
        """Raises `BudgetExceeded` when there may be no further item."""
        self._check()
        if self.items >= self._items_max:
            raise BudgetExceeded(f"The loops of the sequence have more than {self._limits.items} items.")

    def _check(self) -> None:
        if self._should_stop():
            raise BudgetExceeded("The run was stopped.")
        if self.elapsed > self._seconds:
            raise BudgetExceeded(f"The sequence takes longer than {self._limits.seconds:g} seconds.")


class Room:
    """The characters that may be saved by all strands of a run together, and how many are."""

    def __init__(self, characters: int) -> None:
        self.characters = characters
        self.used = 0


class Persistence:
    """What a strand sees and saves. `values` gets new keys meanwhile; a value that was saved never changes.

    `saved` are the keys that it saved itself, in this order, with their sizes; `sensitive` those that nobody is shown.
    """

    def __init__(self, values: dict[str, Any], room: Room) -> None:
        self.values = values
        self._room = room
        self.sensitive: set[str] = set()
        self.saved = {key: len(key) + weigh(value, _UNBOUNDED, "A value") for key, value in values.items()}
        room.used += sum(self.saved.values())

    def fork(self) -> "Persistence":
        """Another strand's: it begins with these values, and what it saves is its own until it is adopted."""
        inner = Persistence({}, self._room)
        inner.values, inner.sensitive = dict(self.values), set(self.sensitive)
        return inner

    def measure(self, key: str, value: Any) -> int:
        """The size of what is to be saved under a key.

        Raises `BudgetExceeded` when there is no room, `StepFailure` for a value that is nested too deep.
        """
        room = self._room
        others = room.used - self.saved.get(key, 0) + len(key)
        try:
            return weigh(value, room.characters - others, "A saved value") + len(key)
        except ValueTooLarge:
            raise BudgetExceeded(f"Persistence would be larger than {room.characters} characters.") from None

    def save(self, key: str, value: Any, *, sensitive: bool = False) -> None:
        """Raises as `measure`."""
        self.put(key, value, self.measure(key, value), sensitive=sensitive)

    def put(self, key: str, value: Any, size: int, *, sensitive: bool) -> None:
        if sensitive:
            self.sensitive.add(key)
        else:
            self.sensitive.discard(key)
        self._room.used += size - self.saved.get(key, 0)
        self.saved[key] = size
        self.values[key] = value

    def adopt(self, inner: "Persistence") -> None:
        """Takes over what another strand saved."""
        sizes, inner.saved = inner.saved, {}
        self._room.used -= sum(sizes.values())
        for key, size in sizes.items():
            self.put(key, inner.values[key], size, sensitive=key in inner.sensitive)

    def drop(self) -> None:
        """Gives back the room of what nobody adopts."""
        self._room.used -= sum(self.saved.values())
        self.saved = {}
