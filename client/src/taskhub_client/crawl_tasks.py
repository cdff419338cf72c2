"""A task of an external crawler, as the crawler sees it."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from taskhub_client.connection import Connection
from taskhub_client.documents import state_request, upload_documents
from taskhub_client.errors import Conflict, HubError, HubUnreachable, InvalidRequest, NotFound
from taskhub_client.exchange import TRIES, Request, call
from taskhub_client.settings import Credentials

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0  # between two reports of progress and log lines
LOG_LINES_MAX = 1_000  # that wait for the next report
PATIENT_TRIES = 20  # some minutes: documents outlast a restart of the hub
RUNNING, DONE, FAILED = 102, 200, 500

Document = Mapping[str, Any]
CAPABILITY = re.compile(r"(?<=/c/)[^/]+")


def mask_capability(record: logging.LogRecord) -> bool:
    """Hides in a line of httpx, which logs each address, what allows to write to a task."""
    if isinstance(record.args, tuple):
        record.args = tuple(CAPABILITY.sub("***", str(arg)) if "/c/" in str(arg) else arg for arg in record.args)
    return True


logging.getLogger("httpx").addFilter(mask_capability)


class TaskEnded(HubError):
    """The hub has ended the task, or deleted it."""


class CrawlTask:
    """A task as the function sees it.

    Attributes:
        params: values of the external's parameters.
        credential: as it was given to the crawler; None without one.
        state: JSON of the crawler's own, kept from task to task; an empty mapping at first. It is sent behind the
            documents that were yielded before it changed.
        stats: numbers by name, shown with the task.
    """

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self.fid = str(sent["fid"])
        self.endpoint = str(sent["endpoint"])
        self.params: dict[str, Any] = dict(sent.get("params") or {})
        self.credential: Any = sent.get("credential")
        self.state: Any = {} if sent.get("state") is None else sent["state"]
        self.stats: dict[str, float] = {}
        self._state_sent = json.dumps(self.state, sort_keys=True)
        self._connection = Connection(Credentials(self.endpoint))
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._progress: dict[str, int] | None = None
        self._lines: list[str] = []
        self._reported_at = 0.0

    @property
    def stopped(self) -> bool:
        """Whether the hub has ended the task. A function that yields and tells seldom should look."""
        return self._stopped.is_set()

    def progress(self, done: float, total: float | None = None) -> None:
        """Tells how far the task is, in whole numbers. Raises `TaskEnded` where the hub has ended it."""
        with self._lock:
            self._progress = {"done": int(done), **({} if total is None else {"total": int(total)})}
        self._report_if_due()

    def log(self, message: str) -> None:
        """Writes a line into the log of the task's run. Raises `TaskEnded` where the hub has ended the task."""
        with self._lock:
            if len(self._lines) < LOG_LINES_MAX:
                self._lines.append(str(message))
        self._report_if_due()

    def stop(self) -> None:
        self._stopped.set()

    def upload(self, documents: list[Document]) -> None:
        """Sends documents, then a state that has changed."""
        self.upload_documents(documents)
        state = json.dumps(self.state, sort_keys=True)
        if state != self._state_sent:
            self._drive(call(replace(state_request("", self.state), tries=PATIENT_TRIES)))
            self._state_sent = state

    def upload_documents(self, documents: list[Document]) -> None:
        if documents:
            self._drive(upload_documents("", documents, tries=PATIENT_TRIES))

    def end(self, code: int, message: str, *, tries: int = PATIENT_TRIES) -> None:
        """Reports the final status."""
        try:
            self._report(code, {"message": message}, tries)
        except InvalidRequest as error:  # its stats or lines are not what the hub takes
            self.stats, self._lines, self._progress = {}, [], None
            self._report(FAILED, {"message": f"The last status was refused: {error}"}, tries)

    def close(self) -> None:
        self._connection.close()

    def _report_if_due(self) -> None:
        if self.stopped:
            raise TaskEnded(self.fid)
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            try:
                self._report(RUNNING, {}, TRIES)
            except HubUnreachable as error:  # what matters are the documents, which are more patient
                log.warning("Task %s could not tell its progress: %s", self.fid, error)

    def _report(self, code: int, members: dict[str, Any], tries: int) -> None:
        with self._lock:
            progress, lines = self._progress, self._lines
            self._progress, self._lines, self._reported_at = None, [], time.monotonic()
        found = {"progress": progress, "log": lines, "stats": self.stats}
        body = {"code": code, **members, **{name: value for name, value in found.items() if value}}
        try:
            self._drive(call(Request("POST", "/status", json=body, tries=tries)))
        except HubUnreachable:
            with self._lock:
                self._lines = [*lines, *self._lines][:LOG_LINES_MAX]
            raise

    def _drive(self, flow: Any) -> Any:
        """What the flow returns. A task that the hub does not know any more, or that has ended there, is stopped."""
        try:
            return self._connection.drive(flow)
        except (NotFound, Conflict) as error:
            self.stop()
            raise TaskEnded(self.fid) from error
