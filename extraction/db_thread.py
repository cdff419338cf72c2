"""The thread of a worker process that talks to the database while the event loop fetches pages."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

from taskhub.db.process_local import ProcessLocal

T = TypeVar("T")


class DatabaseThread:
    """One thread, and so one connection, in each worker process."""

    executor = ProcessLocal(lambda: ThreadPoolExecutor(1, thread_name_prefix="database"))

    @classmethod
    async def run(cls, work: Callable[[], T]) -> T:
        """Has the thread do `work`; one after the other, in the order of the calls."""
        return await asyncio.get_running_loop().run_in_executor(cls.executor.get(), cls._do, work)

    @staticmethod
    def _do(work: Callable[[], T]) -> T:
        try:
            return work()
        except (DatabaseError, InterfaceError):
            connection.close()  # it may be dead: the next work gets a new one
            raise
