"""The sequence that an import makes: requests become steps; what is secret in them becomes secrets to be stored."""

import base64
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus

from sequences.domain.bodies import FORM, MULTIPART
from sequences.domain.imports.placeholders import Placeholders, has_placeholder, read_json
from sequences.domain.program import SIZE_MAX, parse
from sequences.domain.step_reader import DESCRIPTION_MAX, STEPS_MAX, TITLE_MAX
from sequences.domain.steps import METHODS
from sequences.domain.validation_errors import InvalidSequence
from taskhub.security.masking import holds_secret, is_secret

WARNINGS_MAX = 1000
# What the client writes itself, or what belongs to one connection (RFC 9110, section 7.6.1).
_NOT_SENT = frozenset(
    {"host", "content-length", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "accept-encoding"}
    | {"proxy-connection", "proxy-authorization", "postman-token"}
)
_ADDRESS = re.compile(r"(?i)(https?://)(?:([^/?#@]*)@)?([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)")
_UNSAFE = re.compile(r"[^!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~\ue000\ue001-]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff\ue000\ue001]*")
_JSON_TYPE = re.compile(r"(?i)(?:application|text)/(?:[^;]+\+)?json")


@dataclass
class ImportedRequest:
    """A request of the source, whose texts may have placeholders; `place` is where it stands there.

    One of `text`, `json`, `form` and `parts` is its body, if it has any; a part is text or `{filename?, content,
    content_type?}`. `auth` is `("basic", user, password)` or `("bearer", token)`. `more` are other keys of its step.
    """

    place: str
    method: str
    url: str
    title: str = ""
    description: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    text: str | None = None
    json: Any = None
    form: list[tuple[str, str]] | None = None
    parts: list[tuple[str, Any]] | None = None
    auth: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


class SequenceDraft:
    """Collects requests, and tells in `warnings` what its author has to do, and what was left out."""

    def __init__(self) -> None:
        self.placeholders = Placeholders()
        self._warnings: dict[tuple[str, str], None] = {}  # place and detail, in their order
        self._persistence: dict[str, Any] = {}
        self._secrets: dict[tuple[str, str], str] = {}  # their names, by those of the source and their values
        self._counts: Counter[str] = Counter()
        self._steps: list[dict[str, Any]] = []

    def warn(self, place: str, detail: str) -> None:
        if len(self._warnings) < WARNINGS_MAX:
            self._warnings[place[:200], detail] = None

    @property
    def warnings(self) -> list[dict[str, str]]:
        return [{"path": place, "detail": detail} for place, detail in self._warnings]

    def save(self, name: str, value: Any) -> None:
        """Lets the sequence begin with a variable. One under the name of a secret becomes a secret."""
        if not is_secret(name):
            self._persistence[_key(name)] = self.placeholders.plain(value) if isinstance(value, str) else value

    def variable(self, name: str, place: str) -> str:
        """The placeholder of a variable of the source."""
        key = _key(name)
        if is_secret(name):
            return self._secret_named(key, f"the variable {key}", place)
        if key not in self._persistence:
            self._persistence[key] = ""
            self.warn(place, f"The value of {name[:100]} is not known: write it into persistence, as {key}.")
        return self.placeholders.add(f"#.{key}")

    def file(self, name: str, place: str) -> str:
        """The placeholder of a file's content, which the source does not have."""
        stem = re.split(r"[\\/]", name)[-1].partition(".")[0]
        self.warn(place, f"Write the content of the file {name[:100]} into persistence, as {_key(f'file_{stem}')}.")
        self._persistence.setdefault(_key(f"file_{stem}"), "")
        return self.placeholders.add(f"#.{_key(f'file_{stem}')}")

    def secret(self, name: str, value: str, place: str) -> str:
        """A placeholder in place of a value that is secret; one that is empty, or has a variable, stays."""
        if not value or has_placeholder(value):
            return value
        return self._secret_named(_key(name).upper(), value, place)

    def _secret_named(self, key: str, value: str, place: str) -> str:
        """Values of one name have names that differ: TOKEN, TOKEN_2."""
        if (key, value) not in self._secrets:
            self._counts[key] += 1
            number = self._counts[key]
            self._secrets[key, value] = key if number == 1 else f"{key}_{number}"
            self.warn(place, f"Store the value as a secret: PUT /secrets/{self._secrets[key, value]}.")
        return self.placeholders.add(f"secret.{self._secrets[key, value]}")

    # Steps

    def add(self, request: ImportedRequest) -> None:
        """Adds a request as a step, or warns why it is none."""
        if len(self._steps) >= STEPS_MAX:
            self.warn(request.place, f"A sequence has at most {STEPS_MAX} requests; the others are left out.")
            return
        method = request.method.upper()
        if method not in METHODS:
            self.warn(request.place, f"The request is left out: the method {method[:40]} cannot be sent.")
            return
        url = self._address(request)
        if not url:
            return
        step: dict[str, Any] = {"method": method, "url": self.placeholders.template(url)}
        if request.title:
            step = {"name": self.placeholders.plain(request.title)[:TITLE_MAX], **step}
        if request.description:
            step["description"] = self.placeholders.plain(request.description)[:DESCRIPTION_MAX]
        body = self._body(request)
        headers = self._headers(request, body)
        if request.auth:
            step["auth"] = self._auth(request)
        if headers:
            step["headers"] = self.placeholders.json_template(headers)
        self._steps.append({**step, **self.placeholders.json_template(body), **request.more})

    def sequence(self) -> dict[str, Any]:
        """The sequence. What its validation finds becomes warnings. Raises `InvalidSequence` where it is too large."""
        sequence = {"persistence": self._persistence, "requests": self._steps}
        if not self._persistence:
            del sequence["persistence"]
        try:
            parse(sequence)
        except InvalidSequence as invalid:
            if any(not fault["path"] for fault in invalid.errors):
                told = f"The sequence would have more than {SIZE_MAX} characters, or could not be stored."
                raise InvalidSequence([{"path": "source", "detail": told}]) from None
            for fault in invalid.errors:
                self.warn(f"sequence.{fault['path']}", str(fault["detail"]))
        return sequence

    def _address(self, request: ImportedRequest) -> str:
        """The address, without what is secret in it; empty for one that is none of HTTP."""
        url = request.url.strip()
        if not has_placeholder(url[:1]) and not re.match(r"(?i)https?://", url):
            if not url or _SCHEME.match(url):
                self.warn(request.place, "The request is left out: its address is none of HTTP.")
                return ""
            url = f"http://{url}"
        url = _UNSAFE.sub(lambda match: quote(match[0]), url).partition("#")[0]
        if whole := _ADDRESS.fullmatch(url):
            scheme, user_info, host, path, query = whole.groups()
            if user_info is not None:
                user, _, password = user_info.partition(":")
                request.auth = request.auth or ("basic", unquote_plus(user), unquote_plus(password))
            url = f"{scheme}{host}{path}" + ("" if query is None else f"?{self._query(query, request.place)}")
        else:
            address, mark, query = url.partition("?")
            url = address + mark + self._query(query, request.place)
        return url

    def _query(self, query: str, place: str) -> str:
        pairs = [pair.partition("=") for pair in query.split("&")]
        return "&".join(
            name + sign + (self.secret(unquote_plus(name), unquote_plus(value), place) if _is_secret(name) else value)
            for name, sign, value in pairs
        )

    def _headers(self, request: ImportedRequest, body: dict[str, Any]) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, value in request.headers:
            lower = name.lower()
            if (
                lower in _NOT_SENT
                or name.startswith(":")
                or (lower == "authorization" and self._takes_auth(request, value))
            ):
                continue
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                self.warn(request.place, f"The header {name[:100]} is left out: it cannot be sent.")
                continue
            if is_secret(name) or holds_secret(value):
                value = self.secret(name, value, request.place)
            spelled = next((known for known in headers if known.lower() == lower), name)
            joint = "; " if lower == "cookie" else ", "
            headers[spelled] = f"{headers[spelled]}{joint}{value}" if spelled in headers else value
        stated = next((name for name in headers if name.lower() == "content-type"), "")
        if stated and _is_implied(headers[stated], body):
            del headers[stated]
        return headers

    def _takes_auth(self, request: ImportedRequest, value: str) -> bool:
        """Whether a header Authorization is written as the step's `auth`."""
        scheme, _, credentials = value.strip().partition(" ")
        if request.auth:
            return True
        if scheme.lower() == "bearer" and credentials:
            request.auth = ("bearer", credentials.strip())
        elif scheme.lower() == "basic":
            try:
                user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
            except ValueError:
                return False
            request.auth = ("basic", user, password) if colon else ()
        elif scheme.lower() in ("digest", "ntlm", "negotiate", "aws4-hmac-sha256"):
            self.warn(request.place, f"The header Authorization is {scheme}: it is good for one request only.")
        return bool(request.auth)

    def _auth(self, request: ImportedRequest) -> dict[str, Any]:
        kind, *values = request.auth
        template = self.placeholders.template
        if kind == "bearer":
            return {"bearer": template(self.secret("TOKEN", values[0], request.place))}
        user, password = values
        if password:
            password = self.secret("PASSWORD", password, request.place)
        else:
            user = self.secret("KEY", user, request.place)  # as many an API has it
        return {"basic": {"username": template(user), "password": template(password)}}

    def _body(self, request: ImportedRequest) -> dict[str, Any]:
        """The key of the step's body and its value, with placeholders."""
        place = request.place
        stated = next((value for name, value in request.headers if name.lower() == "content-type"), "")
        if request.form is not None:
            return {"form": _grouped([(name, self._field(name, value, place)) for name, value in request.form])}
        if request.parts is not None:
            return {"multipart": _grouped([(name, self._part(name, part, place)) for name, part in request.parts])}
        if request.json is not None:
            return {"body": self._without_secrets(request.json, place)}
        text = request.text
        if text is None or (not text and not stated):
            return {}
        if _JSON_TYPE.match(stated):
            try:
                return {"body": self._without_secrets(read_json(text), place)}
            except ValueError:
                self.warn(place, "The body is said to be JSON and is none; it is sent as the text that it is.")
        kind = stated.partition(";")[0].strip().lower()
        if kind == FORM and (pairs := _form_of(text)) is not None:
            return {"form": _grouped([(name, self._field(name, value, place)) for name, value in pairs])}
        return {"text": self.secret("BODY", text, place) if holds_secret(text) else text}

    def _field(self, name: str, value: str, place: str) -> str:
        return self.secret(name, value, place) if is_secret(name) else value

    def _part(self, name: str, part: Any, place: str) -> Any:
        return self._field(name, part, place) if isinstance(part, str) else part

    def _without_secrets(self, value: Any, place: str) -> Any:
        """A JSON value in which a text under the name of a secret is one."""
        if isinstance(value, dict):
            return {
                key: self.secret(key, inner, place)
                if isinstance(inner, str) and is_secret(key)
                else self._without_secrets(inner, place)
                for key, inner in value.items()
            }
        return [self._without_secrets(inner, place) for inner in value] if isinstance(value, list) else value


def _key(name: str) -> str:
    """A name as a key of persistence, or of a secret."""
    key = re.sub(r"[^A-Za-z0-9_]", "_", name.strip())[:90] or "value"
    return f"_{key}" if key[0].isdigit() else key


def _is_secret(name: str) -> bool:
    return is_secret(unquote_plus(name))


def _is_implied(content_type: str, body: dict[str, Any]) -> bool:
    """Whether the step's body is sent in this type anyway, or is sent in one of its own."""
    kind = content_type.partition(";")[0].strip().lower()
    key = next(iter(body), "")
    return (key, kind) in {("body", "application/json"), ("form", FORM)} or (key == "multipart" and kind == MULTIPART)


def _form_of(text: str) -> list[tuple[str, str]] | None:
    """The fields of a form, or None for a text that would be another one if they were written again."""
    pairs = [pair.partition("=") for pair in text.strip().split("&")]
    fields = [(unquote_plus(name), unquote_plus(value)) for name, sign, value in pairs if sign]
    return fields if len(fields) == len(pairs) and all("\ufffd" not in name + value for name, value in fields) else None


def _grouped(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Fields by their names; several of one name are a list."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields
