"""A small API to try sequences on, as docs/sequences.md describes it: a process of its own, and nothing but Python.

`python -m sequences.examples.api_server --port 9002` serves `GET /users` and `POST /echo` at `http://127.0.0.1:9002`.
"""

import json
from typing import Any

from taskhub.example_server import ExampleHandler, serve

USERS = {"data": [{"id": 1, "name": "Ada", "age": 36}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Cy", "age": 7}]}
MISSING = {"why": "no such page"}


class ExampleApiHandler(ExampleHandler):
    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/users":
            self.answer_json(200, USERS)
        else:
            self.answer_json(404, MISSING)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.partition("?")[0] != "/echo":
            self.answer_json(404, MISSING)
            return
        try:
            self.answer_json(200, json.loads(body))
        except ValueError:
            self.answer_json(400, {"why": "the body is no JSON"})

    def answer_json(self, status: int, value: Any) -> None:
        self.answer(status, "application/json", json.dumps(value, ensure_ascii=False))


if __name__ == "__main__":
    serve(ExampleApiHandler, name="API", description=__doc__, port=9002)
