"""A small external crawler: a process of its own, with an HTTP server of its own, and nothing but Python.

`python -m crawlers.examples.crawler --port 9000` serves `http://127.0.0.1:9000/shop`. The hub sends a task there; the
crawler makes up as many products as the task's parameter `count` says, uploads them, and reports that it is done. A
real one would fetch pages in `crawl`; all else is what any crawler has to do (docs/external-crawler.md).
"""

import argparse
import gzip
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

BATCH = 500
TRIES = 5
stopped: set[str] = set()  # the tasks that the hub has ended


def crawl(params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents of a task, one after the other."""
    for number in range(int(params.get("count", 3))):
        yield {"sku": f"{params.get('query', 'shoe')}-{number}", "price": number + 0.99, "name": f"Product {number}"}


def work(task: dict[str, Any]) -> None:
    """Works on a task: uploads in batches, then the final status."""
    try:
        documents = crawl(task["params"])
        while batch := list(islice(documents, BATCH)):
            if task["fid"] in stopped:
                return
            upload(task["endpoint"], batch)
            time.sleep(float(task["params"].get("pause", 0)))
        report(task["endpoint"], 200, "task done")
    except Exception as error:
        with suppress(urllib.error.HTTPError):  # the task has ended: nobody waits for its status
            report(task["endpoint"], 500, "the crawl failed", f"{type(error).__name__}: {error}")


def upload(endpoint: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Sends documents, one a line, in gzip. To send the same again is harmless, so a lost answer is no loss."""
    body = gzip.compress("\n".join(json.dumps(document) for document in documents).encode())
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    return send(f"{endpoint}/upload", body, headers)


def report(endpoint: str, code: int, message: str, detail: str = "") -> None:
    body = json.dumps({"code": code, "message": message, "detail": detail}).encode()
    send(f"{endpoint}/status", body, {"Content-Type": "application/json"})


def send(address: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Sends a request; again after 429, 5xx and a broken connection. Raises at once what will not get better."""
    for attempt in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=60) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            if attempt == TRIES or (error.code < 500 and error.code != 429):
                raise
            time.sleep(float(error.headers.get("Retry-After") or attempt))
        except OSError:
            if attempt == TRIES:
                raise
            time.sleep(attempt)
    raise AssertionError("unreachable")


class Handler(BaseHTTPRequestHandler):
    """What the hub calls: `POST /shop/task` starts a task, `PATCH /shop/tasks/<fid>/status` says that it has ended."""

    def do_POST(self) -> None:
        task = self._body()
        if not self.path.startswith("/shop/task?"):
            return self._answer(404, {"message": "there is nothing here"})
        threading.Thread(target=work, args=[task], daemon=True).start()
        return self._answer(200, {"payload": {"callback": f"/tasks/{task['fid']}", "status": 102}})

    def do_PATCH(self) -> None:
        change = self._body()
        if change.get("code", 0) >= 200:
            stopped.add(self.path.split("/")[3])
        self._answer(200, {})

    def _body(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the path of a callback may be a secret."""


def main() -> None:
    parser = argparse.ArgumentParser(description="An external crawler to try taskhub with.")
    parser.add_argument("--port", type=int, default=9000)
    with ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler) as server:
        print(f"crawler at http://127.0.0.1:{server.server_address[1]}/shop", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
