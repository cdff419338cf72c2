"""The database connections of the threads of a process."""

from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.transaction import TransactionManagementError
from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from taskhub.db.postgresql.base import DatabaseWrapper


def use_pool(factor: int = 1) -> None:
    """Lets all threads of this process share one pool of connections. None may have a connection before that."""
    if settings.DATABASE_POOL_SIZE:
        database = settings.DATABASES["default"]
        database["OPTIONS"]["pool"] = {**settings.DATABASE_POOL, "max_size": factor * settings.DATABASE_POOL_SIZE}
        database["CONN_MAX_AGE"] = 0


def thread_connection() -> "DatabaseWrapper":
    """The calling thread's own, which `connection` stands for."""
    return cast("DatabaseWrapper", connections[DEFAULT_DB_ALIAS])


def give_back_connection() -> None:
    """Gives the thread's connection back to the pool, before something is waited for; without a pool it is closed.

    The next query takes another one. In a transaction the connection stays: its state would be lost.
    """
    if not connection.in_atomic_block:
        connection.close()


def refuse_broken_transaction() -> None:
    """Raises `TransactionManagementError` where what the open transaction wrote can no longer be committed.

    Else that would be lost in silence: Django rolls back without a word, and so does PostgreSQL that is told to commit.
    """
    opened = thread_connection()
    is_failed = opened.connection is not None and (
        opened.connection.closed or opened.connection.pgconn.transaction_status == TransactionStatus.INERROR
    )
    if opened.needs_rollback or is_failed:
        raise TransactionManagementError(
            "Its transaction was broken, by an error of the database that was caught, or by hand: nothing is stored."
            " What may fail in the database stands in a `transaction.atomic()` of its own."
        )
