"""Request bodies: JSON, forms and files, each within its limit; read leniently, checked strictly."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import QueryDict, UnreadablePostError
from django.utils.http import parse_header_parameters
from rest_framework import parsers

from taskhub.db.connections import give_back_connection
from taskhub.errors import Rejected, TooLarge, Unavailable, UnsupportedMedia
from taskhub.jsontools.strict_json import parse_json

log = logging.getLogger(__name__)

NO_ROOM_SECONDS = 60  # somebody has to see it, and to mend it


def not_stored(error: OSError) -> Unavailable:
    """The disk is full, or the storage away: what to raise. The reason is for the log alone."""
    log.error("Files cannot be stored: %s", error)
    return Unavailable("The files cannot be stored at present.", retry_after=NO_ROOM_SECONDS)


def read_body(stream: Any, length: str | None, limit: int) -> bytes:
    """At most `limit` bytes of a body; raises `TooLarge` with both numbers, `Rejected` when bytes are missing."""
    announced = int(length) if length and length.isdecimal() else None
    if announced is not None and announced > limit:
        raise TooLarge(f"The body has {announced} bytes; {limit} are allowed.", limit=limit)
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise TooLarge(f"The body has more than the {limit} bytes that are allowed.", limit=limit)
    if announced is not None and len(body) < announced:
        raise Rejected(f"The body ended after {len(body)} of {announced} bytes.")
    return body


def _refuse_encoded(request: Any) -> None:
    if encoding := request.META.get("HTTP_CONTENT_ENCODING"):
        raise UnsupportedMedia(f"Content-Encoding {encoding[:40]!r} is not accepted here.")


def plain_body(stream: Any, context: Mapping[str, Any] | None) -> bytes:
    """What a parser is given, within BODY_MAX_BYTES and in no encoding."""
    request = (context or {})["request"]
    _refuse_encoded(request)
    return read_body(stream, request.META.get("CONTENT_LENGTH"), settings.BODY_MAX_BYTES)


class JsonParser(parsers.BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = plain_body(stream, parser_context)
        return parse_json(body) if body.strip() else {}


class FormParser(parsers.BaseParser):
    """A form; or JSON, which `curl -d` sends under a form's content type."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = plain_body(stream, parser_context)
        if body.lstrip()[:1] in {b"{", b"["}:
            return parse_json(body)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
        except ValueError as error:
            raise Rejected(f"The form cannot be read: {error}") from None
        form = QueryDict(mutable=True)
        for key, value in pairs:
            form.appendlist(key, value)
        return form


class _Counted:
    """A stream that knows how much came of it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.count = stream, 0

    def read(self, size: int = -1) -> bytes:
        part: bytes = self._stream.read(size)
        self.count += len(part)
        return part


class MultiPartParser(parsers.MultiPartParser):
    limit_setting = "UPLOAD_MAX_BYTES"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        counted: Any = _Counted(stream)
        request = (parser_context or {})["request"]
        _refuse_encoded(request)
        length = request.META.get("CONTENT_LENGTH") or "0"
        limit = getattr(settings, self.limit_setting)
        if length.isdecimal() and int(length) > limit:
            raise TooLarge(f"The body has {length} bytes; {limit} are allowed.", limit=limit)
        give_back_connection()  # a slow client must not hold it
        try:
            parsed = super().parse(counted, media_type, parser_context)
        except UnreadablePostError:
            raise Rejected("The body ended before its end.") from None
        except OSError as error:
            raise not_stored(error) from None
        if length.isdecimal() and counted.count < int(length):  # Django takes what it got for the whole
            raise Rejected(f"The body ended after {counted.count} of {length} bytes.")
        boundary = parse_header_parameters(media_type or "")[1].get("boundary", "")
        # Django passes over parts that it cannot read; a body of nothing else is no empty form.
        if not (parsed.data or parsed.files) and length.isdecimal() and int(length) > len(f"\r\n--{boundary}--\r\n"):
            raise Rejected("The multipart body holds no field that can be read.")
        return parsed


class FieldsParser(MultiPartParser):
    """Multipart for calls that take no files: nobody fills the disk through them."""

    limit_setting = "BODY_MAX_BYTES"
