"""What runs log: one row a line."""

from typing import ClassVar

from django.db import models

from taskhub.db.querysets import OwnedQuerySet
from taskhub.runs.models.run import Run


class LogLineQuerySet(OwnedQuerySet["LogLine"]):
    owner_field = "run__owner_id"


class LogLine(models.Model):
    """A line of a run's log, without secrets. Ids are in the order in which the lines were stored."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, models.CASCADE, related_name="log_lines", db_index=False)
    at = models.DateTimeField()
    level = models.PositiveSmallIntegerField(help_text="As in Python: 10 is DEBUG, 20 INFO, 30 WARNING, 40 ERROR")
    logger = models.CharField(max_length=200)
    message = models.TextField()
    attempt = models.PositiveSmallIntegerField()
    fields = models.JSONField(default=dict, blank=True)

    objects = LogLineQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [models.Index(fields=["run", "id"], name="log_line_run")]

    def __str__(self) -> str:
        return self.message[:100]
