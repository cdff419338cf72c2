"""Steps of sequences, for people to read; and checkpoints, for the worker that goes on with a run."""

from typing import Any, ClassVar

from django.db import models

from taskhub.runs.models import Run
from taskhub.security.encryption import EncryptedJSONField


class SequenceStep(models.Model):
    """One finished step. Request and response are JSON as text: secrets masked, cut at a limit."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps", db_index=False)
    number = models.PositiveIntegerField(help_text="From 1, in the order in which they were carried out")
    path = models.TextField(help_text="Such as requests[1].__def_loop__[0].requests[2]")
    method = models.CharField(max_length=10)
    url = models.TextField(help_text="The address, or the name of a call in process")
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer, if there was one")
    duration_ms = models.PositiveIntegerField()
    error = models.TextField(default="", blank=True)
    note = models.TextField(default="", db_default="", blank=True, help_text="What was mended in the answer")
    again = models.BooleanField(default=False, help_text="May have been sent before, by a worker that was lost")
    sent = models.TextField(default="", help_text="Headers and body")
    answer = models.TextField(default="", help_text="The value of the answer")

    class Meta:
        db_table = "sequences_step"
        permissions: ClassVar = [("run_sequence", "Can run sequences")]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "number"], name="step_number")]

    def __str__(self) -> str:
        return f"{self.number}. {self.path}"


class Checkpoint(models.Model):
    """The position of a run that goes on, without the values that it holds."""

    run: "models.OneToOneField[Any, Any]" = models.OneToOneField(Run, models.CASCADE, primary_key=True)
    state = models.TextField(help_text="JSON")

    def __str__(self) -> str:
        return str(self.run_id)


class CheckpointValue(models.Model):
    """A value that a checkpoint holds: each is stored once, however many checkpoints follow."""

    run = models.ForeignKey(Run, models.CASCADE, db_index=False, related_name="+")
    digest = models.CharField(max_length=64, help_text="SHA-256 of place and key, which may be too long for an index")
    place = models.CharField(max_length=20)
    key = models.TextField()
    value: "models.Field[Any, Any]" = EncryptedJSONField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "digest"], name="checkpoint_value")]

    def __str__(self) -> str:
        return f"{self.place} {self.key}"
