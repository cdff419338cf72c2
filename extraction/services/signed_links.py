"""Makes and reads signed links to files, which need no other authentication for an hour."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core import signing

from extraction.models import Process
from extraction.services.result_files import result_storage
from taskhub.errors import NotFound, Unavailable

SALT = "extraction.file"
RESULTS, LOG = "results", "log"


@dataclass(frozen=True)
class LinkedFile:
    """What a link leads to: the results or the log of a process."""

    process: Process
    content: str


def link_to(*, process: Process, content: str = RESULTS) -> str:
    """A link to a process's results or log, at the hub; or to results at their storage, if that makes links itself."""
    if content == RESULTS and (url := _storage_link(process.results)):
        return url
    token = signing.dumps([process.id, content], salt=SALT)
    name = process.results if content == RESULTS else f"{process.id}.log"
    return f"{settings.PUBLIC_URL}/v1/files/{token}/{quote(name)}"


def _storage_link(name: str) -> str | None:
    """The storage's own link to a file; None where it makes none."""
    storage = result_storage()
    if not hasattr(storage, "querystring_auth"):
        return None
    try:
        return str(storage.url(name, expire=settings.EXTRACTION_LINK_SECONDS))
    except Exception:
        raise Unavailable("The storage does not answer.", retry_after=60) from None


def resolve_link(*, token: str) -> LinkedFile:
    """What a link leads to. Raises `NotFound` for a link that is none, is too old, or whose process is gone."""
    try:
        id, content = signing.loads(token, salt=SALT, max_age=settings.EXTRACTION_LINK_SECONDS)
    except (signing.BadSignature, ValueError):
        raise NotFound("This link is none, or is too old.") from None
    process: Process | None = Process.objects.filter(id=id, removed_at__isnull=True).first()
    if process is None or (content == RESULTS and not process.results):
        raise NotFound("The file is gone.")
    return LinkedFile(process, content)


def process_of_result(*, name: str, user: Any) -> Process:
    """The process whose results have this name. Raises `NotFound`."""
    rows = Process.objects.visible_to(user).select_related("owner")
    process: Process | None = rows.filter(results=name).first() if name else None
    if process is None:
        raise NotFound("There are no results of this name, or they are not yours.")
    return process
