"""External crawlers, the streams that they fill, and what their tasks did (crawler_task.md; contract, 5).

Rows have a number that other rows refer to, and a `fid`, which is their id on the wire.
"""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from crawlers.domain.task_status import DONE, NEW
from taskhub.db.querysets import RemovableQuerySet
from taskhub.runs.models import Run
from taskhub.security.encryption import EncryptedJSONField


class Owned(models.Model):
    """What externals, streams, crawlers and tasks have in common."""

    fid = models.UUIDField(unique=True, default=uuid7, editable=False)
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    meta = models.JSONField(default=dict, help_text="Its name, and what else is told of it")
    version = models.PositiveIntegerField(default=1, help_text="Each change raises it")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False, help_text="Deleted: it is going")

    objects = RemovableQuerySet[Any].as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} {self.fid}".strip()

    @property
    def name(self) -> str:
        return str(self.meta.get("name", ""))


class External(Owned):
    """A crawler that somebody runs somewhere: where it is, what it takes, and what its documents look like."""

    class Credential(models.TextChoices):
        NONE = "none", "none"
        IGNORE = "ignore", "given ones are ignored"
        BASIC = "basic", "username and password"
        OAUTH = "oauth", "a token"

    endpoint = models.TextField(help_text="/task is appended")
    credential = models.CharField(max_length=10, choices=Credential.choices, default=Credential.NONE)
    parameters = models.JSONField(default=list)
    schema = models.JSONField(null=True, help_text="JSON Schema of one document")
    id_field = models.TextField(default="", help_text="The member of a document that is its id; empty: its content is")
    headers: "models.Field[Any, Any]" = EncryptedJSONField(default=dict)
    timeout = models.PositiveIntegerField(default=3600, help_text="Seconds without a sign of life")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["owner", "-id"], name="external_owner")]


class Stream(Owned):
    """A named collection of documents."""

    documents = models.BigIntegerField(default=0, help_text="How many it shows")
    revision = models.BigIntegerField(default=0, help_text="Each change of its documents raises it")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["owner", "-id"], name="stream_owner")]


class Crawler(Owned):
    """An external crawler with its parameters, for one stream."""

    external = models.ForeignKey(External, models.PROTECT, related_name="crawlers")
    stream = models.ForeignKey(Stream, models.CASCADE, related_name="crawlers")
    params = models.JSONField(default=dict, help_text="Without the secret ones")
    secrets: "models.Field[Any, Any]" = EncryptedJSONField(default=dict, help_text="{params, credential}")
    periodic: "models.OneToOneField[Any, Any]" = models.OneToOneField(
        "django_celery_beat.PeriodicTask", models.SET_NULL, null=True, related_name="crawler"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream"], name="crawler_one_a_stream", condition=Q(removed_at__isnull=True)
            )
        ]
        indexes: ClassVar = [models.Index(fields=["owner", "-id"], name="crawler_owner")]


class Task(Owned):
    """One crawl: what was asked, how it goes, and what it did to its stream. A change set.

    `rank` orders attempts by their start: of a document that several tasks wrote, the highest rank shows. `first_row`
    and `last_row` bound the task's rows among the documents.
    """

    external = models.ForeignKey(External, models.PROTECT, related_name="tasks")
    crawler = models.ForeignKey(Crawler, models.SET_NULL, null=True, related_name="tasks")
    stream = models.ForeignKey(Stream, models.CASCADE, related_name="tasks", db_index=False)
    run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="+")
    attempt = models.PositiveIntegerField(default=1)
    rank = models.BigIntegerField()
    code = models.IntegerField(default=NEW)
    message = models.TextField(default="", blank=True)
    detail = models.TextField(default="", blank=True)
    params = models.JSONField(default=dict, help_text="Without the secret ones")
    secrets: "models.Field[Any, Any]" = EncryptedJSONField(default=dict, help_text="{params, credential}")
    callback = models.TextField(default="", blank=True, help_text="Where the crawler is told of changes")
    timeout = models.PositiveIntegerField(help_text="Seconds without a sign of life")
    started_at = models.DateTimeField(null=True, help_text="When the crawler took it")
    seen_at = models.DateTimeField(default=timezone.now, help_text="The last sign of life")
    ended_at = models.DateTimeField(null=True)
    received = models.BigIntegerField(default=0)
    inserted = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0, help_text="Received, unpacked")
    first_row = models.BigIntegerField(null=True)
    last_row = models.BigIntegerField(null=True)
    last_upload = models.JSONField(null=True, help_text="Digest and circumstances of the last one, if nothing repeated")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["crawler"],
                name="task_one_running",
                condition=Q(ended_at__isnull=True, removed_at__isnull=True),
            ),
            models.CheckConstraint(
                name="task_ended_at",
                condition=Q(code__gte=DONE, ended_at__isnull=False) | Q(code__lt=DONE, ended_at__isnull=True),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-id"], name="task_owner"),
            models.Index(fields=["stream", "-id"], name="task_stream"),
            models.Index(fields=["crawler", "-id"], name="task_crawler"),
        ]

    def __str__(self) -> str:
        return f"{self.fid} ({self.code})"

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    @property
    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}


COUNTS = ("received", "inserted", "updated", "unchanged", "rejected", "bytes")


class StatusChange(models.Model):
    """One entry of a task's history."""

    class By(models.TextChoices):
        HUB = "hub"
        CRAWLER = "crawler"
        OWNER = "owner"

    task = models.ForeignKey(Task, models.CASCADE, related_name="history", db_index=False)
    attempt = models.PositiveIntegerField()
    code = models.IntegerField()
    message = models.TextField(default="")
    detail = models.TextField(default="")
    by = models.CharField(max_length=10, choices=By.choices)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="status_task")]

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


class Call(models.Model):
    """One request to a crawler, whatever came of it."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="calls", db_index=False)
    run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="+")
    attempt = models.PositiveIntegerField(help_text="Of the run")
    method = models.CharField(max_length=10)
    url = models.TextField()
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer, if there was one")
    error = models.TextField(default="")
    duration_ms = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="call_task")]

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Document(models.Model):
    """One version of a document: as one task wrote it.

    Its stream and its task are not checked by foreign keys, which would look up both for each of a million rows: every
    row is written and removed under a lock of its stream. `key` is the id as JSON, or a digest.
    """

    stream = models.ForeignKey(Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    key = models.TextField(db_collation="C")
    task = models.ForeignKey(Task, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    rank = models.BigIntegerField(help_text="Of the attempt that wrote it")
    body = models.TextField(help_text="JSON, as it was sent")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["stream", "key", "task"], name="document_version")]

    def __str__(self) -> str:
        return self.key


class Rejected(models.Model):
    """A line that was no document of the stream, kept to be looked at and sent again."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="quarantine", db_index=False)
    line = models.BigIntegerField(help_text="In its upload")
    reason = models.TextField()
    body = models.TextField(help_text="The line as it was sent")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "rejected lines"
        indexes: ClassVar = [models.Index(fields=["task", "id"], name="rejected_task")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"
