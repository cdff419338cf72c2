"""A small API to try sequences on, as docs/sequences.md describes it: a process of its own, and nothing but Python.

`python -m sequences.examples.api_server --port 9002` serves `GET /users` and `POST /echo` at `http://127.0.0.1:9002`.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USERS = {"data": [{"id": 1, "name": "Ada", "age": 36}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Cy", "age": 7}]}
MISSING = {"why": "no such page"}


class ExampleApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/users":
            self.answer(200, USERS)
        else:
            self.answer(404, MISSING)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.partition("?")[0] != "/echo":
            self.answer(404, MISSING)
            return
        try:
            self.answer(200, json.loads(body))
        except ValueError:
            self.answer(400, {"why": "the body is no JSON"})

    def answer(self, status: int, value: Any) -> None:
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: sequences have records of their own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9002)
    options = parser.parse_args()
    with ThreadingHTTPServer((options.host, options.port), ExampleApiHandler) as server:
        print(f"The API is at http://{options.host}:{server.server_port}", flush=True)  # noqa: T201 (for people)
        server.serve_forever()


if __name__ == "__main__":
    main()
