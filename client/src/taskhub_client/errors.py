"""What the client raises. Everything is a `HubError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskhub_client.records import RunError, RunRecord


class HubError(Exception):
    """Base of all errors of the client."""


class HubUnreachable(HubError):
    """No answer came from the hub, or not all of one, and no further try is left."""


class UnknownAnswer(HubError):
    """Something answered that is no hub, such as a page of a proxy."""


class WaitTimeout(HubError, TimeoutError):
    """What was waited for had not ended when the time was up. It goes on."""


class ProblemError(HubError):
    """The hub refused a call. `problem` is the whole problem (RFC 9457), `errors` the places that it names."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        self.status = int(problem.get("status", 0))
        self.type = str(problem.get("type", ""))
        self.detail = str(problem.get("detail") or problem.get("title") or "")
        places = problem.get("errors")
        self.errors: list[dict[str, Any]] = (
            [place for place in places if isinstance(place, dict)] if isinstance(places, list) else []
        )
        super().__init__(self._text())

    def _text(self) -> str:
        places = [
            f"{error.get('path') or error.get('pointer') or 'line ' + str(error.get('line', '?'))}: {error['detail']}"
            for error in self.errors
            if error.get("detail")
        ]
        said = str(self.problem.get("title") or self.detail) if places else self.detail  # the detail names places, too
        return "\n  ".join([f"{self.status}: {said}", *places])


class InvalidRequest(ProblemError):
    """400, 406, 408, 411, 413, 415, 422: what was sent cannot be taken; `errors` says where."""


class NotSignedIn(ProblemError):
    """401: there is no credential, or it is no longer valid."""


class Forbidden(ProblemError):
    """403: for staff only, or the key lacks a scope."""


class NotFound(ProblemError):
    """404: it does not exist, or it belongs to somebody else."""


class Conflict(ProblemError):
    """409, 412: its state does not allow the call."""


class TooManyRequests(ProblemError):
    """429: also after waiting as often as was allowed."""


CLASSES: dict[int, type[ProblemError]] = {
    **dict.fromkeys((400, 406, 408, 411, 413, 415, 422), InvalidRequest),
    401: NotSignedIn,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: TooManyRequests,
}


class RunFailed(HubError):
    """A run ended otherwise than in SUCCESS. `error` says why, and `where` in it the line that failed.

    `run` is the run's record; None where a walker was called without one. `report` is what it had reported until then.
    """

    def __init__(
        self, error: RunError | None, *, run: RunRecord | None = None, report: list[Any] | None = None
    ) -> None:
        self.error = error
        self.run = run
        self.report = report
        what = f"{run.name} ({run.id})" if run else "The walker"
        said = f"{error.type}: {error.message}" if error else "no reason was given"
        super().__init__(f"{what} ended in {run.state if run else 'FAILURE'}: {said}")


class RunCancelled(RunFailed):
    """A run ended in REVOKED: it was cancelled, left out, or it expired."""


def problem_error(status: int, problem: Mapping[str, Any]) -> ProblemError:
    """The exception of an answer."""
    return CLASSES.get(status, ProblemError)({**problem, "status": status})
