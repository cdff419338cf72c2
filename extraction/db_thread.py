"""The thread of a worker process that talks to the database while pages are fetched."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

T = TypeVar("T")


class Books:
    """One a process; a fork starts anew."""

    pid = 0
    thread: ThreadPoolExecutor

    @classmethod
    async def do(cls, work: Callable[[], T]) -> T:
        if cls.pid != os.getpid():
            cls.pid, cls.thread = os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="books")
        return await asyncio.get_running_loop().run_in_executor(cls.thread, cls._done, work)

    @staticmethod
    def _done(work: Callable[[], T]) -> T:
        try:
            return work()
        except (DatabaseError, InterfaceError):
            connection.close()
            raise
