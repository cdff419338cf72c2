"""Makes and reads signed links to files, which need no other authentication for an hour."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core import signing

from extraction.domain.downloads import read_file_name
from extraction.models import Process
from extraction.services.downloaded_files import named_file
from extraction.services.result_files import result_storage
from taskhub.errors import NotFound, Unavailable

SALT = "extraction.file"
RESULTS, LOG = "results", "log"


@dataclass(frozen=True)
class LinkedFile:
    """What a link leads to: the results or the log of a process, or by its name a file that it downloaded."""

    process: Process
    content: str = RESULTS

    @property
    def is_download(self) -> bool:
        return self.content not in {RESULTS, LOG}

    @property
    def name(self) -> str:
        """The name under which it is saved."""
        if self.is_download:
            return self.content
        return self.process.results if self.content == RESULTS else f"{self.process.id}.log"

    @property
    def stored_name(self) -> str:
        """Its name in the storage of results; empty for a log, which is written when it is read."""
        if self.is_download:
            return self.content.partition(".")[0]
        return self.process.results if self.content == RESULTS else ""


def link_to(*, process: Process, content: str = RESULTS) -> str:
    """A link to what a process has, at the hub; or at the storage of results, if that makes links itself."""
    linked = LinkedFile(process, content)
    if linked.stored_name and (url := _storage_link(linked.stored_name)):
        return url
    token = signing.dumps([process.id, content], salt=SALT)
    return f"{settings.PUBLIC_URL}/v1/files/{token}/{quote(linked.name)}"


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


def file_named(*, name: str, user: Any) -> LinkedFile:
    """The results, or the file that a process downloaded, with this name. Raises `NotFound`."""
    rows = Process.objects.visible_to(user).select_related("owner")
    place = read_file_name(name)
    process: Process | None = rows.filter(**({"id": place[0]} if place else {"results": name})).first()
    if process is None or not name:
        raise NotFound("There are no results of this name, or they are not yours.")
    if place is None:
        return LinkedFile(process)
    named_file(process, name)
    return LinkedFile(process, name)
