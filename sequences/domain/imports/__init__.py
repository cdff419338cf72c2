"""Imports: requests as other tools write them down, as a sequence."""

from typing import Any

from sequences.domain.imports.curl_commands import import_curl
from sequences.domain.imports.har_entries import import_har
from sequences.domain.imports.postman_collections import import_postman
from sequences.domain.imports.sequence_draft import SequenceDraft
from sequences.domain.validation_errors import InvalidSequence

SOURCE_MAX = 20_000_000  # characters of a source
CURL_MAX = 1_000_000
FORMATS = {"postman": import_postman, "har": import_har, "curl": import_curl}


def import_source(format_: Any, source: Any) -> dict[str, Any]:
    """`{sequence, warnings}` of a source: a collection or a HAR, as JSON or its text, or curl commands.

    A warning has the `path` in the source, or in the sequence, and a `detail`. What is secret is in
    neither. Raises `InvalidSequence`, whose paths are places in the source.
    """
    if not isinstance(format_, str) or format_ not in FORMATS:
        raise InvalidSequence([{"path": "format", "detail": f"This is one of {', '.join(FORMATS)}."}])
    most = CURL_MAX if format_ == "curl" else SOURCE_MAX
    if isinstance(source, str) and len(source) > most:
        raise InvalidSequence([{"path": "source", "detail": f"A source has at most {most} characters."}])
    draft = SequenceDraft()
    FORMATS[format_](source, draft)
    return {"sequence": draft.sequence(), "warnings": draft.warnings}


def guess_format(text: str) -> str:
    """The format of a file by its content."""
    start = text.lstrip("\ufeff \t\r\n")
    if not start.startswith("{"):
        return "curl"
    return "har" if '"log"' in start and '"entries"' in start else "postman"
