"""Statistics of a stream: its fields, from a sample that is spread over what it shows, and its documents a day."""

from typing import Any

import orjson
from django.db import connection
from django.db.models import Max, Min

from crawlers.domain.field_statistics import describe_fields
from crawlers.models import Document, Stream, StreamDay
from crawlers.services.document_selection import IS_SHOWN
from crawlers.services.document_store import removed_tasks
from taskhub.db.plans import reads_along_indexes

PARTS, PART_SIZE, PART_ROWS = 20, 50, 5_000  # parts of the sample; documents in each; its rows that are looked at
DOCUMENT_MAX = 100_000  # bytes; longer ones are left out
DAYS = 90

_PART = """
SELECT body FROM (
    SELECT * FROM crawlers_document WHERE stream_id = %(stream)s AND id >= %(first)s AND id < %(end)s
    ORDER BY id LIMIT %(rows)s
) AS document
WHERE task_id <> ALL(%(removed)s) AND octet_length(body) <= %(most)s AND {is_shown}
ORDER BY id LIMIT %(limit)s
"""


def describe_stream(*, stream: Stream) -> dict[str, Any]:
    """`{documents, sample, fields, days}`; a field is `{name, present, nulls, types, examples}`."""
    documents = [orjson.loads(body) for body in _sample(stream)]
    days = StreamDay.objects.filter(stream=stream).order_by("-day")[:DAYS]
    return {
        "documents": stream.documents,
        "sample": len(documents),
        "fields": [vars(field) for field in describe_fields(documents)],
        "days": [{"day": day.day.isoformat(), "inserted": day.inserted, "updated": day.updated} for day in days],
    }


def _sample(stream: Stream) -> list[str]:
    values: dict[str, Any] = {
        "stream": stream.pk,
        "removed": removed_tasks(stream.pk),
        "most": DOCUMENT_MAX,
        "rows": PART_ROWS,
        "limit": PART_SIZE,
    }
    found: list[str] = []
    with reads_along_indexes(), connection.cursor() as cursor:
        rows = Document.objects.filter(stream=stream).aggregate(first=Min("id"), last=Max("id"))
        if rows["first"] is None:
            return []
        step = (rows["last"] - rows["first"]) // PARTS + 1
        for first in range(rows["first"], rows["last"] + 1, step):
            cursor.execute(_PART.format(is_shown=IS_SHOWN), values | {"first": first, "end": first + step})
            found += [body for (body,) in cursor.fetchall()]
    return found
