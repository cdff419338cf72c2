"""Sends a sequence's HTTP requests: through the gate, over connections that stay open while the run goes on."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import unquote, urlencode, urlsplit

import requests
from django.utils.http import parse_header_parameters
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from sequences.domain.bodies import FORM
from sequences.domain.exchange import FileStore, KeptFile, SendFailed, StepRequest, StepResponse
from sequences.domain.functions import encode_query
from sequences.domain.json_values import as_text
from taskhub.error_texts import storable
from taskhub.errors import Problem, Rejected
from taskhub.jsontools.lenient_json import decode_text, parse_lenient
from taskhub.outbound import Session
from taskhub.outbound.answers import retry_after
from taskhub.outbound.errors import TimedOut, Unreachable

OCTETS = "application/octet-stream"
FILE_NAME_MAX = 200
_JSON_LINES = re.compile(r"ndjson|jsonl|json-?lines|json-?stream|stream\+json|json-seq")


class HttpClient:
    """The interpreter's `send`. `remaining()` gives the seconds that are left for the whole run, `files` keeps answers.

    It keeps no cookies: another worker that goes on with the run would not have them.
    """

    def __init__(self, remaining: Callable[[], float], files: FileStore) -> None:
        self._remaining, self._files = remaining, files
        self._session = Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._session.close()

    def send(self, request: StepRequest) -> StepResponse:
        """Sends a request. Raises `SendFailed` with a message that names the other server's origin at most."""
        options, policy = request.options, self._session.policy
        headers = dict(request.headers)
        body = self._body(request.body, options.format, headers)
        seconds = max(0.001, min(self._remaining(), options.total_timeout or policy.total_timeout))
        connect = min(options.connect_timeout or policy.connect_timeout, policy.connect_timeout, seconds)
        read = min(options.read_timeout or policy.read_timeout, policy.read_timeout, seconds)
        try:
            response = self._session.call(
                request.method,
                request.address,
                headers=headers,
                body=body,
                timeout=(connect, read),
                seconds=seconds,
                follow_redirects=options.follow_redirects,
            )
        except TimedOut as problem:
            raise SendFailed(problem.detail, "timeout") from None
        except Unreachable as problem:
            raise SendFailed(problem.detail, "connection") from None
        except Problem as problem:
            raise SendFailed(problem.detail) from None
        if options.response == "bytes" and response.status_code < 400:
            return self._kept_response(response)
        return _step_response(response, options.response)

    def _kept_response(self, response: requests.Response) -> StepResponse:
        """An answer whose body is kept as a file. That of an error is read like any other: it is a message."""
        stated = storable(response.headers.get("Content-Type", "").strip())
        kind, content = _content_type(stated)[0] or "no stated type", response.content
        answer = _empty_response(response)
        answer.value = self._files.keep(KeptFile(file_name(response), stated, content))
        answer.note = f"Kept as a file: {len(content)} bytes, {kind[:100]}"
        return answer

    def _body(self, body: Any, format_: str, headers: dict[str, str]) -> bytes | None:
        """The body as its format says. Without one it is JSON, unless the author's Content-Type says that an object is
        a form, or that a text is what it is."""
        if body is None:
            return None
        if format_ == "file":
            file = self._files.read(body)
            headers.setdefault(_header_name(headers) or "Content-Type", file.content_type or OCTETS)
            return file.content
        if format_ == "multipart":
            return self._parts(body, headers)
        if format_:
            return _formatted(body, format_, headers)
        name = _header_name(headers)
        kind = _content_type(headers[name])[0] if name else ""
        if kind == FORM and isinstance(body, dict):
            return urlencode({key: _form_value(value) for key, value in body.items()}, doseq=True).encode()
        if name and "json" not in kind and isinstance(body, str):
            return body.encode()
        headers.setdefault(name or "Content-Type", "application/json")
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()

    def _parts(self, body: dict[str, Any], headers: dict[str, str]) -> bytes:
        """The parts of multipart/form-data (RFC 7578), whose boundary the headers then state."""
        parts = [
            (name, part if isinstance(part, dict) else {"content": part})
            for name, value in body.items()
            for part in (value if isinstance(value, list) else [value])
            if part is not None
        ]
        fields, room = [], self._session.policy.max_bytes
        for name, part in parts:
            fields.append(self._part(name, part))
            room -= len(fields[-1].data)
            if room < 0:
                raise SendFailed(f"The parts have more than {self._session.policy.max_bytes} bytes together.")
        content, stated = encode_multipart_formdata(fields)
        headers[_header_name(headers) or "Content-Type"] = stated
        return content

    def _part(self, name: str, part: dict[str, Any]) -> RequestField:
        """A part: `{filename?, content or file, content_type?}`."""
        if "file" in part:
            file = self._files.read(part["file"])
            part = {"filename": file.name, "content_type": file.content_type or OCTETS, **part}
            content = file.content
        else:
            content = as_text(part["content"]).encode()
        field = RequestField(name, content, filename=part.get("filename"))
        field.make_multipart(content_type=part.get("content_type"))
        return field


def _header_name(headers: dict[str, str]) -> str | None:
    """How the header Content-Type is spelled among these; None where it is not."""
    return next((name for name in headers if name.lower() == "content-type"), None)


def file_name(response: requests.Response) -> str:
    """The name that the server gives a file, else the last part of its address, in which no folder is."""
    try:
        stated = parse_header_parameters(response.headers.get("Content-Disposition", ""))[1].get("filename", "")
    except ValueError:
        stated = ""
    name = re.split(r"[\\/]", stated or unquote(urlsplit(response.url or "").path))[-1]
    name = "".join(char for char in storable(name) if char.isprintable())[:FILE_NAME_MAX]
    return name if name.strip(". ") else "file"


def _formatted(body: Any, format_: str, headers: dict[str, str]) -> bytes:
    """A form or a text; `headers` then state its type, but for a type of text that the author states."""
    name = _header_name(headers)
    if format_ == "text":
        headers.setdefault(name or "Content-Type", "text/plain; charset=utf-8")
        return as_text(body).encode()
    headers[name or "Content-Type"] = FORM
    return encode_query(body).encode()


def _form_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_form_value(item) for item in value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _step_response(response: requests.Response, wanted: str = "") -> StepResponse:
    """The answer, its body as JSON where it says or looks so, else as text; null for an empty body.

    `wanted` is `json` or `text` where its author knows better. One that says JSON and is none has a fault, unless its
    status is the step's error anyway.
    """
    status, body, answer = response.status_code, response.content, _empty_response(response)
    kind, charset = _content_type(response.headers.get("Content-Type", ""))
    if not body.removeprefix(BOM_UTF8).strip() and wanted != "text":
        return answer
    says_json = wanted == "json" or "json" in kind
    looks_so = body.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"[")
    if wanted != "text" and (says_json or looks_so):
        try:
            answer.value, answer.note = parse_lenient(body, charset, lines=bool(_JSON_LINES.search(kind)))
        except Rejected as refusal:
            if says_json and status < 400:
                said = f"The answer says that it is {kind[:100]}." if "json" in kind else "The answer is no JSON."
                answer.fault = f"{said} {refusal.detail}"
        else:
            return answer
    answer.value = storable(decode_text(body, charset))
    return answer


def _empty_response(response: requests.Response) -> StepResponse:
    return StepResponse(
        response.status_code,
        None,
        storable(response.reason or ""),
        headers={name.lower(): storable(value) for name, value in response.headers.items()},
        url=response.url or "",
        retry_after=retry_after(response.headers),
    )


def _content_type(header: str) -> tuple[str, str]:
    """The media type and the charset of a `Content-Type`; one that cannot be read says nothing."""
    try:
        kind, parameters = parse_header_parameters(header)
    except ValueError:
        return "", ""
    return kind, parameters.get("charset", "")
