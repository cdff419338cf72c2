"""Signing secrets, and attempts to deliver a webhook. The deliveries are runs."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from taskhub.runs.models import Run
from taskhub.security.encryption import EncryptedJSONField


class WebhookSecret(models.Model):
    """A user's signing secret. One is current; one that was replaced signs beside it until it expires."""

    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="webhook_secrets"
    )
    value = EncryptedJSONField()
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, help_text="None for the current one")

    class Meta:
        db_table = "webhooks_secret"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner"], name="secret_current", condition=Q(expires_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"secret {self.pk}"


class DeliveryAttempt(models.Model):
    """One call to a receiver. `answer` is the beginning of what it said, secrets masked."""

    delivery = models.ForeignKey(Run, models.CASCADE, related_name="attempts_made")
    number = models.PositiveSmallIntegerField()
    at = models.DateTimeField(default=timezone.now)
    status = models.PositiveSmallIntegerField(null=True, help_text="None where there was no answer")
    duration_ms = models.PositiveIntegerField()
    error = models.TextField(default="", blank=True)
    answer = models.TextField(default="", blank=True)
    headers = models.JSONField(null=True, help_text="Those that were sent and received, secrets masked")

    class Meta:
        db_table = "webhooks_attempt"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"
