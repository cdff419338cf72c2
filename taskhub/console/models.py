"""What the console keeps for people: their filters of runs."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

NAME_MAX = 60
QUERY_MAX = 4000


class SavedFilter(models.Model):
    """A filter of the list of runs, under a name of its owner's for it. `query` is that of the list's address."""

    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    name = models.CharField(max_length=NAME_MAX)
    query = models.CharField(max_length=QUERY_MAX)

    class Meta:
        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "name"], name="saved_filter_name")]

    def __str__(self) -> str:
        return self.name
