"""The names that users give to things."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from taskhub.errors import NotFound, invalid
from walkers.domain.ids import fault_of_alias
from walkers.models import Alias


def register_alias(*, owner: Any, name: str, target: UUID) -> None:
    """Gives `target` a name; one that is registered already names the new target."""
    if fault := fault_of_alias(name):
        raise invalid("/name", fault, f"{name[:50]!r} cannot be an alias: {fault}")
    alias = Alias(owner_id=owner.pk, name=name, target=target)
    Alias.objects.bulk_create([alias], update_conflicts=True, unique_fields=["owner", "name"], update_fields=["target"])


def delete_alias(*, owner: Any, name: str) -> None:
    if fault_of_alias(name) or not Alias.objects.filter(owner_id=owner.pk, name=name).delete()[0]:
        raise NotFound(f"You have no alias {name[:50]!r}.")


def target_of(*, owner: Any, name: str) -> UUID | None:
    """The id that the alias names, or None. Whether it still exists, and the owner may see it, is not checked."""
    if fault_of_alias(name):
        return None
    return Alias.objects.filter(owner_id=owner.pk, name=name).values_list("target", flat=True).first()


def targets_of(*, owner: Any, names: Collection[str]) -> dict[str, UUID]:
    """What several aliases name, by alias, in one query; names that are no aliases are left out."""
    aliases = [name for name in names if not fault_of_alias(name)]
    return dict(Alias.objects.filter(owner_id=owner.pk, name__in=aliases).values_list("name", "target"))
