"""An HTTP client that raises an error for an unexpected answer."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 60.0


class UnexpectedAnswer(Exception):
    """The hub did something else than the demonstration says."""


class Visitor:
    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {"Content-Type": "application/json"}

    def sign_in(self, token: str) -> None:
        self.headers["Authorization"] = f"token {token}"

    def get(self, path: str, *, expect: int = 200) -> Any:
        """The JSON of the answer. Raises `UnexpectedAnswer` if the status is not `expect`."""
        return json.load(self._call("GET", path, None, expect))

    def post(self, path: str, body: Any, *, expect: int = 200) -> Any:
        return json.load(self._call("POST", path, body, expect))

    def delete(self, path: str) -> Any:
        return json.load(self._call("DELETE", path, None, 200))

    def events(self, path: str) -> Iterator[Any]:
        """The data of each server-sent event, until the stream ends."""
        for line in self._call("GET", path, None, 200):
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))

    def _call(self, method: str, path: str, body: Any, expect: int) -> HTTPResponse:
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT)
        # The server closes the connection at the end of the answer.
        connection.request(method, path, json.dumps(body) if body is not None else None, self._headers())
        answer = connection.getresponse()
        if answer.status != expect:
            text = answer.read(2000).decode(errors="replace")
            raise UnexpectedAnswer(f"{method} {path} answered {answer.status}, not {expect}: {text}")
        return answer

    def _headers(self) -> dict[str, str]:
        return {**self.headers, "Connection": "close"}


def expect(actual: Any, expected: Any, name: str) -> None:
    """Raises `UnexpectedAnswer` if the two values differ; `name` is the subject of its message."""
    if actual != expected:
        raise UnexpectedAnswer(f"{name} is {actual!r}, not {expected!r}.")
