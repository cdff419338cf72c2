"""Sites on loopback to extract from, and what a user does with extraction over HTTP."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.example_servers import example_server
from tests.hub import Caller

FIELDS = [{"name": "title", "selector": "h2 a", "attrs": ["href", "text"]}]


@dataclass
class Reply:
    """What a site answers. `raw` is written instead of headers and body, and then the connection is closed."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def data(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body


Answer = Callable[[str, int], Reply]  # of a path, and how often it was asked for before


class Site:
    """`pages` by path, with their query. `hits` counts requests, `seen` keeps their headers."""

    def __init__(self) -> None:
        self.pages: dict[str, Reply | Answer] = {}
        self.hits: Counter[str] = Counter()
        self.seen: dict[str, dict[str, str]] = {}
        self.bodies: dict[str, bytes] = {}
        self.other: Answer | None = None
        self.url = ""

    def reply(self, path: str) -> Reply:
        before = self.hits[path]
        self.hits[path] += 1
        other = None if path == "/robots.txt" else self.other
        found = self.pages.get(path) or other or Reply("nothing", 404)
        return found if isinstance(found, Reply) else found(path, before)


def html(body: str, **headers: str) -> Reply:
    return Reply(f"<html><body>{body}</body></html>", headers={"Content-Type": "text/html; charset=utf-8", **headers})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # else some of many connections come a second late


@contextmanager
def serving() -> Iterator[Site]:
    """A site of its own on loopback."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def do_GET(self) -> None:
            site.seen[self.path] = dict(self.headers)
            site.bodies[self.path] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = site.reply(self.path)
            if reply.raw is not None:
                self.wfile.write(reply.raw)
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.data())), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.data())

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True

    with Server(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def bundled_site() -> AbstractContextManager[str]:
    """The address of the bundled site, a process of its own."""
    return example_server("extraction.examples.site")


def payload(url: str, **values: Any) -> dict[str, Any]:
    return {"request": {"url": url}, "fields": FIELDS, "format": "JSON", **values}


def create(caller: Any, sent: Mapping[str, Any]) -> dict[str, Any]:
    answer = caller.post("/v1/task/create", sent)
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def run(caller: Any, task: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    answer = caller.post(f"/v1/task/{task['id']}/run", given)
    assert answer.status_code == 202, answer.content
    return {**answer.json(), "run": answer.headers["Link"].partition("/runs/")[2].partition(">")[0]}


def info(caller: Any, process: Mapping[str, Any]) -> dict[str, Any]:
    return dict(caller.get(f"/v1/process/{process['id']}/info").json())


def ended(caller: Caller, process: Mapping[str, Any], seconds: float = 60) -> dict[str, Any]:
    """The process when its run has ended, which is followed as events."""
    with caller.get(f"/runs/{process['run']}/events", stream=True, timeout=seconds) as events:
        for _ in events.iter_lines():
            pass
    return info(caller, process)


def extracted(caller: Caller, sent: Mapping[str, Any], **given: Any) -> tuple[dict[str, Any], Any]:
    """The ended process of a payload, and its records."""
    process = ended(caller, run(caller, create(caller, sent), **given))
    return process, json.loads(export(caller, process, "json"))


def export(caller: Any, process: Mapping[str, Any], format: str = "", **query: Any) -> bytes:
    answer = caller.get(f"/v1/process/{process['id']}/export", {"format": format, **query} if format else query)
    assert answer.status_code == 200, answer.content
    return bytes(answer.content)
