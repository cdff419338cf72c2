"""Runs: one row for everything that runs in the background."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone
from uuid_utils.compat import uuid7

from taskhub.db.querysets import OwnedQuerySet
from taskhub.error_texts import storable
from taskhub.errors import Unavailable
from taskhub.runs.domain import ENDED, PRIORITY_DEFAULT, RUNNING, WAITING, Concurrency, ConcurrencyPolicy, State
from taskhub.security.encryption import EncryptedTextField
from taskhub.security.masking import hide, mask, mask_all, secrets_of
from taskhub.security.sealed_values import SealedJSONField

KIND_MAX, NAME_MAX, STATE_MAX = 40, 200, 10
TAG_MAX = 50
CONCURRENCY_KEY_MAX = 200


class RunQuerySet(OwnedQuerySet["Run"]):
    def brief(self) -> "RunQuerySet":
        """The runs without their columns that may be large."""
        return self.defer("arguments", "result")


class Run(models.Model):
    """One execution of anything in the background; its id is also the Celery task id and sorts by time."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=KIND_MAX)
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="runs", db_index=False
    )
    name = models.CharField(max_length=NAME_MAX)
    arguments: "models.Field[Any, Any]" = SealedJSONField(default=dict)
    state = models.CharField(max_length=STATE_MAX, default=State.PENDING, choices=[(state, state) for state in State])
    result: "models.Field[Any, Any]" = SealedJSONField(null=True)
    error = models.JSONField(null=True)
    progress = models.JSONField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=3)
    time_limit = models.FloatField(default=3600, help_text="Seconds of one attempt")
    ready = models.BooleanField(default=True, help_text="May be claimed")
    not_before = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=255, default="")
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="children", db_index=False)
    retry_of = models.ForeignKey("self", models.SET_NULL, null=True, related_name="retries", db_index=False)
    schedule = models.CharField(max_length=200, default="", db_default="", help_text="What fired it, by name; or empty")
    schedule_id = models.BigIntegerField(null=True, help_text="The schedule that fired it, also when that is renamed")
    due_at = models.DateTimeField(null=True, help_text="When the schedule was due; None when it was started otherwise")
    webhook: "models.Field[Any, Any]" = EncryptedTextField(
        default="", db_default="", blank=True, help_text="The address that is told of the end"
    )
    alone_as = models.CharField(
        max_length=64, default="", db_default="", blank=True, help_text="Of runs with the same one goes on at a time"
    )
    tags = ArrayField(models.CharField(max_length=TAG_MAX), default=list, db_default=[], blank=True)
    metadata: "models.Field[Any, Any]" = SealedJSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="What its owner says of it: texts, numbers, yes or no, by name",
    )
    priority = models.SmallIntegerField(
        default=PRIORITY_DEFAULT,
        db_default=PRIORITY_DEFAULT,
        help_text="1 to 9; of an owner's runs the higher is first",
    )
    expires_at = models.DateTimeField(null=True, help_text="By when it must have begun")
    concurrency_key = models.CharField(max_length=CONCURRENCY_KEY_MAX, default="", db_default="", blank=True)
    concurrency_limit = models.IntegerField(
        default=1, db_default=1, help_text="Of the owner's runs with the same key so many go on at a time"
    )
    concurrency_policy = models.CharField(
        max_length=10,
        default=str(ConcurrencyPolicy.WAIT),
        db_default=str(ConcurrencyPolicy.WAIT),
        choices=[(str(policy), str(policy)) for policy in ConcurrencyPolicy],
    )
    blocked = models.BooleanField(
        default=False, db_default=False, help_text="Waits until fewer runs with its concurrency key go on"
    )
    failures = models.SmallIntegerField(default=0, db_default=0, help_text="Attempts that failed")
    losses = models.SmallIntegerField(default=0, db_default=0, help_text="Attempts whose worker was lost")
    request_id = models.CharField(
        max_length=128, default="", db_default="", blank=True, help_text="Of the call that it was accepted for"
    )
    traceparent = models.CharField(
        max_length=55, default="", db_default="", blank=True, help_text="Of the span that it was accepted in"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    revision = models.BigIntegerField(default=1)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(name="run_state_known", condition=Q(state__in=list(State))),
            models.CheckConstraint(name="run_ready_waits", condition=Q(ready=False) | Q(state__in=sorted(WAITING))),
            models.CheckConstraint(
                name="run_lease_runs",
                condition=Q(lease_until__isnull=False, state__in=sorted(RUNNING))
                | (Q(lease_until__isnull=True) & ~Q(state__in=sorted(RUNNING))),
            ),
            models.CheckConstraint(
                name="run_ended_at",
                condition=Q(finished_at__isnull=False, state__in=sorted(ENDED))
                | (Q(finished_at__isnull=True) & ~Q(state__in=sorted(ENDED))),
            ),
            # However many beats fire a schedule at once: its due time is one run.
            models.UniqueConstraint(
                fields=["schedule_id", "due_at"], name="run_fires_once", condition=Q(due_at__isnull=False)
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-id"], name="run_owner"),
            models.Index(fields=["kind", "-id"], name="run_kind"),
            models.Index(fields=["name", "-id"], name="run_name"),
            models.Index("kind", "owner", F("priority").desc(), "id", name="run_next", condition=Q(ready=True)),
            models.Index(fields=["owner", "lease_until"], name="run_leased", condition=Q(lease_until__isnull=False)),
            models.Index(
                fields=["not_before"], name="run_delayed", condition=Q(ready=False, state__in=sorted(WAITING))
            ),
            models.Index(
                "owner",
                "concurrency_key",
                F("priority").desc(),
                "id",
                name="run_blocked",
                condition=Q(blocked=True, finished_at__isnull=True),
            ),
            models.Index(
                fields=["owner", "concurrency_key"],
                name="run_admitted",
                condition=~Q(concurrency_key="") & (Q(ready=True) | Q(lease_until__isnull=False)),
            ),
            models.Index(
                fields=["expires_at"], name="run_expiring", condition=Q(state=State.PENDING, expires_at__isnull=False)
            ),
            models.Index(fields=["-id"], name="run_tagged", condition=~Q(tags=[])),
            models.Index(
                KeyTextTransform("type", "error"), F("id").desc(), name="run_error", condition=Q(error__isnull=False)
            ),
            models.Index(fields=["finished_at", "owner"], name="run_finished", condition=Q(finished_at__isnull=False)),
            models.Index(fields=["-finished_at", "owner"], name="run_failed", condition=Q(state=State.FAILURE)),
            GinIndex(fields=["tags"], name="run_tags", condition=~Q(tags=[])),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="run_metadata", condition=~Q(metadata={})),
            # The rare states; a list of successes finds them by the indexes above.
            models.Index(fields=["state", "-id"], name="run_state", condition=~Q(state=State.SUCCESS)),
            models.Index(fields=["parent"], name="run_parent", condition=Q(parent__isnull=False)),
            models.Index(fields=["retry_of"], name="run_retry_of", condition=Q(retry_of__isnull=False)),
            models.Index(fields=["schedule", "-id"], name="run_schedule", condition=~Q(schedule="")),
            models.Index(fields=["schedule_id", "-id"], name="run_of_schedule", condition=Q(schedule_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.id}"

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def concurrency(self) -> Concurrency | None:
        if not self.concurrency_key:
            return None
        return Concurrency(self.concurrency_key, self.concurrency_limit, ConcurrencyPolicy(self.concurrency_policy))

    @property
    def secrets(self) -> frozenset[str]:
        """The secret texts in its arguments; none where these can no longer be opened."""
        try:
            return secrets_of(self.arguments)
        except Unavailable:
            return frozenset()

    def without_secrets(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """An error or a progress of this run as it is kept: its texts can be stored, and its message does not quote the
        secrets of its arguments."""
        kept = {name: storable(value) if isinstance(value, str) else value for name, value in told.items()}
        message = kept.get("message")
        return {**kept, "message": mask(hide(str(message), self.secrets))} if message else kept

    def result_for(self, viewer: Any) -> Any:
        """Its result, for its owner as it is; for staff without secrets."""
        return self.result if viewer.pk == self.owner_id else mask_all(self.result, self.secrets)

    def is_visible_to(self, user: Any) -> bool:
        """Whether a user may see it, as `RunQuerySet.visible_to` says."""
        return bool(getattr(user, "reaches_all", False)) or self.owner_id == user.pk
