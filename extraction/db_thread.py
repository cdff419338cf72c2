"""The thread of a worker process that talks to the database while pages are fetched."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

from taskhub.db.process_local import ProcessLocal

T = TypeVar("T")


class Books:
    """One thread a process."""

    threads = ProcessLocal(lambda: ThreadPoolExecutor(1, thread_name_prefix="books"))

    @classmethod
    async def do(cls, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(cls.threads.get(), cls._done, work)

    @staticmethod
    def _done(work: Callable[[], T]) -> T:
        try:
            return work()
        except (DatabaseError, InterfaceError):
            connection.close()
            raise
