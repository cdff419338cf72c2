"""What stops a sequence."""

from dataclasses import dataclass
from typing import Any

from sequences.domain.exchange import StepResponse
from sequences.domain.validation_errors import StepFailure
from taskhub.error_texts import message_of
from taskhub.errors import Failed

_NOT_SHOWN = "The step is sensitive: no more is shown."


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


class ResponseFailure(StepFailure):
    """A response that is not what its step needs. `place` is what asked for more, such as `expect.status`; `plain` says
    why without anything of the response."""

    def __init__(self, response: StepResponse, message: str, place: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.plain = f"The answer, of status {response.status}, is not what the step needs."
        self.value = {"status": response.status, "message": reason or message, "body": response.value}


def status_failure(response: StepResponse, place: str = "", wanted: str = "") -> ResponseFailure:
    """The failure of a status of 400 or more, or of one that was not expected."""
    reason = response.message or f"HTTP {response.status}"
    message = f"The answer was {response.status}" + (f": {response.message}" if response.message else ".")
    if wanted:
        message = f"{message.rstrip('.')}. {wanted}"
    return ResponseFailure(response, message, place, reason)


@dataclass(slots=True)
class StepError:
    """An error that stops the sequence, unless its step, or one that loops over it, ignores or catches errors.

    Then `value` is the value of that step. A `final` error is never ignored.
    """

    path: str
    message: str
    value: dict[str, Any]
    final: bool = False

    @classmethod
    def of(cls, path: str, error: Exception, *, sensitive: bool = False) -> "StepError":
        """The value is `{status, message, body}` where there was an answer, else `{worker_error}`.

        The message of a `sensitive` step quotes nothing that it sent or got: it becomes that of the run.
        """
        message = message_of(error)
        if isinstance(error, ResponseFailure):
            message = f"{error.plain} {_NOT_SHOWN}" if sensitive else message
            return cls(f"{path}.{error.place}" if error.place else path, message, error.value)
        if sensitive and isinstance(error, StepFailure) and not isinstance(error, BudgetExceeded):
            message = f"It cannot be carried out. {_NOT_SHOWN}"
        return cls(path, message, {"worker_error": message}, final=isinstance(error, BudgetExceeded))

    @property
    def caught(self) -> dict[str, Any]:
        """What `$` stands for where the error is caught."""
        value = self.value
        return {"path": self.path, "status": value.get("status"), "message": self.message, "body": value.get("body")}
