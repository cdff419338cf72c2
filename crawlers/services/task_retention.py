"""Retention of crawler tasks: what is told of those that ended long ago, and those that hold no documents."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from crawlers.models import CrawlerCall, CrawlerTask, StatusChange

BATCH = 1_000


def prune_tasks() -> int:
    """Removes one batch of what is told of ended tasks past their retention, and says how many rows.

    Their calls and histories go; tasks go only without documents, for of others these are the change sets.
    """
    since = timezone.now() - timedelta(days=settings.CRAWLER_TASK_RETENTION_DAYS)
    removed = 0
    for model in (CrawlerCall, StatusChange):
        oldest = model.objects.order_by("pk").values_list("pk", flat=True)[:BATCH]
        past = model.objects.filter(pk__in=list(oldest), at__lt=since, task__ended_at__lt=since)
        removed += past.delete()[0]
    ended = CrawlerTask.objects.filter(ended_at__lt=since, first_row__isnull=True, removed_at__isnull=True)
    tasks = list(ended.order_by("pk").values_list("pk", flat=True)[:BATCH])
    return removed + int(CrawlerTask.objects.filter(pk__in=tasks).delete()[0])
