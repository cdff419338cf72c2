"""Statements whose plan does not depend on what PostgreSQL knows of a table, or that may take so long and no longer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

ALONG_INDEXES = "SELECT " + ", ".join(
    f"set_config('enable_{way}', 'off', true)" for way in ("seqscan", "bitmapscan", "sort")
)
# Stands before a prepared statement whose plan takes longer than its work. The plan is made once, and must fit whatever
# the tables will hold: it follows indexes.
PLAN_ONCE = f"{ALONG_INDEXES}, set_config('plan_cache_mode', 'force_generic_plan', true);"


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
def groups_by_hashing() -> Iterator[None]:
    """A transaction whose statements do not sort in order to group, however few groups PostgreSQL expects.

    To sort by texts takes several times as long.
    """
    with transaction.atomic(), _setting("enable_sort", "off"):
        yield


@contextmanager
def reads_by_indexes() -> Iterator[None]:
    """A transaction whose statements read no table as a whole where an index has what they look for."""
    with transaction.atomic(), _setting("enable_seqscan", "off"):
        yield


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """A transaction whose statements may take so long each, at least a millisecond. Raises `TimeIsUp`."""
    try:
        with transaction.atomic(), _setting("statement_timeout", str(max(1, int(seconds * 1000)))):
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TimeIsUp from None
        raise


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    """Sets a setting of PostgreSQL, for the block and not for the rest of a transaction around it."""
    set_value = "SELECT current_setting(%(name)s), set_config(%(name)s, %(value)s, true)"
    with connection.cursor() as cursor:
        cursor.execute(set_value, {"name": name, "value": value})
        (before, _) = cursor.fetchone()
    yield
    with connection.cursor() as cursor:
        cursor.execute(set_value, {"name": name, "value": before})
