"""The parts of multipart forms (RFC 7578), each read as its own headers say.

Django finds the parts. By itself it would take every text for UTF-8, with U+FFFD for what is none, and pass over parts
whose head it cannot read; so `FormParts` takes the rest of the work over from it. Apache's HttpClient, for one, sends
texts in ISO-8859-1 unless it is told otherwise, and says so in each part.
"""

import base64
import binascii
import html
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import InMemoryUploadedFile, TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import RAW, ChunkIter, LazyStream, Parser
from django.utils.datastructures import MultiValueDict

from taskhub.errors import Rejected, invalid
from taskhub.jsontools.byte_order_marks import in_utf8
from taskhub.jsontools.lenient_json import codec_name
from taskhub.jsontools.strict_json import escape_pointer, parse_json

CHARSET_FIELD = "_charset_"  # whose text is the charset of texts that name none themselves (RFC 7578, section 4.6)
JSON_TYPE = re.compile(r"application/([^;\s]+\+)?json|text/json", re.IGNORECASE)
_AS_THEY_ARE = {"", "7bit", "8bit", "binary"}  # transfer encodings


class FormParts(FileUploadHandler):
    """Reads a whole form for Django's parser, by the hook that it has for this.

    Raises `Rejected` that names the field, or says which part it is, and past its limits what Django raises. `count` is
    how many parts there were.
    """

    count = 0

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> tuple[QueryDict, MultiValueDict[str, UploadedFile]]:
        texts: list[_TextPart] = []
        files: MultiValueDict[str, UploadedFile] = MultiValueDict()
        in_memory = content_length <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        room, file_count = settings.DATA_UPLOAD_MAX_MEMORY_SIZE, 0
        try:
            for name, head, content in _named_parts(input_data, boundary, self.chunk_size):
                self.count += 1
                if file_name := head.parameter("content-disposition", "filename"):
                    if (file_count := file_count + 1) > settings.DATA_UPLOAD_MAX_NUMBER_FILES:
                        raise TooManyFilesSent("The form has too many files.")
                    files.appendlist(name, _file_of(name, file_name, head, content, in_memory=in_memory))
                    continue
                if len(texts) == settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:
                    raise TooManyFieldsSent("The form has too many fields.")
                text = content.read(room + 1)
                if (room := room - len(text)) < 0:
                    raise RequestDataTooBig("The fields of the form are too large.")
                # A browser sends an input for files that was left empty with an empty file name.
                if text or not head.has_parameter("content-disposition", "filename"):
                    texts.append(_TextPart(name, b"".join(_decoded(name, head, iter([text]))), head))
            deque(ChunkIter(input_data, self.chunk_size), maxlen=0)  # what stands behind the last part
            return _fields_of(texts), files
        except BaseException:
            for _, several in files.lists():
                for file in several:
                    file.close()
            raise


class _Head:
    """The headers of a part, as Django has read them: by name in lower case, a value and its parameters in bytes."""

    def __init__(self, headers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        self._headers = headers

    def value(self, header: str) -> str:
        return self._headers.get(header, ("", {}))[0].strip()

    def has_parameter(self, header: str, name: str) -> bool:
        return name in self._headers.get(header, ("", {}))[1]

    def parameter(self, header: str, name: str) -> str:
        value: bytes = self._headers.get(header, ("", {}))[1].get(name, b"")
        return value.decode("utf-8", "replace").strip()


class _TextPart(NamedTuple):
    name: str
    content: bytes
    head: _Head


def _named_parts(stream: Any, boundary: bytes, chunk_size: int) -> Iterator[tuple[str, _Head, LazyStream]]:
    """Each part with its name. Raises `Rejected` for one without: it would be lost in silence."""
    unnamed = 0
    for number, (kind, headers, content) in enumerate(Parser(LazyStream(ChunkIter(stream, chunk_size)), boundary)):
        if unnamed:  # only what stands before the first part and behind the last has no name
            detail = f"Part {unnamed} of the form has no name, or a head that is not in UTF-8."
            raise Rejected(detail, errors=[{"pointer": "", "detail": detail}])
        head = _Head(headers)
        if kind == RAW or not head.has_parameter("content-disposition", "name"):
            unnamed = number
            continue
        yield head.parameter("content-disposition", "name"), head, content


def _decoded(name: str, head: _Head, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What a part's Content-Transfer-Encoding stands for, which nobody should send, and some libraries do."""
    encoding = head.value("content-transfer-encoding").lower()
    if encoding in _AS_THEY_ARE:
        yield from chunks
        return
    if encoding != "base64":
        raise _invalid_field(name, f"The Content-Transfer-Encoding {encoding[:40]!r} is not read.")
    rest = b""
    try:
        for chunk in chunks:
            letters = rest + b"".join(chunk.split())
            whole = len(letters) // 4 * 4
            yield base64.b64decode(letters[:whole], validate=True)
            rest = letters[whole:]
    except binascii.Error:
        rest = b"?"
    if rest:
        raise _invalid_field(name, "This is not base64.")


def _file_of(name: str, file_name: str, head: _Head, content: LazyStream, *, in_memory: bool) -> UploadedFile:
    """A file, in memory where the whole form has room there. Raises `Rejected` for a name that is none, as `..`."""
    plain_name = _plain_file_name(file_name)
    if plain_name in {"", ".", ".."}:
        raise _invalid_field(name, f"{file_name[:100]!r} is no name of a file.")
    kind, charset, size = head.value("content-type"), head.parameter("content-type", "charset") or None, 0
    spool = None if in_memory else TemporaryUploadedFile(plain_name, kind, 0, charset)
    target: Any = spool or io.BytesIO()
    for chunk in _decoded(name, head, iter(content)):
        target.write(chunk)
        size += len(chunk)
    target.seek(0)
    if spool is None:
        return InMemoryUploadedFile(target, name, plain_name, kind, size, charset)
    spool.size = size
    return spool


def _plain_file_name(file_name: str) -> str:
    """The last part of a path, without what cannot be printed; browsers write some characters as HTML does."""
    last = re.split(r"[/\\]", html.unescape(file_name))[-1]
    return "".join(character for character in last if character.isprintable())


# Texts


def _fields_of(parts: list[_TextPart]) -> QueryDict:
    fields = QueryDict(mutable=True)
    default = next(
        (part.content.decode("ascii", "replace").strip() for part in parts if part.name == CHARSET_FIELD), ""
    )
    for name, content, head in parts:
        if name == CHARSET_FIELD:
            continue
        text = text_of_part(name, content, head.parameter("content-type", "charset") or default)
        # A text as JSON has quotes and escapes; all other JSON is its own text.
        if text.startswith('"') and JSON_TYPE.fullmatch(head.value("content-type")):
            text = str(parse_json_text(text, name))
        fields.appendlist(name, text)
    fields._mutable = False
    return fields


def text_of_part(name: str, content: bytes, charset: str) -> str:
    """The text of the field `name` in the charset that its part names, by default UTF-8. Raises `Rejected`."""
    codec = codec_name(charset or "utf-8")
    if codec is None:
        raise _invalid_field(name, f"The charset {charset[:40]!r} is not known.")
    try:
        return in_utf8(content).decode() if codec == "utf-8" else content.decode(codec)
    except UnicodeError:
        raise _invalid_field(name, f"This is not {codec}.") from None
    except Rejected as error:
        raise _within(name, error, f"{name} cannot be read.") from None


def parse_json_text(text: str, name: str, read: Callable[[str], Any] = parse_json) -> Any:
    """The value of a JSON text that is the field `name`. Raises `Rejected` with the place in it."""
    try:
        return read(text)
    except Rejected as error:
        raise _within(name, error, f"{name} is not JSON. {error.detail}") from None


def _within(name: str, error: Rejected, detail: str) -> Rejected:
    at = f"/{escape_pointer(name[:100])}"
    errors: list[Mapping[str, Any]] = [
        {**place, "pointer": f"{at}{place.get('pointer', '')}"} for place in error.errors
    ]
    return type(error)(detail, errors=errors, type=error.type)


def _invalid_field(name: str, detail: str) -> Rejected:
    return invalid(f"/{escape_pointer(name[:100])}", detail)
