"""Somebody who calls the hub over HTTP, as any client would, and says what was not as expected."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 60.0


class Surprise(Exception):
    """Something did not go as the demonstration says it does."""


class Visitor:
    def __init__(self, url: str) -> None:
        self.url = url
        self.headers = {"Content-Type": "application/json"}

    def sign_in(self, token: str) -> None:
        self.headers["Authorization"] = f"token {token}"

    def get(self, path: str, *, expect: int = 200) -> Any:
        """The JSON of the answer. Raises Surprise when the status is another than `expect`."""
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
        # The answer ends with its connection, which nobody needs to close.
        connection.request(method, path, json.dumps(body) if body is not None else None, self._headers())
        answer = connection.getresponse()
        if answer.status != expect:
            text = answer.read(2000).decode(errors="replace")
            raise Surprise(f"{method} {path} answered {answer.status}, not {expect}: {text}")
        return answer

    def _headers(self) -> dict[str, str]:
        return {**self.headers, "Connection": "close"}


def expect(found: Any, wanted: Any, what: str) -> None:
    """Raises Surprise when `found` is another than `wanted`."""
    if found != wanted:
        raise Surprise(f"{what} is {found!r}, not {wanted!r}.")
