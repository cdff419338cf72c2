"""What other servers answer to a sequence, on a running hub: what a step's value is, and what its record tells."""

from collections.abc import Iterator
from socket import socket
from typing import Any

import pytest

from tests.hub import Hub
from tests.integration.outbound_servers import Server, answer, serving

pytestmark = pytest.mark.slow

JSON = "application/json"
PLACE = "The answer says that it is {kind}. The JSON cannot be read: "

# By name: content type, body, value, what the record's note holds. None stands for no content type.
READ: dict[str, tuple[str | None, bytes, Any, str]] = {
    "plain": (JSON, b'{"z": 1, "a": [2]}', {"z": 1, "a": [2]}, ""),
    "suffix": ("application/vnd.api+json", b"[1]", [1], ""),
    "problem": ("application/problem+json; charset=utf-8", b'"text"', "text", ""),
    "text_json": ("text/json", b"1.5", 1.5, ""),
    "x_amz": ("application/x-amz-json-1.1", b"true", True, ""),
    "capitals": ("Application/JSON; Charset=UTF-8", '"ž"'.encode(), "ž", ""),
    "bom": (JSON, b'\xef\xbb\xbf{"a": 1}', {"a": 1}, ""),
    "bom_only": (JSON, b"\xef\xbb\xbf", None, ""),
    "nothing": (JSON, b"", None, ""),
    "utf_16": (f"{JSON}; charset=utf-16", '{"a": "ž"}'.encode("utf-16"), {"a": "ž"}, ""),
    "utf_16_bare": (JSON, '{"a": "ž"}'.encode("utf-16-be"), {"a": "ž"}, ""),
    "utf_32": (JSON, '{"a": "ž"}'.encode("utf-32"), {"a": "ž"}, ""),
    "latin_1": (f"{JSON}; charset=ISO-8859-1", '{"a": "Größe"}'.encode("latin-1"), {"a": "Größe"}, ""),
    "windows": (f'{JSON}; charset="windows-1252"', '{"a": "€"}'.encode("cp1252"), {"a": "€"}, ""),
    "unknown": (f"{JSON}; charset=none-such", b"[1]", [1], "'none-such' is not known"),
    "duplicate": (JSON, b'{"a": 1, "b": 2, "a": 3}', {"a": 3, "b": 2}, "twice"),
    "nan": (JSON, b'{"a": NaN, "b": [-Infinity, 1e999]}', {"a": None, "b": [None, None]}, "became null (3)"),
    "surrogate": (JSON, rb'["\ud800"]', ["\ufffd"], "U+FFFD"),
    "nul": (JSON, rb'{"a\u0000": "b\u0000"}', {"a": "b"}, "U+0000 was left out (2)"),
    "lines": ("application/x-ndjson", b'{"a": 1}\n{"a": NaN}\n', [{"a": 1}, {"a": None}], "became null (1)"),
    "one_line": ("application/jsonl", b'{"a": 1}', [{"a": 1}], ""),
    "unsaid": (None, b' {"a": 1}', {"a": 1}, ""),
    "text_that_is_json": ("text/plain", b"[1, NaN]", [1, None], "became null (1)"),
    "text_that_is_none": ("text/plain", b"[not JSON]", "[not JSON]", ""),
    "text_of_a_digit": ("text/plain", b"1", "1", ""),
    "page": ("text/html; charset=iso-8859-1", "<p>Größe</p>".encode("latin-1"), "<p>Größe</p>", ""),
}
# By name: status, content type, body, the step's error, and the body in its value.
FAILED: dict[str, tuple[str, str, bytes, str, Any]] = {
    "broken": ("200 OK", JSON, b'{"a": ', PLACE + "Expecting value at line 1, column 7.", '{"a": '),
    "html": ("200 OK", JSON, b"<html>", PLACE + "Expecting value at line 1, column 1.", "<html>"),
    "not_utf_8": ("200 OK", JSON, '["é"]'.encode("latin-1"), PLACE + "byte 2 is not UTF-8.", '["\ufffd"]'),
    "too_deep": (
        *("200 OK", "text/json", b"[" * 101 + b"]" * 101),
        *(PLACE + "nested deeper than 100 levels.", "[" * 101 + "]" * 101),
    ),
    "broken_line": ("200 OK", "application/x-ndjson", b"{}\n{", PLACE + "Expecting property name", "{}\n{"),
    "away": ("503 Away", JSON, b'{"why": "rest"}', "503", {"why": "rest"}),
    "away_broken": ("503 Away", JSON, b"{", "503", "{"),
    "away_in_latin_1": ("503 Away", "text/html; charset=latin1", "Größe".encode("latin-1"), "503", "Größe"),
    "away_with_nan": ("500 Off", JSON, b'{"a": NaN}', "500", {"a": None}),
    "missing": ("404 Not Found", "text/plain", b"no", "404", "no"),
    "missing_without_a_reason": ("404 ", "text/plain", b"no", "404", "no"),
    "gone": ("410 Gone", JSON, b"", "410", None),
}


def respond(server: Server, connection: socket) -> None:
    name = server.heads[-1].split()[1].removeprefix("/")
    status, (kind, body, *_) = ("200 OK", READ[name]) if name in READ else (FAILED[name][0], FAILED[name][1:])
    connection.sendall(answer(body, *([f"Content-Type: {kind}"] if kind else []), status=status))


@pytest.fixture(scope="module")
def shown(hub: Hub) -> Iterator[dict[str, Any]]:
    """One run that asks for all of them."""
    with serving() as serve:
        url = serve(respond).url
        requests = [
            {"method": "GET", "url": f"{url}/{name}", "save_to": name, "ignore_error": name in FAILED}
            for name in [*READ, *FAILED]
        ]
        run: dict[str, Any] = hub.admin.post("/sequences/runs?wait=60", {"requests": requests}).json()
        assert run["state"] == "SUCCESS", run["error"]
        yield run


def test_what_says_json_is_read_in_its_charset_and_mended_on_record(shown: dict[str, Any]) -> None:
    assert {name: shown["result"][name] for name in READ} == {name: value for name, (_, _, value, _) in READ.items()}
    assert list(shown["result"]["duplicate"]) == ["a", "b"]
    steps = dict(zip([*READ, *FAILED], shown["steps"], strict=True))
    for name, (_, _, _, note) in READ.items():
        assert steps[name]["error"] == ""
        assert bool(steps[name]["note"]) == bool(note)
        assert note in steps[name]["note"]


def test_what_cannot_be_read_is_the_steps_error_and_an_errors_body_is_its_value(shown: dict[str, Any]) -> None:
    steps = dict(zip([*READ, *FAILED], shown["steps"], strict=True))
    for name, (status, kind, _, error, body) in FAILED.items():
        code, _, reason = status.partition(" ")
        assert error.format(kind=kind) in steps[name]["error"]
        assert steps[name]["status"] == int(code)
        message = steps[name]["error"] if code == "200" else reason or f"HTTP {code}"
        assert shown["result"][name] == {"status": int(code), "message": message, "body": body}
