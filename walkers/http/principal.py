"""Who makes a call, and what the call's references mean to them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from django.utils.datastructures import MultiValueDict

from taskhub.errors import NotFound
from taskhub.runs.models import Run
from walkers.authoring import sentinels
from walkers.authoring.sentinels import Sentinel
from walkers.authoring.walker import Incoming
from walkers.domain.ids import ACTIVE_GRAPH, ACTIVE_SENTINEL, GLOBAL, as_id
from walkers.models import Graph, Node
from walkers.services.aliases import target_of
from walkers.services.files import Files
from walkers.services.profiles import Standing, standing


@dataclass
class Caller:
    """The user of one call, or nobody; the files and the HTTP request that came with it, or the run that makes it."""

    user: Any = None
    files: Files = field(default_factory=MultiValueDict)
    request: Incoming | None = None
    run: Run | None = None

    @cached_property
    def standing(self) -> Standing:
        return standing(user=self.user)

    def id_of(self, reference: str) -> UUID:
        """What `urn:uuid:...`, a bare UUID, `active:graph`, `active:sentinel` or an alias of the caller's stands for.

        Raises `NotFound`. That the object exists, and is the caller's to see, is not looked at.
        """
        found = self._known(reference) or target_of(owner=self.user, name=reference)
        if found is None:
            raise NotFound(f"{reference[:100]!r} is neither an id nor an alias of yours.")
        return found

    def _known(self, reference: str) -> UUID | None:
        if reference == ACTIVE_GRAPH:
            return self.standing.graph_id
        if reference == ACTIVE_SENTINEL:
            return self.sentinel(None).id
        return as_id(reference)

    def sentinel(self, reference: str | None) -> Sentinel:
        """By id, alias, name, or `global`; None is the active one. Raises `NotFound`."""
        if reference is None or reference == ACTIVE_SENTINEL:
            return self._active_sentinel()
        found = sentinels.named(reference) or sentinels.with_id(self.id_of(reference))
        if found is None:
            raise NotFound(f"There is no sentinel {reference[:100]!r}.")
        return found

    def _active_sentinel(self) -> Sentinel:
        found = sentinels.named(self.standing.sentinel or GLOBAL)
        if found is None:
            raise NotFound(f"Your active sentinel {self.standing.sentinel!r} is not installed any more; set another.")
        return found

    def node_id(self, reference: str | None) -> UUID:
        """The node where a walk starts. Raises `NotFound`; the active graph's root needs no look."""
        if reference is None or reference == ACTIVE_GRAPH:
            return self.standing.graph_id
        return self.node(reference).pk

    def node(self, reference: str) -> Node:
        node: Node | None = Node.objects.visible_to(self.user).filter(pk=self.id_of(reference)).first()
        if node is None:
            raise NotFound(f"There is no node {reference[:100]!r}, or it is not yours.")
        return node

    def graph(self, reference: str | None) -> Graph:
        """None is the active graph. Raises `NotFound`."""
        reference = ACTIVE_GRAPH if reference is None else reference
        graph = Graph.objects.visible_to(self.user).filter(pk=self.id_of(reference)).first()
        if graph is None:
            raise NotFound(f"There is no graph {reference[:100]!r}, or it is not yours.")
        return graph
