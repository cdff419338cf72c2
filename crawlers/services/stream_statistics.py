"""Statistics of a stream: its fields, from a sample that is spread over what it shows, and its documents a day."""

from typing import Any

import orjson
from django.db import connection
from django.db.models import Max, Min

from crawlers.domain.field_statistics import describe_fields
from crawlers.models import CrawlerTask, Stream, StreamDay
from crawlers.services.document_selection import IS_SHOWN
from crawlers.services.document_store import removed_tasks
from taskhub.db.plans import reads_along_indexes

PARTS, PART_SIZE, PART_ROWS = 20, 50, 5_000  # parts of the sample; documents in each; rows that are looked at for it
DOCUMENT_MAX = 100_000  # bytes; longer ones are left out
DAYS = 90

_PART = """
SELECT body FROM crawlers_document AS document
WHERE id > %(after)s AND id <= %(upto)s AND stream_id = %(stream)s AND task_id <> ALL(%(removed)s)
    AND octet_length(body) <= %(most)s AND {is_shown}
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
    tasks = CrawlerTask.objects.filter(stream=stream, removed_at__isnull=True, first_row__isnull=False)
    rows = tasks.aggregate(first=Min("first_row"), last=Max("last_row"))
    if rows["first"] is None:
        return []
    values: dict[str, Any] = {
        "stream": stream.pk,
        "removed": removed_tasks(stream.pk),
        "most": DOCUMENT_MAX,
        "limit": PART_SIZE,
    }
    after, step = rows["first"] - 1, (rows["last"] - rows["first"]) // PARTS + 1
    found: list[str] = []
    with reads_along_indexes(), connection.cursor() as cursor:
        for start in range(after, rows["last"], step):
            first = tasks.filter(last_row__gt=start).aggregate(first=Min("first_row"))["first"]
            begin = max(start, first - 1)  # there is nothing of the stream between its tasks
            upto = min(begin + PART_ROWS, start + step)
            cursor.execute(_PART.format(is_shown=IS_SHOWN), values | {"after": begin, "upto": upto})
            found += [body for (body,) in cursor.fetchall()]
    return found
