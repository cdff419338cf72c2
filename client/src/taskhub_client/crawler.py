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

import hmac
import inspect
import json
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, overload
from uuid import uuid4

from taskhub_client.connection import Connection
from taskhub_client.documents import upload_documents
from taskhub_client.errors import Conflict, HubError, NotFound
from taskhub_client.exchange import Request, call
from taskhub_client.settings import Credentials

log = logging.getLogger(__name__)

BATCH = 500  # documents
BATCH_SECONDS = 5.0  # after which a smaller batch goes, too
REPORT_SECONDS = 1.0  # between two reports of progress and log lines
LOG_LINES_MAX = 1_000  # that wait for the next report
BODY_MAX = 4 * 1024 * 1024  # bytes of what the hub sends
TASKS_MAX = 16  # at once; the hub is told to send others later
MESSAGE_MAX = 500  # characters
RUNNING, DONE, FAILED = 102, 200, 500

Document = Mapping[str, Any]
Crawl = Callable[["CrawlTask"], "Iterable[Document] | AsyncIterator[Document] | None"]


CAPABILITY = re.compile(r"(?<=/c/)[^/]+")


def mask_capability(record: logging.LogRecord) -> bool:
    """Hides in a line of httpx, which logs each address, what allows to write to a task."""
    if isinstance(record.args, tuple):
        record.args = tuple(CAPABILITY.sub("***", str(arg)) if "/c/" in str(arg) else arg for arg in record.args)
    return True


logging.getLogger("httpx").addFilter(mask_capability)


class CrawlTask:
    """A task as the function sees it.

    Attributes:
        params: values of the external's parameters.
        credential: as it was given to the crawler; None without one.
        state: a mapping of the crawler's own, kept from task to task. It is sent behind the documents that were
            yielded before it changed.
        stats: numbers by name, shown with the task.
    """

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self.fid = str(sent["fid"])
        self.endpoint = str(sent["endpoint"])
        self.params: dict[str, Any] = dict(sent.get("params") or {})
        self.credential: Any = sent.get("credential")
        self.state: dict[str, Any] = dict(sent.get("state") or {})
        self.stats: dict[str, float] = {}
        self._state_sent = json.dumps(self.state, sort_keys=True)
        self._connection = Connection(Credentials(self.endpoint))
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._progress: dict[str, Any] | None = None
        self._lines: list[str] = []
        self._reported_at = 0.0

    @property
    def stopped(self) -> bool:
        """Whether the hub has ended the task. A function that yields seldom should look."""
        return self._stopped.is_set()

    def progress(self, done: float, total: float | None = None) -> None:
        """Tells how far the task is."""
        with self._lock:
            self._progress = {"done": done, **({} if total is None else {"total": total})}
        self._report_if_due()

    def log(self, message: str) -> None:
        """Writes a line into the log of the task's run."""
        with self._lock:
            if len(self._lines) < LOG_LINES_MAX:
                self._lines.append(str(message))
        self._report_if_due()

    def stop(self) -> None:
        self._stopped.set()

    def upload(self, documents: list[Document]) -> None:
        """Sends documents, then a state that has changed."""
        if documents:
            self._drive(upload_documents("", documents))
        state = json.dumps(self.state, sort_keys=True)
        if state != self._state_sent:
            self._drive(call(Request("PUT", "/state", json=self.state)))
            self._state_sent = state

    def end(self, code: int, message: str) -> None:
        """Reports the final status."""
        self._report(code, {"message": message})
        self._connection.close()

    def _report_if_due(self) -> None:
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._report(RUNNING, {})

    def _report(self, code: int, members: dict[str, Any]) -> None:
        with self._lock:
            progress, lines = self._progress, self._lines
            self._progress, self._lines, self._reported_at = None, [], time.monotonic()
        found = {"progress": progress, "log": lines, "stats": self.stats}
        body = {"code": code, **members, **{name: value for name, value in found.items() if value}}
        self._drive(call(Request("POST", "/status", json=body)))

    def _drive(self, flow: Any) -> Any:
        """What the flow returns. A task that the hub does not know any more, or that has ended there, is stopped."""
        try:
            return self._connection.drive(flow)
        except (NotFound, Conflict) as error:
            self.stop()
            raise TaskEnded(self.fid) from error


class TaskEnded(HubError):
    """The hub has ended the task, or deleted it."""


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
        """Serves the endpoint `http://{host}:{port}/{name}` until it is interrupted.

        With `token` only calls with `Authorization: Bearer {token}` are served: give the external that header.
        """
        with self.make_server(host, port, token=token) as server:
            log.info("crawler at http://%s:%d/%s", host, server.server_address[1], self.name)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                pass
            finally:
                self.stop_all()

    def make_server(self, host: str, port: int, *, token: str = "") -> ThreadingHTTPServer:
        """The server, listening; port 0 chooses one."""
        handler = type("Handler", (CrawlerHandler,), {"crawler": self, "token": token})
        return ThreadingHTTPServer((host, port), handler)

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
        if task := self._tasks.get(key):
            task.stop()

    def stop_all(self) -> None:
        """Ends all tasks as failed: their process ends."""
        for task in list(self._tasks.values()):
            if not task.stopped:
                task.stop()
                try:
                    task.end(FAILED, "the crawler was stopped")
                except HubError as error:
                    log.warning("Task %s was not told: %s", task.fid, error)

    def _work(self, key: str, task: CrawlTask) -> None:
        try:
            self._crawl(task)
            if not task.stopped:
                task.end(DONE, "done")
        except TaskEnded:
            log.info("Task %s has ended at the hub", task.fid)
        except Exception as error:
            log.exception("Task %s failed", task.fid)
            try:
                task.end(FAILED, f"{type(error).__name__}: {error}"[:MESSAGE_MAX])
            except HubError as problem:
                log.warning("Task %s was not told: %s", task.fid, problem)
        finally:
            del self._tasks[key]

    def _crawl(self, task: CrawlTask) -> None:
        """Uploads what the function yields, in batches by number and by time."""
        documents = iterate(self._function(task))
        batch: list[Document] = []
        sent_at = time.monotonic()
        try:
            for document in documents:
                if task.stopped:
                    return
                batch.append(document)
                if len(batch) >= self.batch or time.monotonic() - sent_at >= BATCH_SECONDS:
                    task.upload(batch)
                    batch, sent_at = [], time.monotonic()
            task.upload(batch)
        finally:
            documents.close()


def iterate(found: Any) -> Any:
    """What a function yields, as a generator: one of asyncio runs on an event loop of its own."""
    if found is None:
        return iter_all(())
    return iter_async(found) if hasattr(found, "__aiter__") else iter_all(found)


def iter_all(found: Iterable[Document]) -> Iterator[Document]:
    try:
        yield from found
    finally:
        if inspect.isgenerator(found):
            found.close()


def iter_async(found: AsyncIterator[Document]) -> Iterator[Document]:
    import asyncio

    with asyncio.Runner() if hasattr(asyncio, "Runner") else EventLoop() as loop:
        try:
            while (document := loop.run(_next(found))) is not None:
                yield document
        finally:
            if inspect.isasyncgen(found):
                loop.run(found.aclose())


async def _next(found: AsyncIterator[Document]) -> Document | None:
    return await anext(found, None)


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


class CrawlerHandler(BaseHTTPRequestHandler):
    """What the hub calls: `POST /{name}/task` starts a task, `PATCH /{name}/tasks/{key}/status` tells its end."""

    crawler: Crawler
    token = ""
    timeout = 60  # seconds for a request to arrive
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self._read()
        if sent is None:
            return
        if self._path() != f"/{self.crawler.name}/task":
            self._answer(404, {"message": f"The endpoint ends with /{self.crawler.name}."})
        elif not (
            isinstance(sent.get("fid"), str) and str(sent.get("endpoint", "")).startswith(("http://", "https://"))
        ):
            self._answer(400, {"message": "A task has a fid and an endpoint."})
        elif (callback := self.crawler.start(sent)) is None:
            self._answer(503, {"message": "There are too many tasks."}, {"Retry-After": "30"})
        else:
            self._answer(200, {"payload": {"callback": callback, "status": RUNNING}})

    def do_PATCH(self) -> None:
        sent = self._read()
        if sent is None:
            return
        start, _, rest = self._path().partition("/tasks/")
        if start != f"/{self.crawler.name}" or not rest.endswith("/status"):
            self._answer(404, {"message": "There is no such task."})
            return
        if int(sent.get("code") or 0) >= DONE:
            self.crawler.end(rest.removesuffix("/status"))
        self._answer(200, {})

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _read(self) -> dict[str, Any] | None:
        """The JSON object in the body; None where the call has been refused."""
        expected = f"Bearer {self.token}"
        if self.token and not hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected.encode()):
            return self._refuse(401, "The header Authorization is not that of this crawler.")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            return self._refuse(411, "A Content-Length is needed.")
        if int(length) > BODY_MAX:
            return self._refuse(413, f"A body has at most {BODY_MAX} bytes.")
        try:
            sent = json.loads(self.rfile.read(int(length)) or b"{}")
        except ValueError:
            return self._refuse(400, "The body is not JSON.")
        return sent if isinstance(sent, dict) else self._refuse(400, "The body is not a JSON object.")

    def _refuse(self, status: int, message: str) -> dict[str, Any] | None:
        """Answers a call whose body is not read, and gives None in its place."""
        self.close_connection = True
        self._answer(status, {"message": message})
        return None

    def _answer(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the path of a callback is a secret."""


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
