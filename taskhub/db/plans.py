"""Plans of statements that do not depend on what PostgreSQL knows of a table."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

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
