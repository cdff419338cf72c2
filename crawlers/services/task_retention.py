"""Retention of crawler tasks: what is told of those that ended long ago, and those that hold no documents."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from crawlers.models import CrawlerCall, CrawlerTask, StatusChange

BATCH = 1_000


def prune_tasks() -> int:
    """Removes one batch of what is told of ended tasks past their retention, and says how many rows.

    Their calls and histories go; tasks go only without documents, for of others these are the change sets.
    """
    since = timezone.now() - timedelta(days=settings.CRAWLER_TASK_RETENTION_DAYS)
    removed = sum(_prune_rows(model, since) for model in (CrawlerCall, StatusChange))
    ended = CrawlerTask.objects.filter(ended_at__lt=since, first_row__isnull=True, removed_at__isnull=True)
    with transaction.atomic():
        # Locked, and so asked again: one of them may be tried again, or its rejected lines become documents.
        locked = ended.select_for_update(of=("self",), skip_locked=True)
        tasks = list(locked.order_by("pk").values_list("pk", flat=True)[:BATCH])
        return removed + int(CrawlerTask.objects.filter(pk__in=tasks).delete()[0])


def _prune_rows(model: type[CrawlerCall | StatusChange], since: datetime) -> int:
    """Removes rows from before `since`, the oldest first; those of tasks that go on are passed over."""
    rows = model.objects.order_by("pk").values_list("pk", "at")
    after = 0
    while batch := list(rows.filter(pk__gt=after)[:BATCH]):
        after, newest = batch[-1]
        past = [pk for pk, at in batch if at < since]
        if removed := model.objects.filter(pk__in=past, task__ended_at__lt=since).delete()[0]:
            return removed
        if newest >= since:
            break
    return 0
