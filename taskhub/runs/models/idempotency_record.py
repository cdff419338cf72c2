"""Idempotency records: first answers, kept for the same call again."""

from typing import Any

from django.db import models
from django.utils import timezone

from taskhub.security.sealed_values import WhollySealedJSONField


class IdempotencyRecord(models.Model):
    """The first answer to a call that carried an Idempotency-Key."""

    scope = models.CharField(max_length=64, primary_key=True, help_text="SHA-256 of user, method, path and key")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the parsed fields and file digests")
    status = models.PositiveSmallIntegerField()
    body: "models.Field[Any, Any]" = WhollySealedJSONField()
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        db_table = "runs_keptanswer"

    def __str__(self) -> str:
        return self.scope
