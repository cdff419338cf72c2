"""What an expression can see, and how much work it may do."""

from typing import Any

from sequences.domain.validation_errors import StepFailure

VISITS_MAX = 2_000_000  # values looked at for one step: about half a second


class Scope:
    """`current` is what `$` stands for, `persistence` `#`, `item` `@`, `index` `!`.

    `text_room` is how many more characters of text may be put together, `visits` how many more values looked at.
    """

    __slots__ = ("current", "index", "item", "persistence", "text_room", "visits")

    def __init__(
        self, current: Any, persistence: dict[str, Any], item: Any = None, index: str = "0", text_room: int = 1_000_000
    ) -> None:
        self.current = current
        self.persistence = persistence
        self.item = item
        self.index = index
        self.text_room = text_room
        self.visits = VISITS_MAX

    def visit(self, count: int) -> None:
        """Counts values that are looked at. Raises `StepFailure` past the limit."""
        self.visits -= count
        if self.visits < 0:
            raise StepFailure("The paths and patterns of this step look at too many values.")

    def count_text(self, text: str) -> str:
        """Counts `text` and returns it. Raises `StepFailure` where there is no room for it."""
        self.text_room -= len(text)
        if self.text_room < 0:
            raise StepFailure("The texts of this step are too long together.")
        return text
