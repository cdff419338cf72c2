"""Django's backend for PostgreSQL, with connections that another thread can cut off."""

import os
import socket
import threading
from contextlib import suppress
from typing import Any

from django.db import InterfaceError
from django.db.backends.postgresql import base
from psycopg import Error
from psycopg.pq import TransactionStatus

from taskhub.interruption import checkpoint, shut_down, whole


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection of one thread. Once it is cut off nothing is read or committed through it any more.

    A cut must not hit another thread, which may have got the same connection from the pool by now: so it is given back
    under the lock that `cut_off` takes. An interruption does not tear apart either how a connection is taken from the
    pool or how it is given back: the pool would be one connection smaller for ever.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_cut_off = False
        self._giving_back = threading.Lock()

    def cut_off(self) -> None:
        """Ends the connection, from any thread: a statement that goes on fails, a transaction is rolled back."""
        with self._giving_back:
            self.is_cut_off = True
            if self.connection is not None and not self.connection.closed:
                if self.connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                    # The server would go on with it, and keep its locks. To ask it may take a while.
                    cancellation = self.connection.pgconn.get_cancel()
                    threading.Thread(target=_ask, args=(cancellation,), daemon=True).start()
                # Not `close`, which would free what the other thread reads from.
                with socket.socket(fileno=os.dup(self.connection.fileno())) as duplicate:
                    shut_down(duplicate)

    def connect(self) -> None:
        with whole():
            checkpoint()
            if self.is_cut_off:
                raise InterfaceError("The connection was cut off.")
            super().connect()

    def _close(self) -> None:
        with whole(), self._giving_back:
            checkpoint()
            if self.is_cut_off and self.connection is not None:
                self.connection.close()  # the pool must not give it to anybody else
            super()._close()  # type: ignore[misc] # not known to the stubs


def _ask(cancellation: Any) -> None:
    """Asks the server to cancel a statement; it has ended anyway, or the server is away, where that fails."""
    with suppress(Error):
        cancellation.cancel()
