"""External crawlers in Python: a function that yields documents, and all that the hub asks of a crawler around it.

    from taskhub_client.crawler import crawler

    @crawler
    def shop(task):
        for number in range(task.params.get("count", 3)):
            task.progress(number, task.params.get("count", 3))
            yield {"sku": f"a{number}", "price": number + 0.99}

    shop.serve(port=9000)

The crawler is registered with the endpoint `http://HOST:9000/shop`. Documents go to the hub in batches, with retries;
then what `task.state` holds is kept for the next task. A task that the hub has ended or deleted is left at its next
document.
"""

from __future__ import annotations

import inspect
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, overload
from uuid import uuid4

from taskhub_client.crawl_tasks import DONE, FAILED, PATIENT_TRIES, CrawlTask, Document, TaskEnded
from taskhub_client.crawler_server import CrawlerServer
from taskhub_client.errors import HubError

__all__ = ["CrawlTask", "Crawler", "TaskEnded", "crawler"]

log = logging.getLogger(__name__)

BATCH = 500  # documents
BATCH_SECONDS = 5.0  # after which a smaller batch goes, too
TASKS_MAX = 16  # at once; the hub is told to send others later
STOP_TRIES = 3  # to tell the hub that the process ends
MESSAGE_MAX = 500  # characters
END: Any = object()  # behind the last document

Crawl = Callable[[CrawlTask], Any]  # gives documents, one after the other, of asyncio or not; or None


class Crawler:
    """An external crawler: a function, and the HTTP server that the hub calls. Made by the decorator `crawler`."""

    def __init__(self, function: Crawl, name: str, batch: int, parameters: list[dict[str, Any]]) -> None:
        self.name = name
        self.batch = batch
        self.parameters = parameters
        self._function = function
        self._tasks: dict[str, CrawlTask] = {}  # by the last part of their callback
        self._lock = threading.Lock()
        self.__doc__ = function.__doc__

    def __call__(self, task: CrawlTask) -> Any:
        return self._function(task)

    def serve(self, host: str = "127.0.0.1", port: int = 9000, *, token: str = "") -> None:
        """Serves the endpoint `http://{host}:{port}/{name}` until it is interrupted or terminated.

        Then the hub is told that its tasks have failed. With `token` only calls with `Authorization: Bearer {token}`
        are served: give the external that header.
        """
        with self.make_server(host, port, token=token) as server:
            log.info("crawler at %s", server.endpoint)
            in_main_thread = threading.current_thread() is threading.main_thread()
            before = signal.signal(signal.SIGTERM, signal.default_int_handler) if in_main_thread else None
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                pass
            finally:
                self.stop_all()
                if in_main_thread:
                    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)

    def make_server(self, host: str, port: int, *, token: str = "") -> CrawlerServer:
        """The server, listening; port 0 chooses one."""
        return CrawlerServer(self, host, port, token)

    def start(self, sent: Mapping[str, Any]) -> str | None:
        """Starts a task in a thread of its own, once; the path of its callback. None where there are too many."""
        with self._lock:
            for key, running in self._tasks.items():
                if running.endpoint == sent["endpoint"]:  # the hub asked again, since it did not get the answer
                    return f"/tasks/{key}"
            if len(self._tasks) >= TASKS_MAX:
                return None
            key, task = uuid4().hex, CrawlTask(sent)
            self._tasks[key] = task
        threading.Thread(target=self._work, args=(key, task), name=f"crawl {task.fid}", daemon=True).start()
        return f"/tasks/{key}"

    def end(self, key: str) -> None:
        """Stops a task that the hub has ended."""
        with self._lock:
            task = self._tasks.get(key)
        if task:
            task.stop()

    def stop_all(self) -> None:
        """Ends all tasks as failed: their process ends."""
        with self._lock:
            tasks = [task for task in self._tasks.values() if not task.stopped]
        with ThreadPoolExecutor(TASKS_MAX) as pool:
            for task in tasks:
                task.stop()  # its thread may close its connection at any time
                other = CrawlTask({"fid": task.fid, "endpoint": task.endpoint})
                pool.submit(end_failed, other, "the crawler was stopped", STOP_TRIES)

    def _work(self, key: str, task: CrawlTask) -> None:
        try:
            self._crawl(task)
            if not task.stopped:
                task.end(DONE, "done")
        except TaskEnded:
            log.info("Task %s has ended at the hub", task.fid)
        except BaseException as error:  # also SystemExit: the hub is told in any case
            log.exception("Task %s failed", task.fid)
            if not task.stopped:
                end_failed(task, f"{type(error).__name__}: {error}"[:MESSAGE_MAX], PATIENT_TRIES)
        finally:
            with self._lock:
                del self._tasks[key]
            task.close()

    def _crawl(self, task: CrawlTask) -> None:
        """Uploads what the function yields, in batches by number and by time."""
        documents = iterate(self._function(task))
        batch: list[Document] = []
        sent_at = time.monotonic()
        try:
            while not task.stopped:
                try:
                    document = next(documents, END)
                except Exception:
                    if not task.stopped:
                        task.upload_documents(batch)  # what it found is kept; its state is that of the batch before
                    raise
                if document is END:
                    task.upload(batch)
                    return
                batch.append(document)
                if len(batch) >= self.batch or time.monotonic() - sent_at >= BATCH_SECONDS:
                    task.upload(batch)
                    batch, sent_at = [], time.monotonic()
        finally:
            documents.close()


def end_failed(task: CrawlTask, message: str, tries: int) -> None:
    """Tells the hub that a task has failed, and gives the task's connection up."""
    try:
        task.end(FAILED, message, tries=tries)
    except HubError as error:
        log.warning("Task %s was not told: %s", task.fid, error)
    finally:
        task.close()


def iterate(found: Any) -> Generator[Document, None, None]:
    """What a function yields or returns, as a generator: what is of asyncio runs on an event loop of its own."""
    if inspect.iscoroutine(found):
        import asyncio

        found = asyncio.run(found)
    if found is None:
        return iter_all(())
    return iter_async(found) if hasattr(found, "__aiter__") else iter_all(found)


def iter_all(found: Iterable[Document]) -> Generator[Document, None, None]:
    try:
        yield from found
    finally:
        if inspect.isgenerator(found):
            found.close()


def iter_async(found: AsyncIterator[Document]) -> Generator[Document, None, None]:
    import asyncio

    with asyncio.Runner() if hasattr(asyncio, "Runner") else EventLoop() as loop:
        try:
            while (document := loop.run(_next(found))) is not END:
                yield document
        finally:
            if inspect.isasyncgen(found):
                loop.run(found.aclose())


async def _next(found: AsyncIterator[Document]) -> Document:
    return await anext(found, END)


class EventLoop:
    """`asyncio.Runner` for Python 3.10, as far as it is needed here."""

    def __enter__(self) -> EventLoop:
        import asyncio

        self._loop = asyncio.new_event_loop()
        return self

    def run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@overload
def crawler(function: Crawl) -> Crawler: ...


@overload
def crawler(
    *, name: str | None = None, batch: int = BATCH, parameters: list[dict[str, Any]] | None = None
) -> Callable[[Crawl], Crawler]: ...


def crawler(
    function: Crawl | None = None,
    *,
    name: str | None = None,
    batch: int = BATCH,
    parameters: list[dict[str, Any]] | None = None,
) -> Any:
    """Makes a `Crawler` of a function that takes a `CrawlTask` and yields documents; with or without arguments.

    `name` is the last part of the endpoint, that of the function if not given; `batch` the documents of one upload;
    `parameters` are those with which `taskhub crawler dev` registers it.
    """

    def make(function: Crawl) -> Crawler:
        return Crawler(function, name or function.__name__, batch, parameters or [])

    return make(function) if function is not None else make
