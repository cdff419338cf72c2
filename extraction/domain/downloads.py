"""The files behind links that a process downloads: what they are named, and what a record says of them. Pure."""

import re
from mimetypes import MimeTypes
from typing import Any
from urllib.parse import urlsplit

from extraction.domain.page_addresses import fetchable_address

DOWNLOAD_RULE = -3  # the number of the rule of pages that are files
URL, LINK, SHA256 = "url", "link", "sha256"  # names in a file's object
UNKNOWN_TYPE = "application/octet-stream"

_TYPE = re.compile(r"[a-z0-9][\w.+-]{0,80}/[a-z0-9][\w.+-]{0,80}", re.ASCII)
# Types that a browser shows, at most: it runs nothing of them as a page or a script of the hub's.
_SHOWN = re.compile(
    r"(?:image/(?!svg)|audio/|video/|font/)[^+]*|text/(?:plain|csv)|application/(?:pdf|json|zip|gzip|vnd\.[^+]*)"
)
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}", re.ASCII)
_TYPES = MimeTypes()  # those that Python knows itself, on any machine


class DownloadedFile(dict[str, Any]):
    """A file as a record has it: `link`, `sha256`, `name`, `type`, `bytes`, and the `url` that it came from.

    Before it is downloaded it is its `url` alone.
    """


def file_at(address: str | None) -> DownloadedFile | None:
    """The file at an address, which is to be downloaded; None for an address that is not of the web."""
    url = fetchable_address(address) if address else None
    return DownloadedFile({URL: url}) if url else None


def stored_name(process_id: str, key: bytes) -> str:
    """The name of a file in its storage, which follows from the key of its page: so it is known before it is there."""
    return f"{process_id}-{key.hex()}"


def describe_file(stored_as: str, url: str, media_type: str, size: int, sha256: str) -> dict[str, Any]:
    """What is kept of a file; its name ends as its type, or else its address, says."""
    known = media_type if _TYPE.fullmatch(media_type) else UNKNOWN_TYPE
    suffix = "" if known == UNKNOWN_TYPE else _TYPES.guess_extension(known) or ""
    if not suffix:
        _, dot, ending = urlsplit(url).path.rpartition(".")
        suffix = dot + ending if _SUFFIX.fullmatch(dot + ending) else ""
    return {"name": f"{stored_as}{suffix}", SHA256: sha256, "type": known, "bytes": size}


def served_type(kind: str) -> str:
    """The type as which a file is served: its own, unless that is one such as HTML, which browsers run."""
    return kind if _SHOWN.fullmatch(kind) else UNKNOWN_TYPE


def read_file_name(name: str) -> tuple[str, bytes] | None:
    """The id of the process and the key of the page that a file's name holds; None for another name."""
    process_id, _, key = name.partition(".")[0].partition("-")
    try:
        return (process_id, bytes.fromhex(key)) if len(key) == 32 and key.isalnum() else None
    except ValueError:
        return None
