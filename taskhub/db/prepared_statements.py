"""Statements that PostgreSQL plans once for each connection."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connection
from psycopg.errors import DuplicatePreparedStatement, FeatureNotSupported, InvalidSqlStatementName

# Of each session the names of the statements that it knows; None where there is none of the connection's own.
_prepared: WeakKeyDictionary[Any, set[str] | None] = WeakKeyDictionary()

# What PostgreSQL says where the type of a column has changed since, as by a migration; where somebody else has removed
# the statement; or where this thread was interrupted before it noted that it had prepared it.
_STALE = (FeatureNotSupported, InvalidSqlStatementName, DuplicatePreparedStatement)


class PreparedStatement:
    """A statement with values by name, `%(name)s`, of these types; for those whose plan takes longer than their work.

    Behind a pooler such as PgBouncer each transaction may have another session, which knows nothing of what was
    prepared in the one before. There the statement is planned each time, and so it is where a session's no longer fits.
    """

    def __init__(self, statement: str, **types: str) -> None:
        self._statement = statement
        self._name = f"taskhub_{hashlib.sha256(statement.encode()).hexdigest()[:16]}"
        numbers = {name: number for number, name in enumerate(types, 1)}
        numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${numbers[found[1]]}", statement).replace("%%", "%")
        self._prepare = f"PREPARE {self._name} ({', '.join(types.values())}) AS {numbered}"
        self._execute = f"EXECUTE {self._name} ({', '.join(f'%({name})s' for name in types)})"

    def execute(self, cursor: Any, values: Mapping[str, Any], first: str = "") -> None:
        """Executes it through a cursor of the thread's connection, behind other statements that end with a semicolon.

        All of them are one round trip, and one transaction.
        """
        names = _statements_of_session(cursor)
        if names is not None:
            try:
                if self._name not in names:
                    cursor.execute(self._prepare)
                    names.add(self._name)
                cursor.execute(first + self._execute, values)
                return
            except DatabaseError as error:
                if not isinstance(error.__cause__, _STALE):
                    raise
                _prepared[connection.connection] = None
                if connection.in_atomic_block:  # which is broken by now; whoever tries again needs no plan
                    raise
        cursor.execute(first + self._statement, values)


def fetch_last(cursor: Any) -> list[tuple[Any, ...]]:
    """All rows of the last of the statements that a cursor has executed in one round trip."""
    while cursor.nextset():
        pass
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _statements_of_session(cursor: Any) -> set[str] | None:
    session = connection.connection
    if session not in _prepared:
        cursor.execute("SELECT pg_backend_pid()")
        # A pooler says a number of its own when a connection begins.
        _prepared[session] = set() if cursor.fetchone()[0] == session.info.backend_pid else None
    return _prepared[session]
