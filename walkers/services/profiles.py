"""What a user's calls mean when they name no graph and no sentinel."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from walkers.models import Graph, Profile
from walkers.services.graphs import create_graphs

BATCH = 1000


class Standing(NamedTuple):
    graph_id: UUID
    sentinel: str  # empty: global


def standing(*, user: Any) -> Standing:
    """One query, written out because every call makes it; a user who has no graph yet gets one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT active_graph_id, active_sentinel FROM walkers_profile WHERE user_id = %s", [user.pk])
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return Standing(active_graphs(user_ids=[user.pk])[user.pk], row[1] if row else "")
    return Standing(*row)


def active_graphs(*, user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The id of each user's active graph. Who has none gets the newest of its own, or a new one."""
    found: dict[UUID, UUID] = {}
    for ids in _batches(sorted(set(user_ids))):
        active = Profile.objects.filter(pk__in=ids, active_graph__isnull=False)
        found |= dict(active.values_list("pk", "active_graph_id"))
        if lacking := [user_id for user_id in ids if user_id not in found]:
            found |= _give(lacking)
    return found


def _batches(ids: list[UUID]) -> Iterator[list[UUID]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


@transaction.atomic
def _give(user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Two first calls at once wait for each other at the profile's row."""
    Profile.objects.bulk_create([Profile(user_id=user_id) for user_id in user_ids], ignore_conflicts=True)
    profiles = list(Profile.objects.select_for_update().filter(pk__in=user_ids).order_by("pk"))
    lacking = [profile for profile in profiles if profile.active_graph_id is None]
    newest = _newest([profile.pk for profile in lacking])
    newest |= create_graphs(owner_ids=[profile.pk for profile in lacking if profile.pk not in newest])
    for profile in lacking:
        profile.active_graph_id = newest[profile.pk]
    Profile.objects.bulk_update(lacking, ["active_graph"])
    return {profile.pk: profile.active_graph_id for profile in profiles if profile.active_graph_id}


def _newest(user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Locked, so that none of them is deleted before it has become active."""
    ids = Graph.objects.filter(owner_id__in=user_ids).order_by("owner_id", "-id").distinct("owner_id").values("pk")
    graphs = Graph.objects.select_for_update(no_key=True).filter(pk__in=list(ids.values_list("pk", flat=True)))
    return dict(graphs.values_list("owner_id", "pk"))


@transaction.atomic
def activate_graph(*, user: Any, graph: Graph) -> None:
    """Raises `Graph.DoesNotExist` when it was deleted meanwhile."""
    Graph.objects.select_for_update(no_key=True).get(pk=graph.pk)
    Profile.objects.update_or_create(pk=user.pk, defaults={"active_graph": graph})


def activate_sentinel(*, user: Any, name: str) -> None:
    """`name` of a sentinel, or empty for global."""
    Profile.objects.update_or_create(pk=user.pk, defaults={"active_sentinel": name})
