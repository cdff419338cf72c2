"""What stops a sequence."""

from dataclasses import dataclass
from typing import Any

from sequences.domain.exchange import StepResponse
from sequences.domain.validation_errors import StepFailure
from taskhub.error_texts import message_of
from taskhub.errors import Failed


class SequenceStopped(Failed):
    """A sequence that did not reach its end. `path` is the step's, `persistence` what was saved so far."""

    title, type = "The sequence stopped", "sequence-stopped"

    def __init__(self, path: str, message: str, persistence: dict[str, Any]) -> None:
        super().__init__(f"{path}: {message}" if path else message, errors=[{"path": path, "detail": message}])
        self.path = path
        self.message = message
        self.persistence = persistence


class BudgetExceeded(StepFailure):
    """A budget is used up, or somebody wants the run to stop: no step can ignore that."""


class StatusError(StepFailure):
    """A response with a status of 400 or more."""

    def __init__(self, response: StepResponse) -> None:
        message = response.message or f"HTTP {response.status}"
        self.value = {"status": response.status, "message": message, "body": response.value}
        super().__init__(f"The answer was {response.status}" + (f": {response.message}" if response.message else "."))


@dataclass(slots=True)
class StepError:
    """An error that stops the sequence, unless its step, or one that loops over it, ignores errors.

    Then `value` is the value of that step. A `final` error is never ignored.
    """

    path: str
    message: str
    value: dict[str, Any]
    final: bool = False

    @classmethod
    def of(cls, path: str, error: Exception) -> "StepError":
        """The value is `{status, message, body}` for a status of 400 or more, else `{worker_error}`."""
        message = message_of(error)
        value = error.value if isinstance(error, StatusError) else {"worker_error": message}
        return cls(path, message, value, final=isinstance(error, BudgetExceeded))
