"""Querysets of rows that belong to users."""

from typing import Any, Self, TypeVar

from django.db import models

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[_Row]):
    """Rows with an owner, whose id is in `owner_field`."""

    owner_field = "owner_id"

    def visible_to(self, user: Any) -> Self:
        """The user's own rows; all rows for staff whose role lets their call reach them."""
        return self if getattr(user, "reaches_all", False) else self.filter(**{self.owner_field: user.pk})


class RemovableQuerySet(OwnedQuerySet[_Row]):
    """Rows that are first marked by `removed_at`, and deleted in the background."""

    def visible_to(self, user: Any) -> Self:
        """Those rows, but none that is marked as removed."""
        return super().visible_to(user).filter(removed_at__isnull=True)
