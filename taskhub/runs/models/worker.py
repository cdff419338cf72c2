"""Workers that are alive."""

from datetime import timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A worker that is alive: it writes a heartbeat every few seconds."""

    name = models.CharField(max_length=255, primary_key=True, help_text="Celery's node name, such as walkers@host")
    queues = ArrayField(models.CharField(max_length=40))
    processes = ArrayField(
        models.PositiveIntegerField(),
        db_default=[],
        help_text="Process ids; each process carries out one run at a time",
    )
    pid = models.PositiveIntegerField()
    since = models.DateTimeField(db_default=Now(), editable=False, help_text="When it gave its first heartbeat")
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name

    @property
    def host(self) -> str:
        """The name under which the documents show workers: `celery@host`."""
        return node_host(self.name)


def node_host(name: str) -> str:
    return f"celery@{name.rpartition('@')[2].partition(':')[0]}"


def worker_timeout() -> timedelta:
    """The time without a heartbeat after which a worker counts as lost."""
    return timedelta(seconds=settings.WORKER_SILENT_SECONDS)


def live_workers() -> models.QuerySet[Worker]:
    return Worker.objects.filter(seen_at__gt=Now() - worker_timeout())
