"""Formats of result files, and the names under which they are known. Pure."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from taskhub.jsontools.json_models import Flag, JsonModel
from taskhub.jsontools.schema import invalid_value

CSV, XLSX, JSON, JSONL, XML = "csv", "xlsx", "json", "jsonl", "xml"

HTML, PNG, JPG, PDF, MD = "html", "png", "jpg", "pdf", "md"  # of single pages
PREVIEW, SUGGESTIONS = "preview", "suggest"
SAMPLES = frozenset({PREVIEW, SUGGESTIONS})  # of single pages that a payload is built by; nothing of these is kept
SINGLE_PAGE_TYPES = {
    HTML: "text/html; charset=utf-8",
    MD: "text/markdown; charset=utf-8",
    PNG: "image/png",
    JPG: "image/jpeg",
    PDF: "application/pdf",
    PREVIEW: "application/json",
    SUGGESTIONS: "application/json",
}
MEDIA_TYPES = {
    CSV: "text/csv; charset=utf-8",
    XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    JSON: "application/json",
    JSONL: "application/x-ndjson",
    XML: "application/xml",
}
SEPARATORS = {"comma": ",", "semicolon": ";", "pipe": "|", "tab": "\t"}
_NAMES = {
    **{name: name for name in MEDIA_TYPES},
    "excel": XLSX,
    "ms excel": XLSX,
    "msexcel": XLSX,
    "json(lines)": JSONL,
    "json lines": JSONL,
    "jsonlines": JSONL,
    "ndjson": JSONL,
}


def format_named(name: str) -> str | None:
    """The format that a name stands for, in any case; None where there is no such format."""
    return _NAMES.get(name.strip().lower())


def _read_separator(value: Any) -> str:
    if not isinstance(value, str) or (separator := SEPARATORS.get(value.lower(), value)) not in SEPARATORS.values():
        raise invalid_value('Must be ",", ";", "|" or a tab.')
    return separator


def _read_format(value: Any) -> str:
    if not isinstance(value, str):
        raise invalid_value("Must be a text.")
    if value and (name := format_named(value)):
        return name
    if value:
        raise invalid_value("Must be CSV, XLSX, JSON, JSONL or XML.")
    return JSON


class CsvOptions(JsonModel):
    """How CSV is written: what separates its fields, which are quoted, and whether a byte order mark comes first."""

    separator: Annotated[str, BeforeValidator(_read_separator)] = ","
    bom: Flag = False


ResultFormat = Annotated[str, BeforeValidator(_read_format)]


def file_name(process_id: str, format: str, *, gzip: bool) -> str:
    """The name of a process's result file."""
    return f"{process_id}.{format}" + (".gz" if gzip else "")
