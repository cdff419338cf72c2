"""The database connection of the current thread."""

from django.db import connection


def give_back_connection() -> None:
    """Gives the thread's connection back to the pool, before something is waited for; without a pool it is closed.

    The next query takes another one. In a transaction the connection stays: its state would be lost.
    """
    if not connection.in_atomic_block:
        connection.close()
