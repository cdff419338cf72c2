"""The errors of the product, in one small family.

Whether a fault is permanent decides two things alike: the HTTP status of a call, and whether a run is tried again.
Raised anywhere, turned into RFC 9457 problems by `taskhub.web.problems` and into a run's error by `taskhub.runs`.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

log = logging.getLogger(__name__)

ErrorEntry = Mapping[str, Any]
NO_ROOM_SECONDS = 60  # somebody has to see it, and to mend it


class Problem(Exception):
    """A fault with a status of HTTP, a title and the places it concerns.

    `errors` holds an entry for each: `detail` and one of `pointer` (RFC 6901), `path` (dotted) or `line`.
    `members` are extension members of the problem (RFC 9457, section 3.2), such as the report of a failed walker.
    """

    status = 500
    title = "Internal error"
    type = "about:blank"
    permanent = True

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Iterable[ErrorEntry] = (),
        type: str | None = None,
        title: str | None = None,
        retry_after: int | None = None,
        **members: Any,
    ) -> None:
        self.detail = detail or self.title
        super().__init__(self.detail)
        self.errors = [dict(error) for error in errors]
        self.type = type or self.type
        self.title = title or self.title
        self.retry_after = retry_after
        self.members = members


class Rejected(Problem):
    status, title, type = 400, "The request is not valid", "invalid-request"


class Unauthenticated(Problem):
    status, title, type = 401, "Credentials are missing or not valid", "not-authenticated"


class Forbidden(Problem):
    status, title, type = 403, "Not allowed", "forbidden"


class NotFound(Problem):
    status, title, type = 404, "Not found", "not-found"


class NotAcceptable(Rejected):
    """The body can be read, and is not what this call takes (crawler_task.md), or cannot be kept."""

    status, title, type = 406, "Not acceptable", "not-acceptable"


class RequestTimeout(Problem):
    """The body of the request did not arrive in time (RFC 9110, section 15.5.9)."""

    status, title, type, permanent = 408, "The request took too long", "request-timeout", False


class Conflict(Problem):
    status, title, type = 409, "The state does not allow this", "conflict"


class Outdated(Problem):
    """What a cursor refers to is not kept any more (RFC 9110, section 15.5.11)."""

    status, title, type = 410, "No longer kept", "outdated"


class LengthRequired(Problem):
    status, title, type = 411, "The length is missing", "length-required"


class PreconditionFailed(Problem):
    """`If-Match` names another version than the present one (RFC 9110, section 15.5.13)."""

    status, title, type = 412, "It has changed meanwhile", "precondition-failed"


class TooLarge(Problem):
    status, title, type = 413, "Too large", "too-large"


class UnsupportedMedia(Problem):
    status, title, type = 415, "Unsupported media type", "unsupported-media-type"


class RangeNotSatisfiable(Problem):
    """A range of a file that does not reach into it (RFC 9110, section 15.5.17)."""

    status, title, type = 416, "There is no such range", "range-not-satisfiable"


class Failed(Problem):
    """The request was understood and its work failed."""

    status, title, type = 422, "The work failed", "failed"


class TooMany(Problem):
    status, title, type, permanent = 429, "Too many requests", "too-many-requests", False


class Unavailable(Problem):
    """Something taskhub leans on does not answer; the same call may succeed later."""

    status, title, type, permanent = 503, "Unavailable", "unavailable", False


def invalid(pointer: str, detail: str, words: str = "") -> Rejected:
    """A `Rejected` with an error at one place.

    `pointer` is a JSON pointer into the request; `words` say more than `detail` where that alone is too short.
    """
    return Rejected(words or detail, errors=[{"pointer": pointer, "detail": detail}])


def not_stored(error: OSError) -> Unavailable:
    """The disk is full, or the storage away: what to raise. The reason is for the log alone."""
    log.error("Files cannot be stored: %s", error)
    return Unavailable("The files cannot be stored at present.", retry_after=NO_ROOM_SECONDS)
