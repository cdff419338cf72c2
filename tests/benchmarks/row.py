"""One row of the table: what was measured against which floor, and whether the bar holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Literal


class CannotMeasure(Exception):
    """One sentence for the person at the terminal."""


@dataclass(frozen=True)
class Measured:
    """Medians of floor and subject in `unit`; without a floor the bar is in that unit. `notes` explain the figures."""

    floor: float | None
    ours: float
    unit: str
    notes: list[str] = field(default_factory=list)

    @property
    def value(self) -> float:
        """What the bar is about."""
        return self.ours if self.floor is None else self.ours / self.floor


@dataclass(frozen=True)
class Row:
    """`bar` is what the value must reach (`>=`) or not exceed (`<=`); `floor` says what it is a ratio to."""

    name: str
    what: str
    floor: str
    sense: Literal[">=", "<="]
    bar: float
    measure: Callable[..., Measured]
    own_hub: bool = False  # it starts what it measures

    def holds(self, measured: Measured) -> bool:
        return measured.value >= self.bar if self.sense == ">=" else measured.value <= self.bar

    def cells(self, measured: Measured) -> tuple[str, ...]:
        """As the table shows it."""
        floor = "" if measured.floor is None else f"{figure(measured.floor)} {measured.unit}"
        unit = f" {measured.unit}" if measured.floor is None else ""
        return (
            self.name,
            self.what,
            self.floor,
            floor,
            f"{figure(measured.ours)} {measured.unit}",
            "" if measured.floor is None else f"{measured.value:.2f}",
            f"{self.sense} {self.bar:g}{unit}",
            "holds" if self.holds(measured) else "falls short",
        )


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def by_turns(rounds: int, floor: Callable[[], float], ours: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, measured by turns, so that what disturbs the machine disturbs both."""
    pairs = [(floor(), ours()) for _ in range(rounds)]
    return median(one for one, _ in pairs), median(other for _, other in pairs)
