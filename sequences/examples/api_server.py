"""A small API to try sequences on, as docs/sequences.md describes it: a process of its own, and nothing but Python.

`python -m sequences.examples.api_server --port 9002` serves `GET /users` and others at `http://127.0.0.1:9002`.
"""

import hmac
import json
from collections import Counter
from datetime import date
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from taskhub.example_server import ExampleHandler, serve

USERS = {"data": [{"id": 1, "name": "Ada", "age": 36}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Cy", "age": 7}]}
MISSING = {"why": "no such page"}
PAGES = {"1": [1, 2], "2": [3]}
SECRET, TOKEN = "s3cret", "fresh"  # whoever signs, or asks for the token, knows the secret
TRIES = 3  # until a job is done, and until what is flaky answers


class ExampleApiHandler(ExampleHandler):
    requests: ClassVar[Counter[str]] = Counter()  # by path, of what answers otherwise each time
    lock: ClassVar[Lock] = Lock()

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        users = {f"/users/{user['id']}": user for user in USERS["data"]}
        if place.path == "/users":
            self.answer_json(200, USERS)
        elif place.path in users:
            self.answer_json(200, users[place.path])
        elif place.path == "/pages":
            self.answer_page(query.get("page", "1"))
        elif place.path == "/sent":
            self.answer_sent("")
        elif place.path == "/flaky":
            self.answer_either(self.is_last_try(), (200, {"fine": True}), (503, {"why": "too busy"}))
        elif place.path.startswith("/jobs/"):
            self.answer_either(self.is_last_try(), (200, {"state": "done", "rows": 3}), (200, {"state": "running"}))
        elif place.path == "/price":
            self.answer_price(query.get("day", ""))
        elif place.path == "/account":
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self.answer_either(known, (200, {"name": "Ada"}), (401, {"why": "the token has expired"}))
        else:
            self.answer_json(404, MISSING)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = urlsplit(self.path)
        if place.path == "/sent":
            self.answer_sent(body.decode("utf-8", "replace"))
        elif place.path == "/echo":
            try:
                self.answer_json(200, json.loads(body))
            except ValueError:
                self.answer_json(400, {"why": "the body is no JSON"})
        elif place.path == "/jobs":
            self.answer_json(202, {"id": self.count("/jobs")})
        elif place.path == "/token":
            known = parse_qs(body.decode()).get("refresh_token") == [SECRET]
            self.answer_either(known, (200, {"access_token": TOKEN}), (400, {"error": "invalid_grant"}))
        elif place.path == "/orders":
            signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
            known = hmac.compare_digest(signature.encode(), self.headers.get("X-Signature", "").encode())
            self.answer_either(known, (201, {"accepted": True}), (401, {"why": "the signature is wrong"}))
        else:
            self.answer_json(404, MISSING)

    def count(self, path: str) -> int:
        with self.lock:
            self.requests[path] += 1
            return self.requests[path]

    def is_last_try(self) -> bool:
        return self.count(self.path) % TRIES == 0

    def answer_either(self, good: bool, answer: tuple[int, Any], otherwise: tuple[int, Any]) -> None:
        self.answer_json(*(answer if good else otherwise))

    def answer_page(self, page: str) -> None:
        items = PAGES.get(page, [])
        following = f"/pages?page={int(page) + 1}" if items else None
        link = {"Link": f'<{following}>; rel="next"'} if following else {}
        self.answer_json(200, {"items": items, "next": following}, link)

    def answer_price(self, day: str) -> None:
        """Another one than the day before."""
        try:
            self.answer_json(200, {"price": 9 + date.fromisoformat(day).toordinal() % 2})
        except ValueError:
            self.answer_json(400, {"why": "the day is no date"})

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
