"""External crawlers, the streams that they fill, their tasks, and the documents that these wrote."""

from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from crawlers.domain.parameters import replace_secret_defaults
from crawlers.domain.task_status import DONE, NEW
from taskhub.db.name_search import end_of, words_of
from taskhub.db.querysets import RemovableQuerySet
from taskhub.errors import NotFound
from taskhub.jsontools.key_order import keep_order, parse_ordered
from taskhub.runs.models import Run
from taskhub.security.encryption import EncryptedJSONField, EncryptedTextField
from taskhub.security.sealed_values import SealedJSONField, SealedTextField, sealed_whole

_NAME = KeyTextTransform("name", "meta")
_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class ParametersField(SealedJSONField):
    """Descriptions of parameters; the defaults of secret ones are sealed."""

    def sealed(self, value: Any) -> Any:
        return replace_secret_defaults(value, lambda index, name, default: sealed_whole(default))


class SchemaField(models.JSONField):
    """A JSON Schema, whose keys keep their order: that of its properties is the order of a table's columns."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return super().get_db_prep_value(keep_order(value), connection, prepared)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return parse_ordered(value) if isinstance(value, str) else value


class FidQuerySet(RemovableQuerySet[_Row]):
    def get_visible(self, user: Any, fid: UUID) -> _Row:
        """The row with this fid. Raises `NotFound` for what never was, is deleted, or is another user's."""
        row = self.visible_to(user).filter(fid=fid).first()
        if row is None:
            raise NotFound(f"There is no {self.model._meta.verbose_name} {fid}, or it is not yours.")
        return row


class FidModel(models.Model):
    """What externals, streams, crawlers and tasks have in common. `fid` is their id on the wire; rows refer to `id`."""

    fid = models.UUIDField(unique=True, default=uuid7, editable=False)
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    meta = models.JSONField(default=dict, help_text="Its name, and whatever else describes it")
    version = models.PositiveIntegerField(default=1, help_text="Each change raises it")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False, help_text="When it was deleted; its row goes later")

    objects = FidQuerySet[Any].as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} {self.fid}".strip()

    @property
    def name(self) -> str:
        return str(self.meta.get("name", ""))


class External(FidModel):
    """A registered crawler that runs somewhere else: its address, its parameters, and the schema of its documents."""

    class Credential(models.TextChoices):
        NONE = "none", "none"
        IGNORE = "ignore", "credentials are ignored"
        BASIC = "basic", "username and password"
        OAUTH = "oauth", "a token"

    endpoint: "models.Field[Any, Any]" = SealedTextField(help_text="/task is appended")
    credential = models.CharField(max_length=10, choices=Credential.choices, default=Credential.NONE)
    parameters = ParametersField(default=list)
    schema = SchemaField(null=True, help_text="JSON Schema of one document")
    id_field = models.TextField(default="", help_text="The member that is a document's id; empty: its content is")
    headers: "models.Field[Any, Any]" = EncryptedJSONField(default=dict)
    timeout = models.PositiveIntegerField(default=3600, help_text="Seconds without a sign of life")
    kept: "models.Field[Any, Any]" = SealedJSONField(
        default=dict,
        db_default={},
        help_text="What is given back as it was sent: credential, analysis, oauth and so on",
    )
    moved_at = models.DateTimeField(null=True, editable=False, help_text="When its endpoint last got another origin")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "-id"], name="external_owner"),
            GinIndex(words_of(_NAME), name="external_words"),
            models.Index(end_of("fid"), name="external_id_end"),
        ]


class Stream(FidModel):
    """A named collection of documents, which one crawler fills."""

    documents = models.BigIntegerField(default=0, help_text="How many readers see")
    revision = models.BigIntegerField(default=0, help_text="Each change of its documents raises it")
    retention_days = models.PositiveIntegerField(null=True, help_text="How long documents are kept; null: for ever")
    retention_documents = models.PositiveBigIntegerField(null=True, help_text="How many are kept; null: all")
    checked_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was last asked whether some must go"
    )
    forgotten_row = models.BigIntegerField(
        default=0, db_default=0, help_text="The last of its tombstones that was pruned; cursors from before are too old"
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "-id"], name="stream_owner"),
            GinIndex(words_of(_NAME), name="stream_words"),
            models.Index(end_of("fid"), name="stream_id_end"),
        ]


class StreamDay(models.Model):
    """What uploads did to a stream on one day, in UTC."""

    stream = models.ForeignKey(Stream, models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    inserted = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["stream", "day"], name="stream_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.inserted} inserted, {self.updated} updated"


class Crawler(FidModel):
    """An external with values for its parameters, which fills one stream."""

    external = models.ForeignKey(External, models.PROTECT, related_name="crawlers")
    stream = models.ForeignKey(Stream, models.CASCADE, related_name="crawlers")
    params = models.JSONField(default=dict, help_text="Without the secret ones")
    secrets: "models.Field[Any, Any]" = EncryptedJSONField(default=dict, help_text="{params, credential}")
    periodic: "models.OneToOneField[Any, Any]" = models.OneToOneField(
        "django_celery_beat.PeriodicTask", models.SET_NULL, null=True, related_name="crawler"
    )
    webhook: "models.Field[Any, Any]" = EncryptedTextField(
        default="", db_default="", blank=True, help_text="The address that is told of the end of each of its tasks"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream"], name="crawler_one_a_stream", condition=Q(removed_at__isnull=True)
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-id"], name="crawler_owner"),
            GinIndex(words_of(_NAME), name="crawler_words"),
            models.Index(end_of("fid"), name="crawler_id_end"),
        ]


class CrawlerState(models.Model):
    """What a crawler keeps for itself from task to task, such as where it stopped."""

    crawler = models.OneToOneField(Crawler, models.CASCADE, primary_key=True, related_name="state")
    value: "models.Field[Any, Any]" = EncryptedJSONField(null=True)
    version = models.PositiveIntegerField(default=1, help_text="Each change raises it")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"state of {self.crawler_id}"


class CrawlerTaskQuerySet(FidQuerySet["CrawlerTask"]):
    def for_upload(self) -> Self:
        """With the external, and without the secrets of both: to decrypt them takes longer than to find the rows."""
        return self.select_related("external").defer("secrets", "params", "external__headers", "external__schema")


class CrawlerTask(FidModel):
    """One crawl of a crawler: its parameters, its status, and its change set, the documents that it wrote.

    `rank` orders attempts by their start: of a document that several tasks wrote, readers see the version of the
    highest rank. The task's rows among the documents have ids from `first_row` to `last_row`.
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
    callback: "models.Field[Any, Any]" = SealedTextField(
        default="", blank=True, help_text="Address for the crawler's notices of status changes"
    )
    timeout = models.PositiveIntegerField(help_text="Seconds without a sign of life")
    started_at = models.DateTimeField(null=True, help_text="When the crawler took it")
    seen_at = models.DateTimeField(default=timezone.now, help_text="The last sign of life")
    ended_at = models.DateTimeField(null=True)
    received = models.BigIntegerField(default=0)
    inserted = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0, help_text="Received, after decompression")
    first_row = models.BigIntegerField(null=True)
    last_row = models.BigIntegerField(null=True)
    progress = models.JSONField(null=True, help_text="As the crawler tells it: {done, total}")
    stats = models.JSONField(default=dict, db_default={}, help_text="Numbers of the crawler's own, by their names")
    last_upload = models.JSONField(null=True, help_text="Digest and circumstances of the last one, if nothing repeated")

    objects: ClassVar[Any] = CrawlerTaskQuerySet.as_manager()

    class Meta:
        db_table = "crawlers_task"
        verbose_name = "task"
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
            models.Index(end_of("fid"), name="task_id_end"),
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
    """One entry of a task's history: a status, and who reported it."""

    class By(models.TextChoices):
        HUB = "hub"
        CRAWLER = "crawler"
        OWNER = "owner"

    task = models.ForeignKey(CrawlerTask, models.CASCADE, related_name="history", db_index=False)
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


class CrawlerCall(models.Model):
    """One request to a crawler: an attempt of a run, answered or not."""

    task = models.ForeignKey(CrawlerTask, models.CASCADE, related_name="calls", db_index=False)
    run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="+")
    attempt = models.PositiveIntegerField(help_text="Of the run")
    method = models.CharField(max_length=10)
    url = models.TextField()
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer, if there was one")
    error = models.TextField(default="")
    duration_ms = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "crawlers_call"
        verbose_name = "call"
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="call_task")]

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Document(models.Model):
    """One version of a document: as one task wrote it. `key` is its id as JSON, or a digest.

    No foreign keys check stream and task, for they would look up both for each of a million rows: every row is written
    and removed under a lock of its stream instead.
    """

    stream = models.ForeignKey(Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    key = models.TextField(db_collation="C")
    task = models.ForeignKey(CrawlerTask, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    rank = models.BigIntegerField(help_text="Of the attempt that wrote it")
    body = models.TextField(help_text="JSON, as it was sent")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["stream", "key", "task"], name="document_version")]
        # Rows of many streams lie between each other: what is read in the order of rows would look at all of them.
        indexes: ClassVar = [models.Index(fields=["stream", "id"], name="document_stream")]

    def __str__(self) -> str:
        return self.key


class Tombstone(models.Model):
    """What is left of a document version that showed, when it was removed: what shows now is told at its place.

    Its id is a number of the documents' own: together they are in the order of commits.
    """

    id = models.BigIntegerField(primary_key=True)
    stream = models.ForeignKey(Stream, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    key = models.TextField(db_collation="C")
    task = models.UUIDField(help_text="The fid of the task that had written it")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [models.Index(fields=["stream", "id"], name="tombstone_stream")]

    def __str__(self) -> str:
        return self.key


class RejectedLine(models.Model):
    """A line of an upload that is no document of the stream, kept to be looked at and sent again."""

    task = models.ForeignKey(CrawlerTask, models.CASCADE, related_name="quarantine", db_index=False)
    line = models.BigIntegerField(help_text="In its upload")
    reason = models.TextField()
    body = models.TextField(help_text="The line as it was sent")
    upload = models.TextField(default="", db_default="", help_text="Digest of the body that it came in")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "crawlers_rejected"
        indexes: ClassVar = [models.Index(fields=["task", "id"], name="rejected_task")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"
