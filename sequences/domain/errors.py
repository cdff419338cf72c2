"""What stops a sequence."""

from dataclasses import dataclass
from typing import Any

from sequences.domain.exchange import Answer
from sequences.domain.validation_errors import Failure
from taskhub.errors import Failed


class Stopped(Failed):
    """A sequence that did not reach its end. `path` is the step's, `persistence` what was saved so far."""

    title, type = "The sequence stopped", "sequence-stopped"

    def __init__(self, path: str, message: str, persistence: dict[str, Any]) -> None:
        super().__init__(f"{path}: {message}" if path else message, errors=[{"path": path, "detail": message}])
        self.path = path
        self.message = message
        self.persistence = persistence


class Spent(Failure):
    """A budget is used up, or somebody wants the run to stop: no step can ignore that."""


class Refused(Failure):
    """An answer of 400 or more."""

    def __init__(self, answer: Answer) -> None:
        self.value = {"status": answer.status, "message": answer.message or f"HTTP {answer.status}"}
        super().__init__(f"The answer was {answer.status}" + (f": {answer.message}" if answer.message else "."))


@dataclass(slots=True)
class Trouble:
    """Stops the sequence, unless the step, or one that loops over it, ignores errors: then `value` is that step's."""

    path: str
    message: str
    value: dict[str, Any]
    final: bool = False


def trouble(path: str, error: Exception) -> Trouble:
    """An answer of 400 or more gives `{status, message}`, all else `{worker_error}`."""
    message = str(error) or type(error).__name__
    value = error.value if isinstance(error, Refused) else {"worker_error": message}
    return Trouble(path, message, value, final=isinstance(error, Spent))
