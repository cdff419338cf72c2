"""What an expression can see, and how much work it may do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sequences.domain.validation_errors import StepFailure

VISITS_MAX = 2_000_000  # values looked at for one step: about half a second


def _no_secret(name: str) -> str:
    raise StepFailure(f"There is no secret {name}.")


@dataclass(frozen=True, slots=True)
class RunContext:
    """What expressions know of the run and of the world.

    `run` is what `run` stands for: `{id, attempt, due_at, schedule, owner}`. `now()` gives a time as in RFC 3339,
    `new_id()` a UUID as text. `secret(name)` gives the value of a secret, or raises `StepFailure`; `hide(text)` is told
    each text that was made of one. `holds_secret(value)`: one stands in a JSON value, or something that is sensitive.
    """

    run: dict[str, Any] = field(default_factory=dict)
    now: Callable[[], str] = lambda: "1970-01-01T00:00:00Z"
    new_id: Callable[[], str] = lambda: "00000000-0000-0000-0000-000000000000"
    secret: Callable[[str], str] = _no_secret
    hide: Callable[[str], None] = lambda text: None
    holds_secret: Callable[[Any], bool] = lambda value: False

    def hide_all(self, value: Any) -> None:
        """Hides the texts in a JSON value, and its numbers as the texts that they would be."""
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                self.hide_all(inner)
        elif value is not None and not isinstance(value, bool):
            self.hide(str(value))


NO_CONTEXT = RunContext()


class Scope:
    """`current` is what `$` stands for, `persistence` `#`, `item` `@`, `index` `!`, `answer` `^`.

    `text_room` is how many more characters of text may be put together, `visits` how many more values looked at.
    """

    __slots__ = ("answer", "context", "current", "index", "item", "persistence", "text_room", "visits")

    def __init__(
        self,
        current: Any,
        persistence: dict[str, Any],
        item: Any = None,
        index: str = "0",
        text_room: int = 1_000_000,
        answer: dict[str, Any] | None = None,
        context: RunContext = NO_CONTEXT,
    ) -> None:
        self.current = current
        self.persistence = persistence
        self.item = item
        self.index = index
        self.text_room = text_room
        self.visits = VISITS_MAX
        self.answer = answer
        self.context = context

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
