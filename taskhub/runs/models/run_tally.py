"""What ended in an hour that is over."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from taskhub.db.querysets import OwnedQuerySet
from taskhub.runs.models.run import KIND_MAX, NAME_MAX, STATE_MAX


class RunTally(models.Model):
    """How many runs ended in an hour, of those that have all else in common, and a histogram of the seconds that they
    took, and one of those that they waited: the numbers of the bins that have any, and how many these have.

    `run_tallies` says what the bins are.
    """

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(help_text="When it began")
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=KIND_MAX)
    name = models.CharField(max_length=NAME_MAX)
    state = models.CharField(max_length=STATE_MAX)
    runs = models.IntegerField()
    took_bins = ArrayField(models.SmallIntegerField())
    took_runs = ArrayField(models.IntegerField())
    waited_bins = ArrayField(models.SmallIntegerField())
    waited_runs = ArrayField(models.IntegerField())

    objects = OwnedQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hour", "owner", "kind", "name", "state"], name="run_tally_once")
        ]
        indexes: ClassVar = [models.Index(fields=["owner", "hour"], name="run_tally_owner")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%dT%H} {self.kind} {self.name} {self.state}"
