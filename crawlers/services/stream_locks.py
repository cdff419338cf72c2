"""Locks of a stream and a task: who stores documents of a stream does it alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from crawlers.models import CrawlerTask, Stream
from taskhub.errors import Conflict, NotFound, Unavailable

LOCK_SECONDS = 20


def check_accepts_documents(task: CrawlerTask) -> None:
    """Raises `Conflict` for a task that has ended."""
    if task.ended_at is not None:
        raise Conflict(f"The task has ended; its status is {task.code}.", status_code=task.code)


def lock_stream_and_task(task: CrawlerTask, *, may_have_ended: bool = False) -> CrawlerTask:
    """The task as it is now. No other upload of its stream is stored until the caller's transaction is over.

    Raises `NotFound` for a task that is deleted, with or without its stream, or has a later attempt, and `Conflict` for
    one that has ended.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
    # FOR NO KEY UPDATE, in both: rows that refer to them, such as a new task of the stream, can be written meanwhile.
    streams = Stream.objects.select_for_update(no_key=True).filter(pk=task.stream_id, removed_at__isnull=True)
    stream = streams.values_list("pk").first()
    rows = CrawlerTask.objects.for_upload().select_for_update(of=("self",), no_key=True)
    locked_task: CrawlerTask | None = rows.filter(pk=task.pk, removed_at__isnull=True).first()
    if stream is None or locked_task is None or locked_task.attempt != task.attempt:
        raise NotFound("There is no such task any more, or it has a later attempt.")
    if not may_have_ended:
        check_accepts_documents(locked_task)
    return locked_task


@contextmanager
def unavailable_if_locked() -> Iterator[None]:
    """Raises `Unavailable` where a lock of a stream or a task is not to be had in time."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Unavailable("Other uploads of this stream take long to be stored.", retry_after=5) from None
        raise
