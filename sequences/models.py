"""Steps of sequences, for people to read; and checkpoints, for the worker that goes on with a run."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from taskhub.runs.models import Run
from taskhub.security.encryption import EncryptedJSONField, EncryptedTextField
from taskhub.security.sealed_values import SealedJSONField


class SequenceStep(models.Model):
    """One finished step. Request and response are JSON as text: secrets masked, cut at a limit."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps", db_index=False)
    number = models.PositiveIntegerField(help_text="From 1, in the order in which they were carried out")
    path = models.TextField(help_text="Such as requests[1].__def_loop__[0].requests[2]")
    title = models.CharField(max_length=200, default="", db_default="", blank=True, help_text="Its `name`")
    method = models.CharField(max_length=10, help_text="SLEEP, PARALLEL or CALL for a step without a request")
    url = models.TextField(help_text="The address, or the name of a call in process")
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer, if there was one")
    duration_ms = models.PositiveIntegerField()
    error = models.TextField(default="", blank=True)
    note = models.TextField(default="", db_default="", blank=True, help_text="What was mended in the answer")
    attempt = models.PositiveIntegerField(default=1, db_default=1, help_text="The tries of one request, from 1")
    skipped = models.BooleanField(default=False, db_default=False, help_text="Its `when` did not hold")
    again = models.BooleanField(default=False, help_text="May have been sent before, by a worker that was lost")
    sent = models.TextField(default="", help_text="Headers and body")
    answer = models.TextField(default="", help_text="The value of the answer")

    class Meta:
        db_table = "sequences_step"
        permissions: ClassVar = [("run_sequence", "Can run sequences")]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "number"], name="step_number")]

    def __str__(self) -> str:
        return f"{self.number}. {self.path}"


class SecretQuerySet(models.QuerySet["StoredSecret"]):
    def usable_by(self, owner_id: Any) -> "SecretQuerySet":
        """A user's own secrets, and those of all."""
        return self.filter(models.Q(owner=owner_id) | models.Q(owner=None))


class StoredSecret(models.Model):
    """A value that sequences use and nobody is shown again; without an owner it is for everybody's."""

    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    name = models.CharField(max_length=100)
    value: "models.Field[Any, Any]" = EncryptedTextField()
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SecretQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "name"], name="secret_name", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_global(self) -> bool:
        return self.owner_id is None


class StoredSequence(models.Model):
    """A sequence that is kept under its owner's name for it. `newest` is the number of its newest version."""

    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    name = models.CharField(max_length=100)
    newest = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "name"], name="stored_sequence_name")]

    def __str__(self) -> str:
        return self.name


class SequenceVersion(models.Model):
    """One version of a stored sequence. It never changes."""

    stored: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        StoredSequence, models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField(help_text="From 1")
    description = models.TextField(default="", blank=True)
    sequence: "models.Field[Any, Any]" = SealedJSONField()
    written: "models.Field[Any, Any]" = EncryptedTextField(
        default="",
        db_default="",
        blank=True,
        help_text="The sequence as it was written, comments and all; may be empty",
    )
    inputs: "models.Field[Any, Any]" = SealedJSONField(null=True, help_text="A JSON Schema")
    outputs: "models.Field[Any, Any]" = SealedJSONField(null=True, help_text="Expressions by name")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["stored", "number"], name="sequence_version")]

    def __str__(self) -> str:
        return f"{self.stored_id} {self.number}"


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
    value: "models.Field[Any, Any]" = EncryptedJSONField(null=True, help_text="JSON; null is NULL")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "digest"], name="checkpoint_value")]

    def __str__(self) -> str:
        return f"{self.place} {self.key}"
