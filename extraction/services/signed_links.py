"""Links to files that need no other authentication, for an hour: signed, as they cannot be guessed."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core import signing

from extraction.models import Process
from extraction.services.results import result_storage
from taskhub.errors import NotFound, Unavailable

SALT = "extraction.file"
RESULTS, LOG = "results", "log"


@dataclass(frozen=True)
class LinkedFile:
    """What a link leads to."""

    process: Process
    what: str


def link_to(*, process: Process, what: str = RESULTS) -> str:
    """An address of the hub; on a storage elsewhere, one of its own for results."""
    if what == RESULTS and (url := _elsewhere(process.results)):
        return url
    token = signing.dumps([process.id, what], salt=SALT)
    name = process.results if what == RESULTS else f"{process.id}.log"
    return f"{settings.PUBLIC_URL}/v1/files/{token}/{quote(name)}"


def _elsewhere(name: str) -> str | None:
    where = result_storage()
    if not hasattr(where, "querystring_auth"):
        return None
    try:
        return str(where.url(name, expire=settings.EXTRACTION_LINK_SECONDS))
    except Exception:
        raise Unavailable("The storage does not answer.", retry_after=60) from None


def resolve_link(*, token: str) -> LinkedFile:
    """Raises `NotFound` for a link that is none, is too old, or whose process is gone."""
    try:
        id, what = signing.loads(token, salt=SALT, max_age=settings.EXTRACTION_LINK_SECONDS)
    except (signing.BadSignature, ValueError):
        raise NotFound("This link is none, or is too old.") from None
    process: Process | None = Process.objects.filter(id=id, removed_at__isnull=True).first()
    if process is None or (what == RESULTS and not process.results):
        raise NotFound("The file is gone.")
    return LinkedFile(process, what)


def process_of_result(*, name: str, user: Any) -> Process:
    """The process whose results have this name. Raises `NotFound`."""
    rows = Process.objects.visible_to(user).select_related("owner")
    process: Process | None = rows.filter(results=name).first() if name else None
    if process is None:
        raise NotFound("There are no results of this name, or they are not yours.")
    return process
