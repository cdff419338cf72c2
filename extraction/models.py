"""Extraction tasks, their processes, the pages of these, and credits (dataflow_tasks.md; contract, 6)."""

import secrets
import time
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from extraction.domain.ksuids import LENGTH, RANDOM_BYTES, ksuid
from extraction.domain.process_status import PageState, ProcessStatus
from extraction.domain.single_page_payload import PRODUCT
from taskhub.db.name_search import end_of, words_of
from taskhub.db.querysets import RemovableQuerySet
from taskhub.runs.models import Run
from taskhub.security.encryption import EncryptedJSONField, EncryptedTextField
from taskhub.security.masking import mask
from taskhub.security.sealed_values import SealedTextField

ID_LENGTH = LENGTH


def new_id() -> str:
    """A KSUID: 27 letters and digits that sort by time, to the second."""
    return ksuid(int(time.time()), secrets.token_bytes(RANDOM_BYTES))


class OwnedExtraction(models.Model):
    """The base of tasks and processes: an owner, a payload, and `seq`, by which other rows refer to them."""

    seq = models.BigAutoField(primary_key=True)
    id = models.CharField(max_length=ID_LENGTH, unique=True, default=new_id, editable=False)
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    payload: "models.Field[Any, Any]" = EncryptedJSONField(help_text="What to take from which pages")
    removed_at = models.DateTimeField(null=True, editable=False, help_text="Deleted: it is going")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = RemovableQuerySet[Any].as_manager()

    class Meta:
        abstract = True


class ExtractionTask(OwnedExtraction):
    """An extraction as its owner stored it, to be run at any time."""

    name = models.CharField(max_length=200, default="", blank=True)
    description = models.TextField(default="", blank=True)
    webhook: "models.Field[Any, Any]" = EncryptedTextField(
        default="", blank=True, help_text="Receives a request when a process ends"
    )
    delivery: "models.Field[Any, Any]" = EncryptedJSONField(default=list, help_text="Where results are sent, too")

    class Meta:
        db_table = "extraction_task"
        permissions: ClassVar = [("ignore_robots", "Can ignore robots.txt")]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-seq"], name="extraction_task_owner"),
            GinIndex(words_of("name"), name="extraction_task_words"),
            models.Index(end_of("id"), name="extraction_task_id_end"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}".strip()


class Process(OwnedExtraction):
    """One run of a task, with the payload as it was.

    `open` counts the pages that have not ended. `unwritten` says that its result is to be written to a file.
    """

    task = models.ForeignKey(
        ExtractionTask,
        models.CASCADE,
        null=True,
        related_name="processes",
        db_index=False,
        help_text="None of a single process",
    )
    run = models.ForeignKey(Run, models.SET_NULL, null=True, related_name="+")
    status = models.CharField(max_length=10, default=ProcessStatus.RUNNING, choices=[(s, s) for s in ProcessStatus])
    main = models.BinaryField(max_length=16, null=True, help_text="The chain of its main list, once that is begun")
    unwritten = models.BooleanField(default=False, help_text="Its result is to be written")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    served_at = models.DateTimeField(null=True, help_text="When a worker last took a slice of it")
    rest_until = models.DateTimeField(null=True, help_text="Its servers, or the storage, want to be left alone so long")
    failed_turns = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Turns that failed one after the other"
    )
    requests = models.BigIntegerField(default=0)
    responses = models.BigIntegerField(default=0)
    pages = models.BigIntegerField(default=0, help_text="In the page table")
    open = models.BigIntegerField(default=0, help_text="Pages that have not ended")
    failed = models.BigIntegerField(default=0, help_text="Pages that failed")
    records = models.BigIntegerField(default=0, help_text="Found in pages, those of details included")
    bytes = models.BigIntegerField(default=0, help_text="Of the answers")
    cost = models.BigIntegerField(default=0, help_text="Credits")
    max_credits = models.BigIntegerField(null=True, help_text="It may cost so much")
    missing = models.BigIntegerField(default=0, help_text="Credits that it waits for")
    price = models.BigIntegerField(default=1, help_text="Credits for one of its pages, at most")
    listed = models.BigIntegerField(default=0, db_default=0, help_text="Records of the result itself, found in pages")
    compares = models.BooleanField(default=False, db_default=False, help_text="With the process before")
    compared_with = models.BigIntegerField(null=True, help_text="The process before it; 0 where there was none")
    changes = models.JSONField(default=dict, db_default={}, help_text="How many of its records are new, and so on")
    renders = models.JSONField(default=dict, help_text="Of which rules pages show records only when they are rendered")
    findings = models.JSONField(default=dict, db_default={}, help_text="What its rules found so far, by their numbers")
    rendered = models.BooleanField(default=False, db_default=False, help_text="A browser renders pages of it")
    capped = models.BooleanField(default=False, help_text="It waits for a higher cap, not for credits")
    main_failed = models.BooleanField(default=False, help_text="A page of its main list failed")
    error = models.TextField(default="")
    results = models.CharField(max_length=200, default="", help_text="The name of its file")
    size = models.BigIntegerField(default=0, help_text="Of its file, in bytes")
    format = models.CharField(max_length=10)
    gzip = models.BooleanField(default=False)
    delivery: "models.Field[Any, Any]" = EncryptedJSONField(default=list, help_text="Where its result is sent, too")
    cookies: "models.Field[Any, Any]" = EncryptedJSONField(default=list, help_text="What its servers asked to keep")

    class Meta:
        verbose_name_plural = "processes"
        indexes: ClassVar = [
            models.Index(fields=["owner", "-seq"], name="process_owner"),
            models.Index(fields=["task", "-seq"], name="process_task"),
            models.Index(end_of("id"), name="process_id_end"),
            models.Index(fields=["run"], name="process_run", condition=Q(run__isnull=False)),
            # What workers look through for something to do, and what waits for credits.
            models.Index(fields=["served_at"], name="process_active", condition=Q(status=ProcessStatus.RUNNING)),
            models.Index(fields=["served_at"], name="process_unwritten", condition=Q(unwritten=True)),
            models.Index(fields=["owner"], name="process_pending", condition=Q(status=ProcessStatus.PENDING)),
            models.Index(fields=["results"], name="process_results", condition=~Q(results="")),
            models.Index(fields=["finished_at"], name="process_finished", condition=~Q(results="")),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    @property
    def ended(self) -> bool:
        return self.status not in {ProcessStatus.RUNNING, ProcessStatus.PENDING}

    @property
    def is_single_page(self) -> bool:
        """Whether it makes a file of one page. If not, it makes records, with or without a task."""
        return PRODUCT in self.payload

    @property
    def cap_reached(self) -> bool:
        """Whether one more page could cost more than the process may."""
        return self.max_credits is not None and self.cost + self.price > self.max_credits


class Slice(models.Model):
    """A worker's lease on pages of a process, with the credits that it reserved for them."""

    process = models.ForeignKey(Process, models.CASCADE, related_name="slices")
    worker = models.CharField(max_length=255)
    lease_until = models.DateTimeField()
    reserved = models.BigIntegerField(default=0)
    spent = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="slice_within_reserve", condition=Q(spent__lte=F("reserved")))
        ]

    def __str__(self) -> str:
        return f"{self.worker} at {self.process_id}"


class ExtractionPage(models.Model):
    """One page of a process, by the `key` of its rule, its list and its address.

    `chain` is the key of the first page of its list, and `ordinal` its place there, from 0. `records` are those that
    it showed: JSON, packed by zlib. Rows are written and removed under a lock of their slice or process.
    """

    process = models.ForeignKey(Process, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    key = models.BinaryField(max_length=16)
    chain = models.BinaryField(max_length=16)
    ordinal = models.IntegerField(default=0)
    before = models.BinaryField(max_length=16, default=b"", help_text="Digest of what the page before it showed")
    rule = models.SmallIntegerField(default=0)
    hops = models.SmallIntegerField(default=0, db_default=0, help_text="Links that were followed to it")
    url: "models.Field[Any, Any]" = SealedTextField()
    state = models.CharField(max_length=10, default=PageState.READY, choices=[(s, s) for s in PageState])
    slice = models.BigIntegerField(null=True, help_text="Who has claimed it")
    attempt = models.PositiveSmallIntegerField(default=0)
    lost = models.PositiveSmallIntegerField(default=0, help_text="Workers that were lost while they had it")
    not_before = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the last answer")
    bytes = models.BigIntegerField(default=0)
    duration_ms = models.IntegerField(default=0)
    cost = models.IntegerField(default=0)
    found = models.IntegerField(default=0, help_text="Records")
    left_out = models.IntegerField(default=0, db_default=0, help_text="Records without a required value")
    error = models.TextField(default="")
    records = models.BinaryField(null=True)
    fetched_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "extraction_page"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["process", "key"], name="page_once"),
            models.UniqueConstraint(fields=["process", "chain", "ordinal"], name="page_in_list"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["process", "id"], name="page_process"),
            models.Index(fields=["process", "id"], name="page_ready", condition=Q(state=PageState.READY)),
            models.Index(fields=["slice"], name="page_claimed", condition=Q(state=PageState.CLAIMED)),
            models.Index(fields=["process", "state", "id"], name="page_state", condition=~Q(state=PageState.DONE)),
            models.Index(fields=["process", "fetched_at", "id"], name="page_fetched"),
        ]

    def __str__(self) -> str:
        return mask(self.url)


class ProcessNote(models.Model):
    """A line of a process's log that is about no page; with a `code` a warning, about a `place` in the payload."""

    process = models.ForeignKey(Process, models.CASCADE, related_name="notes", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    text = models.TextField()
    code = models.CharField(max_length=40, default="", db_default="", help_text="Of a warning")
    place = models.CharField(max_length=500, default="", db_default="", help_text="JSON pointer of a warning")

    class Meta:
        db_table = "extraction_note"
        indexes: ClassVar = [models.Index(fields=["process", "id"], name="note_process")]

    def __str__(self) -> str:
        return self.text


class CreditAccount(models.Model):
    """A user's credits and limits. Limits that are empty are those of the settings."""

    owner: "models.OneToOneField[Any, Any]" = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="extraction_account"
    )
    balance = models.BigIntegerField(default=0, help_text="Credits that can be reserved")
    max_pages = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of one process")
    max_depth = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of details in each other")
    max_seconds = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of one process")
    max_page_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of one page, unpacked")

    class Meta:
        db_table = "extraction_account"
        constraints: ClassVar = [models.CheckConstraint(name="account_not_below_zero", condition=Q(balance__gte=0))]

    def __str__(self) -> str:
        return f"{self.owner}: {self.balance}"


class CreditEntry(models.Model):
    """One line of the credit ledger, which is never changed: `amount` was added, `balance` is what there was then."""

    class Kind(models.TextChoices):
        GRANT = "grant", "granted at the start"
        TOP_UP = "top_up", "topped up"
        RESERVE = "reserve", "reserved for a slice"
        SETTLE = "settle", "refunded after a slice"

    account = models.ForeignKey(CreditAccount, models.CASCADE, related_name="entries", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount = models.BigIntegerField()
    balance = models.BigIntegerField(help_text="After it")
    process = models.CharField(max_length=ID_LENGTH, default="", blank=True)
    note = models.TextField(default="", blank=True)
    by: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "extraction_entry"
        verbose_name_plural = "credit ledger"
        indexes: ClassVar = [models.Index(fields=["account", "-id"], name="entry_account")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount:+}"
