"""Entries of what was done for users."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class UsageEntry(models.Model):
    """What one transaction did for a user; or, rolled up, what all transactions of a minute or an hour did.

    Rows are added and never changed, so that nobody waits for somebody else who counts for the same user.
    """

    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    at = models.DateTimeField(db_default=Now())
    span = models.PositiveIntegerField(default=0, help_text="Seconds that it stands for; 0 for one transaction")
    pages = models.BigIntegerField(default=0)
    failed_pages = models.BigIntegerField(default=0)
    inserted = models.BigIntegerField(default=0, help_text="Documents")
    updated = models.BigIntegerField(default=0, help_text="Documents")
    credits = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "usage entries"
        indexes: ClassVar = [
            models.Index(fields=["owner", "at"], name="usage_owner"),
            models.Index(fields=["span", "at"], name="usage_span"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.span} s"


AMOUNTS = ("pages", "failed_pages", "inserted", "updated", "credits")
