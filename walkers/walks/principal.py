"""Who makes a call, and what its references mean: ids, aliases, `active:graph`, `active:sentinel`, or none at all."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property

from taskhub.db.prepared_statements import PreparedStatement
from taskhub.errors import NotFound
from taskhub.runs.models import Run
from walkers.authoring import sentinels
from walkers.authoring.sentinels import Sentinel
from walkers.domain.ids import ACTIVE_GRAPH, ACTIVE_SENTINEL, GLOBAL, as_id
from walkers.models import Graph, Node, Profile
from walkers.services.aliases import target_of, targets_of
from walkers.services.graphs import create_graphs
from walkers.services.run_files import Files

BATCH = 1000
_SELECT_ACTIVE = PreparedStatement(
    "SELECT active_graph_id, active_sentinel FROM walkers_profile WHERE user_id = %(user)s", user="uuid"
)


class ActiveContext(NamedTuple):
    """The graph and the sentinel that a user's calls mean when they name none."""

    graph_id: UUID
    sentinel: str  # empty: global


@dataclass
class Principal:
    """The user of one call, or nobody; the files and the HTTP request that came with it, or the run that makes it."""

    user: Any = None
    files: Files = field(default_factory=MultiValueDict)
    request: HttpRequest | None = None
    run: Run | None = None

    @cached_property
    def active_context(self) -> ActiveContext:
        return active_context(user=self.user)

    def id_of(self, reference: str) -> UUID:
        """The id for `urn:uuid:...`, a bare UUID, `active:graph`, `active:sentinel` or an alias of the user's.

        Raises `NotFound`. Whether the object exists, and whether the user may see it, is not checked.
        """
        if reference == ACTIVE_GRAPH:
            return self.active_context.graph_id
        if reference == ACTIVE_SENTINEL:
            return self.sentinel(None).id
        id = as_id(reference) or target_of(owner=self.user, name=reference)
        if id is None:
            raise NotFound(f"{reference[:100]!r} is neither an id nor an alias of yours.")
        return id

    def sentinel(self, reference: str | None) -> Sentinel:
        """A sentinel by id, alias, name, or `global`; None is the active one. Raises `NotFound`."""
        if reference is None or reference == ACTIVE_SENTINEL:
            active = self.active_context.sentinel
            sentinel = sentinels.find_sentinel(active or GLOBAL)
            if sentinel is None:
                raise NotFound(f"Your active sentinel {active!r} is not installed any more; set another.")
            return sentinel
        sentinel = sentinels.find_sentinel(reference) or sentinels.find_sentinel_by_id(self.id_of(reference))
        if sentinel is None:
            raise NotFound(f"There is no sentinel {reference[:100]!r}.")
        return sentinel

    def node_id(self, reference: str | None) -> UUID:
        """The node where a walk starts. Raises `NotFound`; the active graph's root needs no query."""
        if reference is None or reference == ACTIVE_GRAPH:
            return self.active_context.graph_id
        return self.node(reference).pk

    def node(self, reference: str) -> Node:
        node: Node | None = Node.objects.visible_to(self.user).filter(pk=self.id_of(reference)).first()
        if node is None:
            raise NotFound(f"There is no node {reference[:100]!r}, or it is not yours.")
        return node

    def node_ids(self, references: Collection[str]) -> dict[str, UUID]:
        """The nodes where walks may start, by reference, in two queries at most; what names none is left out."""
        others = set(references) - {ACTIVE_GRAPH}
        meant = {reference: id for reference in others if (id := as_id(reference))}
        if aliases := others - meant.keys():
            meant |= targets_of(owner=self.user, names=aliases)
        visible = Node.objects.visible_to(self.user).filter(pk__in=meant.values())
        existing = set(visible.values_list("pk", flat=True)) if meant else set()
        found = {reference: id for reference, id in meant.items() if id in existing}
        return found | ({ACTIVE_GRAPH: self.active_context.graph_id} if ACTIVE_GRAPH in references else {})

    def graph(self, reference: str | None) -> Graph:
        """None is the active graph. Raises `NotFound`."""
        reference = ACTIVE_GRAPH if reference is None else reference
        graph = Graph.objects.visible_to(self.user).filter(pk=self.id_of(reference)).first()
        if graph is None:
            raise NotFound(f"There is no graph {reference[:100]!r}, or it is not yours.")
        return graph


def active_context(*, user: Any) -> ActiveContext:
    """One query, written out because every call makes it; a user who has no graph yet gets one."""
    with connection.cursor() as cursor:
        _SELECT_ACTIVE.execute(cursor, {"user": user.pk})
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return ActiveContext(active_graphs(user_ids=[user.pk])[user.pk], row[1] if row else "")
    return ActiveContext(*row)


def active_graphs(*, user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The id of each user's active graph. Who has none gets the newest of their own graphs, or a new one."""
    graph_ids: dict[UUID, UUID] = {}
    ordered = sorted(set(user_ids))
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        active = Profile.objects.filter(pk__in=batch, active_graph__isnull=False)
        graph_ids |= dict(active.values_list("pk", "active_graph_id"))
        if lacking := [user_id for user_id in batch if user_id not in graph_ids]:
            graph_ids |= _choose_active_graphs(lacking)
    return graph_ids


@transaction.atomic
def _choose_active_graphs(user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Two first calls at once wait for each other at the profile's row."""
    Profile.objects.bulk_create([Profile(user_id=user_id) for user_id in user_ids], ignore_conflicts=True)
    profiles = list(Profile.objects.select_for_update().filter(pk__in=user_ids).order_by("pk"))
    lacking = [profile for profile in profiles if profile.active_graph_id is None]
    graph_ids = _newest_graphs([profile.pk for profile in lacking])
    graph_ids |= create_graphs(owner_ids=[profile.pk for profile in lacking if profile.pk not in graph_ids])
    for profile in lacking:
        profile.active_graph_id = graph_ids[profile.pk]
    Profile.objects.bulk_update(lacking, ["active_graph"])
    return {profile.pk: profile.active_graph_id for profile in profiles if profile.active_graph_id}


def _newest_graphs(user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Locked, so that none of them is deleted before it has become active."""
    newest = Graph.objects.filter(owner_id__in=user_ids).order_by("owner_id", "-id").distinct("owner_id")
    ids = list(newest.values_list("pk", flat=True))
    locked = Graph.objects.select_for_update(no_key=True).filter(pk__in=ids)
    return dict(locked.values_list("owner_id", "pk"))


@transaction.atomic
def activate_graph(*, user: Any, graph: Graph) -> None:
    """Raises `Graph.DoesNotExist` when it was deleted meanwhile."""
    Graph.objects.select_for_update(no_key=True).get(pk=graph.pk)
    Profile.objects.update_or_create(pk=user.pk, defaults={"active_graph": graph})


def activate_sentinel(*, user: Any, name: str) -> None:
    """`name` of a sentinel, or empty for global."""
    Profile.objects.update_or_create(pk=user.pk, defaults={"active_sentinel": name})
