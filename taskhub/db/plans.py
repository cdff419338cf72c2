"""Statements whose plan does not depend on what PostgreSQL knows of a table, or that may take so long and no longer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

ALONG_INDEXES = "SELECT " + ", ".join(
    f"set_config('enable_{way}', 'off', true)" for way in ("seqscan", "bitmapscan", "sort")
)


@contextmanager
def reads_along_indexes() -> Iterator[None]:
    """A transaction whose statements follow indexes, in their order, and stop where they have enough.

    Of a table that has just grown PostgreSQL has no statistics until autovacuum has looked at it. It takes a million
    rows for a thousand, and reads and sorts all of them for the first hundred.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(ALONG_INDEXES)
        yield


class TimeIsUp(Exception):
    """Raised where a statement would take longer than it may."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """A transaction whose statements may take so long each, at least a millisecond. Raises `TimeIsUp`."""
    set_limit = "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)"
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(set_limit, [str(max(1, int(seconds * 1000)))])
                (before, _) = cursor.fetchone()
            yield
            with connection.cursor() as cursor:
                cursor.execute(set_limit, [before])  # a transaction around this one goes on
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TimeIsUp from None
        raise
