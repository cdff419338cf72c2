"""Processes: the runs of an extraction."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from taskhub_client.connection import AsyncConnection, Connection
from taskhub_client.documents import download, lines_of
from taskhub_client.errors import HubError, WaitTimeout
from taskhub_client.exchange import Flow, Pause, Request, call, call_object
from taskhub_client.operations import Awaiting, Blocking, emits, operation

JsonObject = dict[str, Any]
POLL_MIN, POLL_MAX = 0.2, 2.0  # seconds between two looks


class ProcessFailed(HubError):
    """A process ended otherwise than finished, or waits for credits. `process` is what the hub says of it."""

    def __init__(self, process: JsonObject) -> None:
        self.process = process
        missing = f" for want of {process['missingCredits']} credits" if process["status"] == "pending" else ""
        super().__init__(f"Process {process['id']} is {process['status']}{missing}. Its log: {process['logFile']}")


class ProcessHandle:
    """What `Process` and `AsyncProcess` have in common. `info` is the process as it was when the hub was last asked."""

    _connection: Any

    def __init__(self, info: JsonObject) -> None:
        self.info = info

    @property
    def id(self) -> str:
        return str(self.info["id"])

    @property
    def status(self) -> str:
        """running, finished, canceled, failed or pending."""
        return str(self.info["status"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    def _refresh(self) -> Flow[JsonObject]:
        self.info = yield from call_object(Request("GET", f"/v1/process/{self.id}/info"))
        return self.info

    @operation
    def refresh(self) -> Flow[JsonObject]:
        """Asks the hub for the process, and returns what it says."""
        return (yield from self._refresh())

    @operation
    def wait(self, timeout: float | None = None) -> Flow[JsonObject]:
        """Waits until it is finished. Raises `ProcessFailed` where it is not, `WaitTimeout` after `timeout` seconds."""
        until, pause = None if timeout is None else time.monotonic() + timeout, POLL_MIN
        while (yield from self._refresh())["status"] == "running":
            if until is not None and time.monotonic() + pause > until:
                raise WaitTimeout(f"Process {self.id} is still running after {timeout:g} seconds.")
            yield Pause(pause)
            pause = min(POLL_MAX, pause * 1.5)
        if self.status != "finished":
            raise ProcessFailed(self.info)
        return self.info

    @emits(JsonObject)
    def records(self) -> Flow[None]:
        """Iterates over what was extracted so far."""
        query = {"format": "JSONL"}
        request = Request("GET", f"/v1/process/{self.id}/export", query, headers={"Accept": "*/*"}, streamed=True)
        return (yield from lines_of(request))

    @operation
    def download(self, path: str | Path, format: str | None = None) -> Flow[Path]:
        """Writes what was extracted to a file: CSV, XLSX, JSON, JSONL or XML, by the file's ending if not given."""
        chosen = format or Path(path).suffix.removeprefix(".").upper() or "JSON"
        request = Request(
            "GET", f"/v1/process/{self.id}/export", {"format": chosen}, headers={"Accept": "*/*"}, streamed=True
        )
        return (yield from download(request, path))

    @operation
    def cancel(self) -> Flow[JsonObject]:
        """Stops it; what was extracted stays."""
        answer = yield from call(Request("POST", f"/v1/process/{self.id}/cancel"))
        self.info = {**self.info, **(answer or {})}
        return self.info


class Process(ProcessHandle, Blocking):
    """A run of an extraction."""

    def __init__(self, connection: Connection, info: JsonObject) -> None:
        ProcessHandle.__init__(self, info)
        Blocking.__init__(self, connection)


class AsyncProcess(ProcessHandle, Awaiting):
    """A run of an extraction, for asyncio."""

    def __init__(self, connection: AsyncConnection, info: JsonObject) -> None:
        ProcessHandle.__init__(self, info)
        Awaiting.__init__(self, connection)
