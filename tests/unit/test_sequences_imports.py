"""Sequences made of what other tools wrote down."""

# ruff: noqa: E501  # as the tools write it, on one line

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequences.domain.imports import guess_format, import_source
from sequences.domain.imports.shell_words import split_commands
from sequences.domain.program import parse
from sequences.domain.validation_errors import InvalidSequence

STORE = "Store the value as a secret: PUT /secrets/"


def imported(format_: str, source: Any) -> tuple[dict[str, Any], list[str]]:
    """The sequence, which is valid, and what the warnings tell."""
    report = import_source(format_, source)
    parse(report["sequence"])
    assert not [warning for warning in report["warnings"] if warning["path"].startswith("sequence")]
    return report["sequence"], [warning["detail"] for warning in report["warnings"]]


def steps(format_: str, source: Any) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = imported(format_, source)[0]["requests"]
    return requests


def step(command: str) -> dict[str, Any]:
    """The only step of a command, without what all commands have that do not say `-L`."""
    (only,) = steps("curl", command)
    return {key: value for key, value in only.items() if (key, value) != ("follow_redirects", False)}


GET = {"method": "GET", "url": "https://h.example/a"}
POST = {"method": "POST", "url": "https://h.example/a"}
COMMANDS = {
    # As documentation prints them
    "curl https://h.example/a": GET,
    "$ curl -s -S https://h.example/a | jq .data": GET,
    "curl -X DELETE https://h.example/a": {**GET, "method": "DELETE"},
    "curl -XPATCH https://h.example/a -d a=": {**POST, "method": "PATCH", "form": {"a": ""}},
    "curl -I h.example/a": {"method": "HEAD", "url": "http://h.example/a"},
    "curl --request POST --url https://h.example/a --header 'accept: text/plain'": {**POST, "headers": {"accept": "text/plain"}},
    "curl https://h.example/a -d name=Ada -d 'note=a%20b&tag=x' -d tag=y": {**POST, "form": {"name": "Ada", "note": "a b", "tag": ["x", "y"]}},
    'curl https://h.example/a -H "Content-Type: application/json" -d "{\\"a\\": [1, 2.5, null]}"': {**POST, "body": {"a": [1, 2.5, None]}},
    "curl https://h.example/a --json '{\"a\": 1}'": {**POST, "body": {"a": 1}, "headers": {"Accept": "application/json"}},
    "curl https://h.example/a -d '{\"a\": 1}'": {**POST, "body": {"a": 1}},
    "curl https://h.example/a -H 'Content-Type: application/vnd.api+json' -d '{\"a\": 1}'": {
        **POST, "body": {"a": 1}, "headers": {"Content-Type": "application/vnd.api+json"}
    },
    "curl https://h.example/a -H 'Content-Type: application/json' -d '{\"a\": 1, \"a\": 2}'": {
        **POST, "text": '{"a": 1, "a": 2}', "headers": {"Content-Type": "application/json"}
    },
    "curl https://h.example/a -H 'Content-Type: text/xml' -d '<a>1</a>'": {**POST, "text": "<a>1</a>", "headers": {"Content-Type": "text/xml"}},
    "curl -G https://h.example/a --data-urlencode 'q=a b&c' -d n=1": {**GET, "url": "https://h.example/a?q=a+b%26c&n=1"},
    "curl https://h.example/a?x=1 --url-query y=2": {**GET, "url": "https://h.example/a?x=1&y=2"},
    "curl -F title=List -F 'file=@docs/list.csv;type=text/csv' -F 'note=a;b' https://h.example/a": {
        **POST,
        "multipart": {
            "title": "List",
            "file": {"filename": "list.csv", "content_type": "text/csv", "content": "{{#.file_list}}"},
            "note": "a;b",
        },
    },
    "curl https://h.example/a --data-binary @body.json -H 'Content-Type: application/octet-stream'": {
        **POST, "text": "{{#.file_body}}", "headers": {"Content-Type": "application/octet-stream"}
    },
    "curl -m 10 --connect-timeout 2.5 https://h.example/a": {**GET, "timeout": {"total": 10, "connect": 2.5}},
    "curl --retry 3 --retry-delay 2 https://h.example/a": {
        **GET, "retry": {"attempts": 4, "unsafe": True, "delay": 2, "backoff": "constant"}
    },
    "curl -A own/1 -e https://h.example/ https://h.example/a": {
        **GET, "headers": {"User-Agent": "own/1", "Referer": "https://h.example/"}
    },
    "curl https://h.example/ä?q=é": {**GET, "url": "https://h.example/%C3%A4?q=%C3%A9"},
    # Credentials
    "curl -u ada:lovelace https://h.example/a": {**GET, "auth": {"basic": {"username": "ada", "password": "{{secret.PASSWORD}}"}}},
    "curl -u sk_live_48151623: https://h.example/a": {**GET, "auth": {"basic": {"username": "{{secret.KEY}}", "password": ""}}},
    "curl https://ada:love%20lace@h.example/a": {**GET, "auth": {"basic": {"username": "ada", "password": "{{secret.PASSWORD}}"}}},
    "curl -H 'Authorization: Bearer abc' https://h.example/a": {**GET, "auth": {"bearer": "{{secret.TOKEN}}"}},
    "curl -H 'authorization: Basic YWRhOmxvdmVsYWNl' https://h.example/a": {
        **GET, "auth": {"basic": {"username": "ada", "password": "{{secret.PASSWORD}}"}}
    },
    "curl -H 'Authorization: Basic ä' https://h.example/a": {**GET, "headers": {"Authorization": "{{secret.AUTHORIZATION}}"}},
    "curl -H 'Authorization: token abc' https://h.example/a": {**GET, "headers": {"Authorization": "{{secret.AUTHORIZATION}}"}},
    "curl -H 'X-Api-Key: abc' -b 'sid=1; b=2' https://h.example/a": {
        **GET, "headers": {"X-Api-Key": "{{secret.X_API_KEY}}", "Cookie": "{{secret.COOKIE}}"}
    },
    "curl 'https://h.example/a?page=2&access_token=abc'": {**GET, "url": "https://h.example/a?page=2&access_token={{secret.ACCESS_TOKEN}}"},
    # Variables
    'curl "$BASE/a" -H "Authorization: Bearer ${API_TOKEN}"': {
        "method": "GET", "url": "{{#.BASE}}/a", "auth": {"bearer": "{{secret.API_TOKEN}}"}
    },
    "curl https://h.example/a --json '{\"id\": '\"$ID\"'}'": {
        **POST, "body": {"id": "{{#.ID}}"}, "headers": {"Accept": "application/json"}
    },
    # Braces are braces
    "curl https://h.example/a --json '{\"a\": \"{{b}}\"}' -H 'X-B: {{c}}'": {
        **POST, "body": {"a": "{{'{{'}}b}}"}, "headers": {"X-B": "{{'{{'}}c}}", "Accept": "application/json"}
    },
    # As browsers copy them
    "curl 'https://h.example/a' \\\n  -H 'accept-encoding: gzip' \\\n  -H 'x-n: it'\\''s' \\\n  --data-raw $'{\"a\":\"O\\'N\\u00e9\\\\n\"}' \\\n  -H 'content-type: application/json' --compressed": {
        **POST, "headers": {"x-n": "it's"}, "body": {"a": "O'Né\n"}
    },
    'curl ^"https://h.example/a^" ^\r\n  -H ^"x-n: 1^" ^\r\n  -H ^"content-type: application/json^" ^\r\n  --data-raw ^"^{^\\^"a^\\^":^\\^"x y^\\^"^}^"': {
        **POST, "headers": {"x-n": "1"}, "body": {"a": "x y"}
    },
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_curl_command_is_a_step(command: str) -> None:
    assert step(command) == COMMANDS[command]


def test_curl_follows_redirects_only_where_it_is_told_to() -> None:
    first, second = steps("curl", "curl -sL https://h.example/a\ncurl https://h.example/b  # the second")
    assert "follow_redirects" not in first
    assert second["follow_redirects"] is False


def test_several_commands_and_addresses_are_steps_in_their_order() -> None:
    text = "export A=1; curl https://h.example/1 https://h.example/2 >out 2>&1 && curl https://h.example/3 --next -d a=b https://h.example/4"
    sequence, told = imported("curl", text)
    assert [(one["method"], one["url"][-1]) for one in sequence["requests"]] == [
        ("GET", "1"), ("GET", "2"), ("GET", "3"), ("POST", "4")
    ]  # fmt: skip
    assert told == ["The command export is left out: it is not curl."]


def test_what_cannot_be_taken_over_is_told() -> None:
    _, told = imported(
        "curl", "curl -k -x http://proxy:1 --digest -u a:b -H @headers -b jar.txt 'https://h.example/[1-3]'"
    )
    for words in ("insecure", "proxy", "digest", "headers in the file", "cookies in the file", "several addresses"):
        assert any(words in detail for detail in told), words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "no curl command"),
        ("wget https://h.example/", "no curl command"),
        ("curl -X POST", "commands[0] has no address"),
        ("curl https://h.example/ -H", "-H has no value"),
        ("curl 'https://h.example/", "Line 1, column 6: what begins here with ' is not closed"),
        ('curl https://h.example/ \\\n -d "a', "Line 2, column 5"),
        (5, "is text"),
        ("x" * 1_000_001, "at most 1000000 characters"),
    ],
)
def test_what_is_no_curl_command_is_told(source: Any, words: str) -> None:
    with pytest.raises(InvalidSequence) as caught:
        import_source("curl", source)
    assert [error["path"] for error in caught.value.errors] == ["source"]
    assert words in caught.value.errors[0]["detail"]


SAFE_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\ue000\ue001"), max_size=20)


@given(st.lists(SAFE_TEXT, min_size=1, max_size=4))
def test_what_a_shell_quotes_is_read_as_it_was(words: list[str]) -> None:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    if "^\n" not in quoted and '^"' not in quoted and "^\r" not in quoted:
        assert split_commands(f"curl {quoted}", lambda name: "?") == [["curl", *words]]


@given(st.text(max_size=200))
def test_whatever_the_text_is_there_is_a_sequence_or_a_fault(text: str) -> None:
    for format_ in ("curl", "har", "postman"):
        with suppress(InvalidSequence):
            report = import_source(format_, f"curl {text}" if format_ == "curl" else text)
            assert report.keys() == {"sequence", "warnings"}


@pytest.mark.parametrize(
    ("body", "key"), [("[" * 90 + "]" * 90, "body"), ("[" * 900 + "]" * 900, "text"), (r'"\ud800"', "text")]
)
def test_a_body_that_could_not_be_stored_as_json_is_sent_as_text(body: str, key: str) -> None:
    assert key in step(f"curl h --json '{body}'")


# HAR


def har(*requests: dict[str, Any], **entry: Any) -> dict[str, Any]:
    entries = [
        {"startedDateTime": "2026-01-31T12:00:00Z", "request": {"method": "GET", **one}, "response": {}, **entry}
        for one in requests
    ]
    return {"log": {"version": "1.2", "creator": {"name": "Firefox", "version": "140"}, "entries": entries}}


def pairs(**values: str) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in values.items()]


URL = {"url": "https://h.example/a"}
HARS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # Chrome: HTTP/2 with pseudo-headers, cookies twice
    (
        {**URL, "headers": [*pairs(accept="*/*", cookie="sid=48151623"), {"name": ":authority", "value": "h.example"}], "cookies": pairs(sid="48151623")},
        {**GET, "headers": {"accept": "*/*", "cookie": "{{secret.COOKIE}}"}},
    ),
    # an exporter that has cookies in their own list only
    ({**URL, "headers": [], "cookies": pairs(a="1", b="2")}, {**GET, "headers": {"Cookie": "{{secret.COOKIE}}"}}),
    # JSON, a form by params (Firefox), a form by text (Chrome)
    (
        {**URL, "method": "POST", "headers": pairs(Content_Type="application/json"), "postData": {"mimeType": "application/json", "text": '{"user": "ada", "password": "lovelace"}'}},
        {**POST, "body": {"user": "ada", "password": "{{secret.PASSWORD}}"}},
    ),
    (
        {**URL, "method": "POST", "headers": [], "postData": {"mimeType": "application/x-www-form-urlencoded", "params": pairs(a="1 2"), "text": ""}},
        {**POST, "form": {"a": "1 2"}},
    ),
    (
        {**URL, "method": "POST", "headers": pairs(content_type="application/x-www-form-urlencoded; charset=UTF-8"), "postData": {"mimeType": "application/x-www-form-urlencoded; charset=UTF-8", "text": "a=1+2&a=%C3%A4"}},
        {**POST, "form": {"a": ["1 2", "ä"]}},
    ),
    # parts by params, and as they were sent
    (
        {**URL, "method": "POST", "headers": pairs(Content_Type="multipart/form-data; boundary=x"), "postData": {"mimeType": "multipart/form-data; boundary=x", "params": [{"name": "f", "fileName": "a.txt", "contentType": "text/plain", "value": "hi"}, {"name": "t", "value": "1"}]}},
        {**POST, "multipart": {"f": {"filename": "a.txt", "content": "hi", "content_type": "text/plain"}, "t": "1"}},
    ),
    (
        {**URL, "method": "POST", "headers": pairs(Content_Type="multipart/form-data; boundary=x"), "postData": {"mimeType": "multipart/form-data; boundary=x", "text": '--x\r\nContent-Disposition: form-data; name="t"\r\n\r\nä\r\n--x\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n'}},
        {**POST, "multipart": {"t": "ä", "f": {"filename": "a.bin", "content": "{{#.file_a}}", "content_type": "application/octet-stream"}}},
    ),
    ({**URL, "method": "POST", "headers": pairs(Content_Type="text/plain"), "postData": {"mimeType": "text/plain", "text": base64.b64encode(b"hi").decode(), "encoding": "base64"}}, {**POST, "text": "hi", "headers": {"Content-Type": "text/plain"}}),
    # braces are braces
    ({"url": "https://h.example/a?q={{x}}", "headers": []}, {**GET, "url": "https://h.example/a?q=%7B%7Bx%7D%7D"}),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "expected"), HARS, ids=range(len(HARS)))
def test_an_entry_of_a_har_is_a_step(request_: dict[str, Any], expected: dict[str, Any]) -> None:
    assert steps("har", har(request_)) == [expected]
    assert steps("har", "\ufeff" + json.dumps(har(request_))) == [expected]


def test_a_body_that_is_no_base64_is_left_out() -> None:
    data = {"mimeType": "text/plain", "text": "ä", "encoding": "base64"}
    assert imported("har", har({**URL, "method": "POST", "postData": data})) == (
        {"requests": [POST]},
        ["The body is left out: it is no text."],
    )


def test_half_characters_of_a_har_are_replaced() -> None:
    source = r'{"log": {"entries": [{"comment": "\ud800", "request": {"method": "GET", "url": "https://h.example/\udc00"}}]}}'
    assert steps("har", source) == [{"method": "GET", "url": "https://h.example/%EF%BF%BD", "description": "\ufffd"}]


def test_entries_that_are_no_requests_of_http_are_left_out() -> None:
    source = har(
        URL,
        {"url": "wss://h.example/socket"},
        {"url": "data:text/plain,x"},
        {"url": "blob:https://h/1"},
        {**URL, "method": "CONNECT"},
    )
    source["log"]["entries"].append({"request": {**URL, "method": "OPTIONS"}, "_resourceType": "preflight"})
    sequence, told = imported("har", source)
    assert sequence == {"requests": [GET]}
    assert len(told) == 5
    assert all("left out" in detail for detail in told)


# Postman


def collection(*items: Any, **more: Any) -> dict[str, Any]:
    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    return {"info": {"name": "Shop", "schema": schema}, "item": list(items), **more}


def item(request: Any, **more: Any) -> dict[str, Any]:
    return {"name": "One", "request": request, **more}


NAMED = {"name": "One", **GET}
RAW = {"url": {"raw": "https://h.example/a"}, "method": "GET"}
ITEMS: list[tuple[Any, dict[str, Any]]] = [
    ("https://h.example/a", NAMED),
    ({"url": "{{baseUrl}}/a", "method": "GET"}, {**NAMED, "url": "{{#.baseUrl}}/a"}),
    ({"url": {"raw": "https://h.example/users/:id?x={{n}}", "variable": [{"key": "id", "value": "a b"}]}, "method": "GET"}, {**NAMED, "url": "https://h.example/users/a%20b?x={{#.n}}"}),
    ({"url": {"protocol": "https", "host": ["h", "example"], "path": ["a", ":id"], "query": [{"key": "x", "value": "1"}, {"key": "y", "value": "2", "disabled": True}], "variable": [{"key": "id", "value": ""}]}, "method": "GET"}, {**NAMED, "url": "https://h.example/a/{{#.id}}?x=1"}),
    ({**RAW, "header": [{"key": "X-A", "value": "{{a}}"}, {"key": "X-B", "value": "1", "disabled": True}, {"key": "X-Api-Key", "value": "abc"}]}, {**NAMED, "headers": {"X-A": "{{#.a}}", "X-Api-Key": "{{secret.X_API_KEY}}"}}),
    ({**RAW, "method": "POST", "body": {"mode": "raw", "raw": '{"id": {{id}}, "at": "{{$isoTimestamp}}", "u": "x-{{$guid}}"}', "options": {"raw": {"language": "json"}}}}, {**NAMED, "method": "POST", "body": {"id": "{{#.id}}", "at": "{{now()}}", "u": "x-{{uuid()}}"}}),
    ({**RAW, "method": "POST", "body": {"mode": "urlencoded", "urlencoded": [{"key": "grant_type", "value": "password"}, {"key": "password", "value": "lovelace"}, {"key": "off", "value": "1", "disabled": True}]}}, {**NAMED, "method": "POST", "form": {"grant_type": "password", "password": "{{secret.PASSWORD}}"}}),
    ({**RAW, "method": "POST", "body": {"mode": "formdata", "formdata": [{"key": "t", "value": "1", "type": "text"}, {"key": "f", "type": "file", "src": "/tmp/a.csv", "contentType": "text/csv"}]}}, {**NAMED, "method": "POST", "multipart": {"t": "1", "f": {"filename": "a.csv", "content": "{{#.file_a}}", "content_type": "text/csv"}}}),
    ({**RAW, "method": "POST", "body": {"mode": "graphql", "graphql": {"query": "query($id: ID!) { user(id: $id) { name } }", "variables": '{"id": {{id}}}'}}}, {**NAMED, "method": "POST", "body": {"query": "query($id: ID!) { user(id: $id) { name } }", "variables": {"id": "{{#.id}}"}}}),
    ({**RAW, "method": "POST", "body": {"mode": "file", "file": {"src": "a.bin"}}}, {**NAMED, "method": "POST", "text": "{{#.file_a}}"}),
    ({**RAW, "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{access_token}}"}]}}, {**NAMED, "auth": {"bearer": "{{secret.access_token}}"}}),
    ({**RAW, "auth": {"type": "basic", "basic": {"username": "ada", "password": "lovelace"}}}, {**NAMED, "auth": {"basic": {"username": "ada", "password": "{{secret.PASSWORD}}"}}}),
    ({**RAW, "auth": {"type": "apikey", "apikey": [{"key": "key", "value": "X-Key"}, {"key": "value", "value": "abc"}, {"key": "in", "value": "header"}]}}, {**NAMED, "headers": {"X-Key": "{{secret.X_KEY}}"}}),
    ({**RAW, "auth": {"type": "apikey", "apikey": [{"key": "key", "value": "key"}, {"key": "value", "value": "abc"}, {"key": "in", "value": "query"}]}}, {**NAMED, "url": "https://h.example/a?key={{secret.KEY}}"}),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "expected"), ITEMS, ids=range(len(ITEMS)))
def test_a_request_of_a_collection_is_a_step(request_: Any, expected: dict[str, Any]) -> None:
    assert steps("postman", collection(item(request_))) == [expected]


@pytest.mark.parametrize("code", [5, True, {"a": 1}, None, [5, None], "", [" "]])
def test_what_is_no_script_is_passed_over(code: Any) -> None:
    assert imported("postman", collection(item(RAW), event=[{"script": {"exec": code}}]))[1] == []


def test_folders_variables_and_what_is_inherited() -> None:
    script = {"listen": "test", "script": {"exec": ["pm.environment.set('a', 1)"]}}
    source = collection(
        {"name": "Users", "auth": {"type": "noauth"}, "item": [item(RAW, description="Who?", event=[script])]},
        item(RAW, protocolProfileBehavior={"followRedirects": False}),
        auth={"type": "bearer", "bearer": [{"key": "token", "value": "canary-48151623"}]},
        variable=[
            {"key": "base-url", "value": "https://h.example"},
            {"key": "off", "value": "1", "disabled": True},
            {"key": "hidden", "value": "canary-48151623", "type": "secret"},
            {"key": "password", "value": "canary-48151623"},
        ],
    )
    report = import_source("postman", {"collection": source})
    assert report["sequence"] == {
        "persistence": {"base_url": "https://h.example"},
        "requests": [
            {**NAMED, "name": "Users / One", "description": "Who?"},
            {**NAMED, "auth": {"bearer": "{{secret.TOKEN}}"}, "follow_redirects": False},
        ],
    }
    assert [warning["path"] for warning in report["warnings"]] == ["item[0].item[0]", "item[1]"]
    assert "canary" not in json.dumps(report)


@pytest.mark.parametrize(
    ("format_", "source", "paths"),
    [
        ("har", "{", ["source"]),
        ("har", [], ["source"]),
        ("har", {}, ["source.log"]),
        ("har", {"log": {"entries": {}}}, ["source.log.entries"]),
        ("har", {"log": {"entries": [5, {"request": {"method": 1}}]}}, [
            "source.log.entries[0].request", "source.log.entries[1].request.url"
        ]),
        ("har", {"log": {"entries": [{"request": {"method": "GET", "url": "http://h/", "headers": [{"value": 1}]}}]}}, [
            "source.log.entries[0].request.headers[0].name"
        ]),
        ("postman", "[]", ["source"]),
        ("postman", {}, ["source.item"]),
        ("postman", {"id": "1", "requests": []}, ["source"]),
        ("postman", {"item": [5, {"name": "x"}, {"request": {"url": 5}}]}, [
            "source.item[0]", "source.item[1].request", "source.item[1].request.url", "source.item[2].request.url"
        ]),
        ("postman", {"collection": []}, ["source.collection"]),
        ("postman", {"collection": None}, ["source.collection"]),
        ("postman", '{"collection": ' + "[" * 5000, ["source"]),
        ("swagger", {}, ["format"]),
        (None, {}, ["format"]),
        (["har"], {}, ["format"]),
    ],
)  # fmt: skip
def test_faults_of_a_source_have_their_places(format_: Any, source: Any, paths: list[str]) -> None:
    with pytest.raises(InvalidSequence) as caught:
        import_source(format_, source)
    assert sorted({error["path"] for error in caught.value.errors}) == paths


def test_one_value_is_one_secret_and_others_have_names_that_differ() -> None:
    commands = [f"curl https://h.example/ -H 'Authorization: Bearer {token}'" for token in ("one", "two", "one")]
    sequence, told = imported("curl", "\n".join(commands))
    assert [one["auth"]["bearer"] for one in sequence["requests"]] == [
        "{{secret.TOKEN}}", "{{secret.TOKEN_2}}", "{{secret.TOKEN}}"
    ]  # fmt: skip
    assert told == [f"{STORE}TOKEN.", f"{STORE}TOKEN_2."]


def test_what_is_too_much_is_told() -> None:
    sequence, told = imported("curl", "\n".join(["curl https://h.example/"] * 1001))
    assert len(sequence["requests"]) == 1000
    assert told == ["A sequence has at most 1000 requests; the others are left out."]
    with pytest.raises(InvalidSequence, match="more than 1000000 characters"):
        import_source(
            "har", har({**URL, "method": "POST", "postData": {"mimeType": "text/plain", "text": "x" * 1_000_001}})
        )


@pytest.mark.parametrize(
    "source",
    [
        "curl h -d " + "{{" * 100_000,
        "curl h -F a=" + ";type=a" * 100_000 + ";x",
        "curl h/" + "{," * 300_000,
        "\n" * 900_000 + "curl h",
        'curl h -d \'{"a": "' + '\\"' * 200_000 + "$A'",
        "curl h " + "<>" * 400_000,
        "curl h " + "a" * 900_000,
        'curl h "' + "a$" * 400_000 + '"',
        "curl h " + "^" * 900_000,
        "#\n" * 450_000 + "curl h",
        "curl h -" + "q" * 900_000,
        ";".join(f"a{number}" for number in range(120_000)) + ";curl h",
    ],
    ids=range(12),
)
def test_no_text_takes_long(source: str) -> None:
    """Each is read once: what would be read again from each of its characters would take minutes."""
    with suppress(InvalidSequence):
        import_source("curl", source)


@pytest.mark.parametrize(
    ("text", "format_"),
    [("curl h", "curl"), ('\ufeff {"log": {"entries": []}}', "har"), ('{"info": {}, "item": []}', "postman")],
)
def test_a_file_is_known_by_its_content(text: str, format_: str) -> None:
    assert guess_format(text) == format_
