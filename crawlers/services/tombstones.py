"""Tombstones: what is left, for readers of changes, of documents that their stream shows no more or differently."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from crawlers.models import Stream, Tombstone

BATCH = 5_000


@transaction.atomic
def prune_tombstones() -> int:
    """Removes one batch of tombstones past their retention, and says how many.

    Each stream keeps the number of its last one: whoever has not read so far can no longer be told.
    """
    since = timezone.now() - timedelta(days=settings.CHANGES_RETENTION_DAYS)
    oldest = Tombstone.objects.order_by("pk").values_list("pk", "stream_id", "at")[:BATCH]
    found = [(pk, stream_id) for pk, stream_id, at in oldest if at < since]
    # Those of a stream that an upload has locked have time.
    streams = Stream.objects.filter(pk__in={stream_id for _, stream_id in found})
    free = set(streams.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    forgotten = Tombstone.objects.filter(pk__in=[pk for pk, stream_id in found if stream_id in free])
    for last in forgotten.values("stream_id").annotate(row=Max("pk")):
        Stream.objects.filter(pk=last["stream_id"]).update(forgotten_row=last["row"])
    return int(forgotten.delete()[0])
