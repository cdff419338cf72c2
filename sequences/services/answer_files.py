"""Answers of a run that are kept as files (`"response": "bytes"`), and their links."""

import re
import threading
from uuid import UUID

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import QuerySet, Sum

from sequences.domain.exchange import KeptFile, SendFailed
from taskhub.errors import Problem
from taskhub.runs.models import Run
from walkers.models import RunFile
from walkers.services.run_files import store_content

FIELD = "answer"  # by which these files are told from those that were sent with a call
CONTENT_TYPE_MAX = 255
_LINK = re.compile(r"\S*/sequences/runs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/files/([0-9]{1,18})")


class AnswerFiles:
    """The file store of one run, of up to `SEQUENCE_FILES_MAX_BYTES`. What has a link is in the storage."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()  # several answers may come at once
        self._kept: int | None = None

    def keep(self, file: KeptFile) -> str:
        self._reserve(len(file.content))
        try:
            row = store_content(
                run=self._run,
                field=FIELD,
                name=file.name,
                content_type=file.content_type[:CONTENT_TYPE_MAX],
                content=file.content,
            )
        except Problem as problem:
            raise SendFailed(f"The answer cannot be kept as a file. {problem.detail}") from None
        return f"{settings.PUBLIC_URL}/sequences/runs/{self._run.pk}/files/{row.pk}"

    def read(self, link: str) -> KeptFile:
        """A file of this run, or of another of the same owner."""
        row = None
        if named := _LINK.fullmatch(link):
            row = _rows(named[1]).filter(pk=int(named[2]), run__owner=self._run.owner_id).first()
        if row is None:
            raise SendFailed("The file is given by no link of one that a sequence of yours has kept.")
        return read_file(row)

    def _reserve(self, size: int) -> None:
        with self._lock:
            if self._kept is None:
                self._kept = _rows(self._run.pk).aggregate(total=Sum("size"))["total"] or 0
            if self._kept + size > settings.SEQUENCE_FILES_MAX_BYTES:
                most = settings.SEQUENCE_FILES_MAX_BYTES
                raise SendFailed(f"The files of this run would have more than {most} bytes together.")
            self._kept += size


def find_file(*, run: Run, file_id: int) -> RunFile | None:
    """A file that a run has kept."""
    return _rows(run.pk).filter(pk=file_id).first()


def read_file(row: RunFile) -> KeptFile:
    """The content of a file. Raises `SendFailed` where the storage does not have it, or is away."""
    try:
        with default_storage.open(row.path) as stored:
            return KeptFile(row.name, row.content_type, stored.read())
    except OSError:
        raise SendFailed(f"The file {row.name} cannot be read.") from None


def _rows(run_id: UUID | str) -> QuerySet[RunFile]:
    return RunFile.objects.filter(run_id=run_id, field=FIELD)
