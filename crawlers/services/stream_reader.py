"""Documents of a stream as readers see them, page by page or one by its id: of each the version that shows.

Whatever is written meanwhile, nobody who reads in the order of keys sees a document twice, or misses one that was there
all along. In the order of writing, one that is written again while others are read moves to the newest.
"""

import base64
import json
import time
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from crawlers.domain.documents import keys_of_id
from crawlers.models import Stream
from crawlers.services.document_selection import STRETCH, DocumentSelection, time_limited
from crawlers.services.document_store import removed_tasks
from taskhub.errors import NotFound, invalid

STRETCH_MAX = 16_000  # where nothing is found, as after a large task was deleted, the stretches grow
PAGE_BYTES = 16 * 1024 * 1024  # then a page ends, with the document that goes beyond
PAGE_SECONDS = 0.2  # then a page ends where it is, and its cursor goes on from there

# Of the documents that a page has room for those whose predecessors leave any: only they are read.
_WITHIN_BYTES = """
SELECT {position}, key, task_id, at, body, size FROM (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY {order}) AS size FROM ({documents} LIMIT %(limit)s) AS documents
) AS sized WHERE size - octet_length(body) < %(bytes)s ORDER BY {order}
"""
_SHOWN = """
SELECT id, key, task_id, at, body FROM crawlers_document
WHERE stream_id = %(stream)s AND key = %(key)s AND task_id <> ALL(%(removed)s) ORDER BY rank DESC LIMIT 1
"""


class DocumentVersion(NamedTuple):
    """A document as one task wrote it, and its position in what is read."""

    position: Any
    key: str
    task_id: int
    at: datetime
    body: str


class DocumentPage(NamedTuple):
    """`next` is the position behind which the next page begins; None at the end."""

    documents: list[DocumentVersion]
    next: Any


def read_page(*, selection: DocumentSelection, after: Any, limit: int) -> DocumentPage:
    """Up to `limit` documents; fewer where few of many match, or where they are large: a page must not take long.

    Raises `Rejected` for a predicate that is none, or that takes too long.
    """
    after = selection.start if after is None else after
    documents: list[DocumentVersion] = []
    deadline = time.monotonic() + PAGE_SECONDS
    size = STRETCH if selection.has_conditions() or selection.newest else limit + 1
    grows = not selection.where  # a predicate has a second for a stretch, however little it finds
    statement = page_statement(selection)
    room = PAGE_BYTES
    while True:
        stretch = selection.next_stretch(after, size)
        values = selection.values(stretch) | {"limit": limit + 1 - len(documents), "bytes": room}
        with time_limited(selection), connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall()
        documents += [DocumentVersion(*row[:5]) for row in rows]
        room -= int(rows[-1][5]) if rows else 0
        if len(documents) > limit:
            return DocumentPage(documents[:limit], documents[limit - 1].position)
        if room <= 0:
            return DocumentPage(documents, documents[-1].position)
        if stretch.is_last:
            return DocumentPage(documents, None)
        after, size = stretch.upto, min(2 * size, STRETCH_MAX) if grows else size
        if time.monotonic() > deadline:
            return DocumentPage(documents, after)


def page_statement(selection: DocumentSelection) -> str:
    documents = selection.statement("id, key, task_id, at, body")
    return _WITHIN_BYTES.format(documents=documents, position=selection.position, order=selection.order)


def write_cursor(position: Any) -> str:
    """A position as an address has it."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, selection: DocumentSelection) -> Any:
    """The position after which a page begins: a key or the number of a row; None for the first page.

    Raises `Rejected`.
    """
    if cursor is None:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        fits = type(after) is int if selection.by_rows else isinstance(after, str)
        if not fits or "\x00" in str(after) or (isinstance(after, int) and not 0 <= after < 2**63 - STRETCH_MAX):
            raise ValueError
        str(after).encode()
    except ValueError:
        raise invalid("/cursor", "This is no cursor of this list.", "The page cannot be given.") from None
    return after


def find_document(*, stream: Stream, written_id: str) -> DocumentVersion:
    """The document with an id, as an address has it: its JSON, or the text itself. Raises `NotFound`."""
    removed = removed_tasks(stream.pk)
    for key in keys_of_id(written_id):
        with connection.cursor() as cursor:
            cursor.execute(_SHOWN, {"stream": stream.pk, "key": key, "removed": removed})
            if row := cursor.fetchone():
                return DocumentVersion(*row)
    raise NotFound(f"The stream shows no document {written_id[:100]!r}.")
