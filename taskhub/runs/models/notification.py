"""Notifications: the rules of users, the messages that were sent, and what a rule still has to know."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from taskhub.db.querysets import OwnedQuerySet
from taskhub.runs.domain import HUB_EVENTS, NotificationEvent
from taskhub.runs.models.run import TAG_MAX, Run
from taskhub.security.encryption import EncryptedTextField

EMAIL_MAX = 254  # characters of an address (RFC 5321, section 4.5.3.1)
LATE_AFTER_DEFAULT = 10
EVENT_MAX = 40
SUBJECT_MAX = 500


class NotificationRule(models.Model):
    """Of which events a user is told, and where. An empty filter fits everything; without `all_owners` it is the
    owner's own runs that count."""

    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="notification_rules", db_index=False
    )
    name = models.CharField(max_length=200)
    events = ArrayField(models.CharField(max_length=EVENT_MAX))
    kind = models.CharField(max_length=40, default="", blank=True)
    run_name = models.CharField(max_length=200, default="", blank=True)
    tag = models.CharField(max_length=TAG_MAX, default="", blank=True)
    schedule = models.CharField(max_length=200, default="", blank=True)
    all_owners = models.BooleanField(default=False, help_text="Tells staff of everybody's runs")
    webhook: "models.Field[Any, Any]" = EncryptedTextField(default="", blank=True, help_text="The address that is told")
    emails = ArrayField(models.CharField(max_length=EMAIL_MAX), default=list, blank=True)
    quiet = models.PositiveIntegerField(default=0, help_text="Minutes after a message without another of its subject")
    slow_after = models.PositiveIntegerField(null=True, help_text="Seconds after which a run is slow")
    late_after = models.PositiveIntegerField(
        default=LATE_AFTER_DEFAULT, help_text="Minutes that the oldest of a queue waits until the queue is late"
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "name"], name="notification_rule_name"),
            models.CheckConstraint(
                name="notification_rule_target",
                condition=Q(webhook="", emails__len__gt=0) | (~Q(webhook="") & Q(emails=[])),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="notification_rule_of_all", condition=Q(all_owners=True)),
        ]

    def __str__(self) -> str:
        return self.name

    def may_tell(self, event: str) -> bool:
        """Whether its owner, who may have lost a right since, may still be told of an event."""
        needs_staff = self.all_owners or event in HUB_EVENTS
        return bool(self.owner.is_active and (self.owner.is_staff or not needs_staff))


class NotificationMessage(models.Model):
    """A message of a rule: the run that delivers it to one receiver is its record."""

    delivery: "models.OneToOneField[Any, Any]" = models.OneToOneField(
        Run, models.CASCADE, primary_key=True, related_name="notification"
    )
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    rule = models.ForeignKey(NotificationRule, models.SET_NULL, null=True, related_name="messages", db_index=False)
    event = models.CharField(max_length=EVENT_MAX)
    by_email = models.BooleanField()
    held_back = models.PositiveIntegerField(default=0, help_text="Events before it that were not told by themselves")

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-delivery_id"]
        indexes: ClassVar = [
            models.Index(fields=["rule", "-delivery"], name="notification_of_rule"),
            models.Index(fields=["owner", "-delivery"], name="notification_emails", condition=Q(by_email=True)),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.delivery_id}"


class NotificationQuiet(models.Model):
    """The quiet time of a rule for a subject. What happens in it is counted, and told at its end."""

    rule = models.ForeignKey(NotificationRule, models.CASCADE, related_name="+", db_index=False)
    event = models.CharField(max_length=EVENT_MAX)
    subject = models.CharField(max_length=SUBJECT_MAX)
    until = models.DateTimeField()
    held_back = models.PositiveIntegerField(default=0)
    latest = models.JSONField(null=True, help_text="What was held back last")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rule", "event", "subject"], name="notification_quiet_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["until"], name="notification_quiet_until"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject}"


class NotificationMark(models.Model):
    """What a rule has seen, and what is not over: a failure before the first success, a slow run, a lost worker, a
    late queue. So each is told once."""

    rule = models.ForeignKey(NotificationRule, models.CASCADE, related_name="+", db_index=False)
    event = models.CharField(max_length=EVENT_MAX, choices=[(str(event), str(event)) for event in NotificationEvent])
    subject = models.CharField(max_length=SUBJECT_MAX)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rule", "event", "subject"], name="notification_mark_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject}"
