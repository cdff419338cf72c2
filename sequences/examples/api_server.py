"""A small API to try sequences on, as docs/sequences.md describes it: a process of its own, and nothing but Python.

`python -m sequences.examples.api_server --port 9002` serves `GET /users` and others at `http://127.0.0.1:9002`.
"""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from taskhub.example_server import ExampleHandler, serve

USERS = {"data": [{"id": 1, "name": "Ada", "age": 36}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Cy", "age": 7}]}
MISSING = {"why": "no such page"}
PAGES = {"1": [1, 2], "2": [3]}


class ExampleApiHandler(ExampleHandler):
    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path == "/users":
            self.answer_json(200, USERS)
        elif place.path == "/pages":
            self.answer_page(parse_qs(place.query).get("page", ["1"])[0])
        elif place.path == "/sent":
            self.answer_sent("")
        else:
            self.answer_json(404, MISSING)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = urlsplit(self.path)
        if place.path == "/sent":
            self.answer_sent(body.decode("utf-8", "replace"))
        elif place.path != "/echo":
            self.answer_json(404, MISSING)
        else:
            try:
                self.answer_json(200, json.loads(body))
            except ValueError:
                self.answer_json(400, {"why": "the body is no JSON"})

    def answer_page(self, page: str) -> None:
        items = PAGES.get(page, [])
        following = f"/pages?page={int(page) + 1}" if items else None
        link = {"Link": f'<{following}>; rel="next"'} if following else {}
        self.answer_json(200, {"items": items, "next": following}, link)

    def answer_sent(self, body: str) -> None:
        """What it was sent, as far as the documentation shows it."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        body = "" if kind == "multipart/form-data" else body  # its boundary is another one each time
        sent = {"query": urlsplit(self.path).query, "type": kind, "body": body}
        self.answer_json(200, sent | {"authorization": self.headers.get("Authorization", "")})

    def answer_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.answer(status, "application/json", json.dumps(value, ensure_ascii=False), headers)


if __name__ == "__main__":
    serve(ExampleApiHandler, name="API", description=__doc__, port=9002)
