"""Why PostgreSQL does not do what it was asked, in words, by the SQLSTATE of an error (appendix A of its manual)."""

from typing import Any

AWAY = "does not answer"
DISK_FULL = "has no room: its disk is full"

_WORDS = {
    "25006": "is read-only, as some are made when their disk is full",
    "53100": DISK_FULL,
    "53200": "is out of memory",
    "53300": "has no connection left",
    "58030": "cannot read or write its files",
}


def why_refused(error: BaseException) -> str:
    """What the database does not do, as `has no room: its disk is full`; `error` is Django's or psycopg's."""
    return next((_WORDS[state] for state in _states(error) if state in _WORDS), AWAY)


def is_refusal(error: BaseException) -> bool:
    """Whether the database is there and cannot do what it was asked: the same may succeed later."""
    return why_refused(error) != AWAY


def _states(error: BaseException | None) -> Any:
    while error:
        yield getattr(error, "sqlstate", None)
        error = error.__cause__
