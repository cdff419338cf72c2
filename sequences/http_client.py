"""Sends a sequence's HTTP requests: through the gate, over connections that stay open while the run goes on."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlencode

import requests
from django.utils.http import parse_header_parameters

from sequences.domain.exchange import SendFailed, StepRequest, StepResponse
from taskhub.error_texts import storable
from taskhub.errors import Problem, Rejected
from taskhub.jsontools.lenient_json import decode_text, parse_lenient
from taskhub.outbound import Session

FORM = "application/x-www-form-urlencoded"
_JSON_LINES = re.compile(r"ndjson|jsonl|json-?lines|json-?stream|stream\+json|json-seq")


class HttpClient:
    """The interpreter's `send`. `remaining()` gives the seconds that are left for the whole run.

    It keeps no cookies: another worker that goes on with the run would not have them.
    """

    def __init__(self, remaining: Callable[[], float]) -> None:
        self._remaining = remaining
        self._session = Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._session.close()

    def send(self, request: StepRequest) -> StepResponse:
        """Sends a request. Raises `SendFailed` with a message that names the other server's origin at most."""
        headers = dict(request.headers)
        body = _body(request.body, headers)
        seconds_left = max(0.001, self._remaining())
        policy = self._session.policy
        timeout = (min(policy.connect_timeout, seconds_left), min(policy.read_timeout, seconds_left))
        options: dict[str, Any] = {"headers": headers, "body": body, "timeout": timeout, "seconds": seconds_left}
        try:
            response = self._session.call(request.method, request.address, **options)
        except Problem as problem:
            raise SendFailed(problem.detail) from None
        return _step_response(response)


def _body(body: Any, headers: dict[str, str]) -> bytes | None:
    """JSON, unless the author's Content-Type says that an object is a form, or that a text is what it is."""
    if body is None:
        return None
    name = next((name for name in headers if name.lower() == "content-type"), None)
    kind = _content_type(headers[name])[0] if name else ""
    if kind == FORM and isinstance(body, dict):
        return urlencode({key: _form_value(value) for key, value in body.items()}, doseq=True).encode()
    if name and "json" not in kind and isinstance(body, str):
        return body.encode()
    headers.setdefault(name or "Content-Type", "application/json")
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def _form_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_form_value(item) for item in value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _step_response(response: requests.Response) -> StepResponse:
    """The answer, its body as JSON where it says or looks so, else as text; null for an empty body.

    One that says JSON and is none has a fault, unless its status is the step's error anyway.
    """
    status, message, body = response.status_code, storable(response.reason or ""), response.content
    kind, charset = _content_type(response.headers.get("Content-Type", ""))
    if not body.removeprefix(BOM_UTF8).strip():
        return StepResponse(status, None, message)
    says_json, fault = "json" in kind, ""
    if says_json or body.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        try:
            value, note = parse_lenient(body, charset, lines=bool(_JSON_LINES.search(kind)))
        except Rejected as refusal:
            fault = f"The answer says that it is {kind[:100]}. {refusal.detail}" if says_json and status < 400 else ""
        else:
            return StepResponse(status, value, message, note)
    return StepResponse(status, storable(decode_text(body, charset)), message, fault=fault)


def _content_type(header: str) -> tuple[str, str]:
    """The media type and the charset of a `Content-Type`; one that cannot be read says nothing."""
    try:
        kind, parameters = parse_header_parameters(header)
    except ValueError:
        return "", ""
    return kind, parameters.get("charset", "")
