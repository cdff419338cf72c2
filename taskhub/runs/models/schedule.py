"""Schedules: what the hub keeps beside django-celery-beat's periodic tasks."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from taskhub.runs.models.run import Run
from taskhub.security.encryption import EncryptedTextField
from taskhub.security.sealed_values import SealedJSONField


class Schedule(models.Model):
    """The owner, the rules and the due time of a periodic task of django-celery-beat, which says when and what."""

    class Missed(models.TextChoices):
        """What becomes of the fires that were due while no beat ran."""

        LATEST = "latest", "the latest is made up for, once"
        NONE = "none", "none is made up for"
        ALL = "all", "each is made up for"

    class Overlap(models.TextChoices):
        """What becomes of a fire while the last run goes on."""

        SKIP = "skip", "it is left out, which is on record"
        WAIT = "wait", "it waits for the end of the last run"
        BESIDE = "beside", "it runs beside the last run"
        CANCEL = "cancel", "the last run is cancelled"

    periodic: "models.OneToOneField[Any, Any]" = models.OneToOneField(
        "django_celery_beat.PeriodicTask", models.CASCADE, primary_key=True, related_name="schedule_row"
    )
    own_name = models.CharField(
        max_length=200, default="", db_default="", help_text="Its name for its owner, where the task has another one"
    )
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="schedules",
        help_text="Whose runs it starts; unknown for one that came in another way than by the hub",
    )
    written: "models.Field[Any, Any]" = EncryptedTextField(
        default="", help_text="The arguments as they were written, comments and all"
    )
    missed = models.CharField(max_length=10, choices=Missed.choices, default=Missed.LATEST)
    overlap = models.CharField(max_length=10, choices=Overlap.choices, default=Overlap.SKIP)
    jitter = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Seconds, up to which a run begins after its due time, by chance"
    )
    webhook: "models.Field[Any, Any]" = EncryptedTextField(
        default="", db_default="", blank=True, help_text="The address that is told of each run's end"
    )
    run_options: "models.Field[Any, Any]" = SealedJSONField(
        default=dict, db_default={}, blank=True, help_text="Tags, metadata, priority and concurrency of its runs"
    )
    due_at = models.DateTimeField(null=True, help_text="The next fire, if there is one")
    fault = models.TextField(default="", help_text="Why it cannot fire")
    read_as = models.CharField(max_length=32, default="", help_text="Fingerprint of the periodic task as it was read")
    last_run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="+")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="schedule_due", condition=Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """Its name for its owner, which its runs carry. Names of periodic tasks are unique among all owners."""
        return self.own_name or str(self.periodic.name)
