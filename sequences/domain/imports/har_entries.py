"""Entries of a HAR file (HTTP Archive 1.2) as requests: what browsers and proxies have recorded."""

import base64
from email import message_from_bytes
from email.message import Message
from typing import Any

from sequences.domain.bodies import FORM, MULTIPART
from sequences.domain.imports.placeholders import without_placeholders
from sequences.domain.imports.sequence_draft import ImportedRequest, SequenceDraft
from sequences.domain.imports.source_reader import SourceReader


def import_har(source: Any, draft: SequenceDraft) -> None:
    """Adds the requests of a HAR, in its order. Raises `InvalidSequence` with the places of what is no HAR."""
    reader = SourceReader(source, "A HAR")
    log = reader.object(reader.value, "log", required=True)
    for index, entry in enumerate(reader.list(log, "log.entries", required=True)):
        place = f"log.entries[{index}]"
        request = reader.object(entry, f"{place}.request", required=True)
        resource = reader.text(entry, f"{place}._resourceType")
        if resource in ("preflight", "websocket"):
            draft.warn(place, f"The request is left out: it is a {resource}.")
            continue
        draft.add(
            ImportedRequest(
                place,
                reader.text(request, f"{place}.request.method", required=True),
                without_placeholders(reader.text(request, f"{place}.request.url", required=True)),
                description=reader.text(entry, f"{place}.comment"),
                headers=_headers(request, place, reader),
                **_body(request, f"{place}.request.postData", reader, draft),
            )
        )
    reader.finish()


def _headers(request: Any, place: str, reader: SourceReader) -> list[tuple[str, str]]:
    """The headers; those of HTTP/2 in small letters stay so. Cookies stand in a header, or beside the headers only."""
    headers = _pairs(request, f"{place}.request.headers", reader)
    if not any(name.lower() == "cookie" for name, _ in headers):
        cookies = _pairs(request, f"{place}.request.cookies", reader)
        headers += [("Cookie", "; ".join(f"{name}={value}" for name, value in cookies))] if cookies else []
    return headers


def _pairs(holder: Any, place: str, reader: SourceReader) -> list[tuple[str, str]]:
    return [
        (
            without_placeholders(reader.text(pair, f"{place}[{index}].name", required=True)),
            without_placeholders(reader.text(pair, f"{place}[{index}].value")),
        )
        for index, pair in enumerate(reader.list(holder, place))
    ]


def _body(request: Any, place: str, reader: SourceReader, draft: SequenceDraft) -> dict[str, Any]:
    """The fields of the request for its body."""
    data = reader.object(request, place)
    if not data:
        return {}
    kind = reader.text(data, f"{place}.mimeType")
    text = without_placeholders(reader.text(data, f"{place}.text"))
    params = reader.list(data, f"{place}.params")
    media_type = kind.partition(";")[0].strip().lower()
    if media_type == MULTIPART and (params or text):
        return {"parts": _parts(params, f"{place}.params", reader, draft) or _parts_of(text, kind, place, draft)}
    if media_type == FORM and params and not text:
        return {"form": _pairs(data, f"{place}.params", reader)}
    if data.get("encoding") == "base64" or data.get("_encoding") == "base64":
        try:
            text = base64.b64decode(text).decode()
        except ValueError:
            draft.warn(place, "The body is left out: it is no text.")
            return {}
    return {"text": text} if text else {}


def _parts(params: list[Any], place: str, reader: SourceReader, draft: SequenceDraft) -> list[tuple[str, Any]]:
    parts = []
    for index, param in enumerate(params):
        here = f"{place}[{index}]"
        name = without_placeholders(reader.text(param, f"{here}.name", required=True))
        value = without_placeholders(reader.text(param, f"{here}.value"))
        filename, kind = reader.text(param, f"{here}.fileName"), reader.text(param, f"{here}.contentType")
        parts.append((name, _part(value, filename, kind, here, draft)))
    return parts


def _part(value: str, filename: str, kind: str, place: str, draft: SequenceDraft) -> Any:
    if not filename and not kind:
        return value
    if filename and not value:
        value = draft.file(filename, place)
    stated = {"filename": without_placeholders(filename)} if filename else {}
    return stated | {"content": value} | ({"content_type": without_placeholders(kind)} if kind else {})


def _parts_of(text: str, kind: str, place: str, draft: SequenceDraft) -> list[tuple[str, Any]]:
    """The parts of a body as it was sent (RFC 7578)."""
    body: Any = message_from_bytes(f"Content-Type: {kind}\r\n\r\n{text}".encode("utf-8", "replace"))
    parts: list[tuple[str, Any]] = []
    for part in body.get_payload() if body.is_multipart() else []:
        assert isinstance(part, Message)
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        value = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
        stated = part.get_content_type() if "Content-Type" in part else ""
        parts.append((str(name or ""), _part(value, part.get_filename() or "", stated, place, draft)))
    return parts
