"""What an expression can see, and how much it may do."""

from typing import Any

from sequences.domain.validation_errors import Failure

VISITS_MAX = 2_000_000  # values looked at for one step: about half a second


class Scope:
    """`current` is what `$` stands for, `persistence` `#`, `item` `@`, `index` `!`.

    `room` is how many more characters of text may be put together, `visits` how many more values looked at.
    """

    __slots__ = ("current", "index", "item", "persistence", "room", "visits")

    def __init__(
        self, current: Any, persistence: dict[str, Any], item: Any = None, index: str = "0", room: int = 1_000_000
    ) -> None:
        self.current = current
        self.persistence = persistence
        self.item = item
        self.index = index
        self.room = room
        self.visits = VISITS_MAX

    def visit(self, count: int) -> None:
        self.visits -= count
        if self.visits < 0:
            raise Failure("The paths and patterns of this step look at too many values.")

    def take(self, text: str) -> str:
        """`text`, once there is room for it."""
        self.room -= len(text)
        if self.room < 0:
            raise Failure("The texts of this step are too long together.")
        return text
