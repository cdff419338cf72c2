"""The policies of REST framework that all views of the hub have: which bodies they read, how they answer, how often.

Bodies are JSON, forms and files, each within its limit; read leniently, checked strictly.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl
from uuid import UUID

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParser as FormReader
from django.utils.http import parse_header_parameters
from redis.exceptions import RedisError
from rest_framework import exceptions, negotiation, parsers, throttling
from rest_framework.metadata import SimpleMetadata
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Rejected, TooLarge, UnsupportedMedia, not_stored
from taskhub.jsontools.byte_order_marks import in_utf8
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.lenient_json import codec_name
from taskhub.jsontools.strict_json import parse_json
from taskhub.security.scopes import READING_METHODS
from taskhub.web.client_networks import client_network
from taskhub.web.form_parts import FormParts
from taskhub.web.front.request_body import StreamedBody

PIECE = 256 * 1024  # bytes
NOBODY = UUID(int=0)
_JSON_TYPES = frozenset({"text/json", "text/x-json", "application/x-json"})
_OTHER_DOCUMENTS = frozenset({"application/json-patch+json"})  # whose members mean something else here

_long_forms = FairSemaphore(settings.LONG_FORMS_AT_ONCE, "Too many long forms arrive at once.")


# Bodies


def announced_length(content_length: str | None, limit: int) -> int | None:
    """The bytes that a body says it has, None for one that does not say. Raises `TooLarge` for more than `limit`."""
    if not content_length or not content_length.isdecimal():
        return None
    announced = int(content_length)
    if announced > limit:
        raise TooLarge(f"The body has {announced} bytes; {limit} are allowed.", limit=limit)
    return announced


def read_body(stream: Any, length: str | None, limit: int) -> bytes:
    """At most `limit` bytes of a body; raises `TooLarge` with both numbers, `Rejected` when bytes are missing."""
    announced = announced_length(length, limit)
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
    """What a parser is given: within BODY_MAX_BYTES, not compressed, in UTF-8 and without a byte order mark."""
    request = (context or {})["request"]
    _refuse_encoded(request)
    body = in_utf8(read_body(stream, request.META.get("CONTENT_LENGTH"), settings.BODY_MAX_BYTES))
    codec = _declared_codec(context)
    return body if codec is None else _recoded(body, codec)


def _declared_codec(context: Mapping[str, Any] | None) -> str | None:
    """The codec of the charset in the header, where it is known and another than UTF-8."""
    content_type = (context or {})["request"].META.get("CONTENT_TYPE", "")
    codec = codec_name(parse_header_parameters(content_type)[1].get("charset", ""))
    return None if codec == "utf-8" else codec


def _recoded(body: bytes, codec: str) -> bytes:
    """A body in UTF-8, of which it is rather in than in the charset of its header (RFC 8259, section 8.1)."""
    with suppress(UnicodeError):
        if "\0" not in body.decode():  # as UTF-16 has them
            return body
    with suppress(UnicodeError):  # what is in neither is refused where it is read
        return body.decode(codec).encode()
    return body


class JsonParser(parsers.BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = plain_body(stream, parser_context)
        return self.read(body, parser_context) if body.strip() else {}

    def read(self, body: bytes, context: Any) -> Any:
        return parse_json(body)


class FormParser(parsers.BaseParser):
    """A form; or JSON, which `curl -d` sends under a form's content type."""

    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return parse_form(plain_body(stream, parser_context), _declared_codec(parser_context))


def parse_form(body: bytes, codec: str | None = None) -> Any:
    """A form's fields, or the value of a JSON text. `codec` is for bytes that are not UTF-8. Raises `Rejected`."""
    if body.lstrip()[:1] in {b"{", b"["}:
        return parse_json(body)
    try:
        pairs = _pairs_of(body.decode(), codec)
    except ValueError as error:
        raise Rejected(f"The form cannot be read: {error}") from None
    form = QueryDict(mutable=True)
    for key, value in pairs:
        form.appendlist(key, value)
    return form


def _pairs_of(text: str, codec: str | None) -> list[tuple[str, str]]:
    read = partial(parse_qsl, text, keep_blank_values=True, errors="strict", max_num_fields=1000)
    try:
        return read()
    except UnicodeDecodeError:
        if codec is None:
            raise
        return read(encoding=codec)


class JsoncParser(JsonParser):
    """JSON as the documents print it, with comments and trailing commas; the request keeps the text, as `written`."""

    def read(self, body: bytes, context: Any) -> Any:
        value = parse_jsonc(body)
        context["request"].written = body
        return value


class FormOrJsoncParser(FormParser):
    """A form; or JSON as the documents print it, under a form's content type."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = plain_body(stream, parser_context)
        if body.lstrip()[:1] in {b"{", b"["} or body.lstrip()[:2] in {b"//", b"/*"}:
            return JsoncParser().read(body, parser_context)
        return parse_form(body, _declared_codec(parser_context))


class _Counted:
    """A stream that knows how much came of it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.count = stream, 0

    def read(self, size: int = -1) -> bytes:
        part: bytes = self._stream.read(size)
        self.count += len(part)
        return part


class MultiPartParser(parsers.BaseParser):
    """A form with files, see `form_parts`."""

    media_type = "multipart/form-data"
    limit_setting = "UPLOAD_MAX_BYTES"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        counted: Any = _Counted(stream)
        parts = FormParts()
        request = (parser_context or {})["request"]
        _refuse_encoded(request)
        announced = announced_length(request.META.get("CONTENT_LENGTH"), getattr(settings, self.limit_setting)) or 0
        try:
            with _thread_for(request):
                kind, semicolon, parameters = (media_type or "").partition(";")
                meta = {**request.META, "CONTENT_TYPE": f"{kind.lower()}{semicolon}{parameters}"}
                parsed = parsers.DataAndFiles(*FormReader(meta, counted, [parts]).parse())
        except UnreadablePostError:
            raise Rejected("The body ended before its end.") from None
        except OSError as error:
            raise not_stored(error) from None
        if counted.count < announced:  # Django takes what it got for the whole
            raise Rejected(f"The body ended after {counted.count} of {announced} bytes.")
        boundary = parse_header_parameters(media_type or "")[1].get("boundary", "")
        # A body in which there is no part is no empty form.
        if not parts.count and announced > len(f"\r\n--{boundary}--\r\n"):
            raise Rejected("The multipart body holds no field that can be read.")
        return parsed


def _thread_for(request: Any) -> AbstractContextManager[None]:
    """One of the threads for long forms, of which each user has a share: a form is read for as long as it is sent."""
    if not isinstance(request.META.get("wsgi.input"), StreamedBody):
        return nullcontext()
    return _long_forms.acquire(request.user.pk or NOBODY)


class FieldsParser(MultiPartParser):
    """Multipart for calls that take no files, so that they cannot fill the disk."""

    limit_setting = "BODY_MAX_BYTES"


class AnyTypeParser(parsers.BaseParser):
    """JSON or a form, whatever the content type says: crawlers send small bodies under the types of large ones."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        if (media_type or "").lower().startswith("multipart/form-data"):
            return FieldsParser().parse(stream, media_type, parser_context).data
        return parse_form(plain_body(stream, parser_context), _declared_codec(parser_context))


def body_pieces(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    """A large body as it arrives, at most `limit` bytes of it, with a length or in chunks (RFC 9112, section 7.1).

    Raises `TooLarge` with both numbers, and `Rejected` for a body that ends before its end.
    """
    announced = announced_length(environ.get("CONTENT_LENGTH"), limit)
    if announced is None and "HTTP_TRANSFER_ENCODING" not in environ:
        return
    read, received = environ["wsgi.input"].read, 0
    while piece := read(PIECE if announced is None else min(PIECE, announced - received)):
        received += len(piece)
        if received > limit:
            raise TooLarge(f"The body has more than the {limit} bytes that are allowed.", limit=limit)
        yield bytes(piece)
    if announced is not None and received < announced:
        raise Rejected(f"The body ended after {received} of {announced} bytes.")


# Answers


class JsonByDefaultNegotiation(negotiation.DefaultContentNegotiation):
    """Answers with JSON, rather than 406, where nothing fits the `Accept` header; reads JSON under its other names."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser of a body's type. What says that it is JSON (RFC 6839), such as a merge patch, is read as JSON."""
        parser = super().select_parser(request, parsers)
        kind = request.content_type.partition(";")[0].strip().lower()
        if parser is None and (kind in _JSON_TYPES or (kind.endswith("+json") and kind not in _OTHER_DOCUMENTS)):
            return next((one for one in parsers if isinstance(one, JsonParser)), None)
        return parser

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if len(renderers) == 1 and request.META.get("HTTP_ACCEPT", "*/*") == "*/*" and not request.META["QUERY_STRING"]:
            return renderers[0], renderers[0].media_type  # as nearly all calls, of which nothing needs to be read
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except exceptions.NotAcceptable:
            renderer: BaseRenderer = next((one for one in renderers if isinstance(one, JSONRenderer)), renderers[0])
            return renderer, renderer.media_type


class ViewMetadata(SimpleMetadata):
    """Describes a view by its name, its text and its media types, and by its fields where a serializer has them."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        """The fields by method. A list view whose bodies are checked without a serializer has none to tell."""
        if getattr(view, "serializer_class", None) is None:
            return {}
        return super().determine_actions(request, view)


# Rate limits


class RouteThrottle(throttling.SimpleRateThrottle):
    """Counts calls in fixed windows, such as a minute, per user (or address) and route class.

    The route class is the view's `throttle_scope`, else `read` or `submit`. One number per window, incremented in
    Redis: the same cost for 60 and for 60,000 calls, and calls at the same moment are all counted.
    """

    def __init__(self) -> None:
        """The rate depends on the view, which is known when it is called."""

    def allow_request(self, request: Request | HttpRequest, view: Any) -> bool:
        scope = getattr(view, "throttle_scope", None) or ("read" if request.method in READING_METHODS else "submit")
        rate = settings.THROTTLE_RATES[scope]
        if rate is None:
            return True
        ident = request.user.pk or client_network(self.get_ident(request) or "")  # type: ignore[arg-type]  # has META
        return self.allow(f"{scope}:{ident}", rate)

    def allow(self, counted: str, rate: str, *, times: int = 1) -> bool:
        """Counts a call of what is `counted`; whether there were no more than `times` as many as the rate allows."""
        calls, duration = cast(tuple[int, int], self.parse_rate(rate))
        window, elapsed = divmod(self.timer(), duration)
        self._seconds_left = duration - elapsed
        return self._count(f"throttle:{counted}:{window:.0f}", duration) <= calls * times

    def wait(self) -> float:
        return self._seconds_left

    @staticmethod
    def _count(key: str, duration: int) -> int:
        try:
            return _increment(caches["default"], key, duration)
        except RedisError:
            # Redis is away: this process counts alone, rather than letting everybody in or nobody.
            return _increment(caches["local"], key, duration)


def _increment(cache: BaseCache, key: str, duration: int) -> int:
    cache.add(key, 0, timeout=duration + 1)
    try:
        return cache.incr(key)
    except ValueError:  # Redis was emptied in this moment
        return 1
