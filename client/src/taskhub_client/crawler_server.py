"""The HTTP server of an external crawler: what the hub calls."""

from __future__ import annotations

import hmac
import json
import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from taskhub_client.crawl_tasks import DONE, RUNNING
from taskhub_client.errors import HubError

if TYPE_CHECKING:
    from taskhub_client.crawler import Crawler

BODY_MAX = 4 * 1024 * 1024  # bytes of what the hub sends


class CrawlerServer(ThreadingHTTPServer):
    """A server of one crawler, listening; port 0 chooses one. With `token` only calls that carry it are served."""

    request_queue_size = 128  # the hub may start many tasks at once

    def __init__(self, crawler: Crawler, host: str, port: int, token: str) -> None:
        self.crawler, self.token, self.host = crawler, token, host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), CrawlerHandler)

    @property
    def endpoint(self) -> str:
        """The address with which the crawler is registered."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/{self.crawler.name}"


class CrawlerHandler(BaseHTTPRequestHandler):
    """What the hub calls: `POST /{name}/task` starts a task, `PATCH /{name}/tasks/{key}/status` tells its end."""

    server: CrawlerServer
    timeout = 60  # seconds for a request to arrive
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self._read()
        if sent is None:
            return
        if self._path() != f"/{self.server.crawler.name}/task":
            self._answer(404, {"message": f"The endpoint ends with /{self.server.crawler.name}."})
        elif not (
            isinstance(sent.get("fid"), str)
            and str(sent.get("endpoint", "")).startswith(("http://", "https://"))
            and isinstance(sent.get("params") or {}, dict)
        ):
            self._answer(400, {"message": "A task has a fid, an endpoint, and params by name."})
        else:
            self._start(sent)

    def _start(self, sent: dict[str, Any]) -> None:
        try:
            callback = self.server.crawler.start(sent)
        except HubError as error:
            self._answer(400, {"message": str(error)})
            return
        if callback is None:
            self._answer(503, {"message": "There are too many tasks."}, {"Retry-After": "30"})
        else:
            self._answer(200, {"payload": {"callback": callback, "status": RUNNING}})

    def do_PATCH(self) -> None:
        sent = self._read()
        if sent is None:
            return
        start, _, rest = self._path().partition("/tasks/")
        if start != f"/{self.server.crawler.name}" or not rest.endswith("/status"):
            self._answer(404, {"message": "There is no such task."})
        elif not isinstance(code := sent.get("code"), int):
            self._answer(400, {"message": "A status has a code."})
        else:
            if code >= DONE:
                self.server.crawler.end(rest.removesuffix("/status"))
            self._answer(200, {})

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _read(self) -> dict[str, Any] | None:
        """The JSON object in the body; None where the call has been refused."""
        token, given = self.server.token, self.headers.get("Authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return self._refuse(401, "The header Authorization is not that of this crawler.")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            return self._refuse(411, "A Content-Length is needed.")
        if len(length) > len(str(BODY_MAX)) or int(length) > BODY_MAX:
            return self._refuse(413, f"A body has at most {BODY_MAX} bytes.")
        try:
            sent = json.loads(self.rfile.read(int(length)) or b"{}")
        except (ValueError, RecursionError):
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
        if self.close_connection:  # what the client has sent behind it is not read
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the path of a callback is a secret."""
