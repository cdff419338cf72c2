"""The table of the audit log, which is only added to. It keeps names, not references: what is deleted stays in it."""

from typing import ClassVar

from django.db import models
from django.utils import timezone


class Door(models.TextChoices):
    """By which way a change came."""

    ADMIN = "admin", "admin"
    API = "api", "API"
    CONSOLE = "console", "console"
    COMMAND = "command", "command line"
    RUN = "run", "a run"


class AuditEntry(models.Model):
    """One change of one object. `before` and `after` have what differs, secrets masked; None: nothing."""

    at = models.DateTimeField(default=timezone.now)
    actor_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=254, blank=True)  # the address that the user had then; empty for nobody
    credential = models.CharField(max_length=40, blank=True)  # "session", "token" or the first part of an API key
    door = models.CharField(max_length=10, choices=Door.choices)
    action = models.CharField(max_length=40)
    object_kind = models.CharField("kind", max_length=40)
    object_id = models.CharField(max_length=100)
    object_name = models.CharField("name", max_length=300, blank=True)
    owner_id = models.UUIDField(null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    run_id = models.UUIDField(null=True)  # the run that made the change
    address = models.CharField(max_length=45, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["actor_id", "id"], name="audit_actor_id"),
            models.Index(fields=["actor", "id"], name="audit_actor"),
            models.Index(fields=["action", "id"], name="audit_action"),
            models.Index(fields=["object_kind", "id"], name="audit_kind"),
            models.Index(fields=["object_id", "id"], name="audit_object"),
            models.Index(fields=["object_name", "id"], name="audit_object_name"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_kind} {self.object_name or self.object_id}"
