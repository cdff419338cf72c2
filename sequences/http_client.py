"""Sends a sequence's HTTP requests: through the gate, over connections that stay open while the run goes on."""

import json
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlencode

import requests
from django.utils.http import parse_header_parameters

from sequences.domain.exchange import SendFailed, StepRequest, StepResponse
from taskhub.errors import Problem, Rejected
from taskhub.jsontools.strict_json import parse_json
from taskhub.outbound import Session

FORM = "application/x-www-form-urlencoded"


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
        return StepResponse(response.status_code, _value(response), _storable(response.reason or ""))


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


def _value(response: requests.Response) -> Any:
    """JSON where it is some; else text, or null for an empty body."""
    body: bytes = response.content
    kind, charset = _content_type(response.headers.get("Content-Type", ""))
    if not body.strip():
        return None
    if "json" in kind or body.lstrip()[:1] in (b"{", b"["):
        try:
            return parse_json(body)
        except Rejected:
            pass  # it is text, whatever it says of itself
    try:
        text = body.decode(charset, "replace")
    except (LookupError, ValueError):  # an encoding that is none, or none of texts
        text = body.decode("utf-8", "replace")
    return _storable(text)


def _content_type(header: str) -> tuple[str, str]:
    """The media type and the encoding of a `Content-Type`; one that cannot be read says nothing."""
    try:
        kind, parameters = parse_header_parameters(header)
    except ValueError:
        return "", "utf-8"
    return kind, parameters.get("charset", "utf-8")


def _storable(text: str) -> str:
    """Without what PostgreSQL's jsonb cannot hold."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
