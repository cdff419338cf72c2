"""Nodes and edges as a walker sees them: read when touched, and stored when the walker leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from taskhub.errors import NotFound
from walkers.authoring.event_loop import outside_event_loop
from walkers.models import Edge, Node
from walkers.services import graphs


class WalkSession:
    """The nodes and edges that one walk has seen: each is one object, whichever way the walker came to it."""

    def __init__(self) -> None:
        self._places: dict[UUID, Place] = {}
        self._ways: dict[UUID, Way] = {}
        self._touched: dict[Entity, None] = {}  # in the order of their first touch

    def place(self, node_id: UUID, row: Node | None = None) -> Place:
        place = self._places.get(node_id)
        if place is None:
            place = self._places[node_id] = Place(self, node_id, row)
        elif place._row is None:
            place._row = row
        return place

    def way(self, row: Edge) -> Way:
        if row.pk not in self._ways:
            self._ways[row.pk] = Way(self, row)
        return self._ways[row.pk]

    def touch(self, entity: Entity) -> None:
        """Notes that the entity's context may be changed at this step."""
        self._touched[entity] = None

    def store_touched(self) -> None:
        """Stores what the walker changed at this step."""
        for entity in self._touched:
            entity.store()
        self._touched.clear()

    def store_all(self) -> None:
        """Stores all that was changed, also through a context that the walker held on to after its step."""
        for entity in (*self._places.values(), *self._ways.values()):
            entity.store()


class Entity:
    """A node or an edge with its context."""

    def __init__(self, session: WalkSession, id: UUID, row: Any) -> None:
        self.id = id
        self._deleted = False
        self._session = session
        self._row = row
        self._stored_json: str | None = None  # the context as it is stored, once somebody may have changed it

    @property
    def jid(self) -> str:
        return self.id.urn

    @property
    def is_deleted(self) -> bool:
        return self._deleted

    @property
    def kind(self) -> str:
        kind: str = self._read().kind
        return kind

    @property
    def context(self) -> dict[str, Any]:
        """A plain dictionary of JSON values. What is changed in it is stored when the walker leaves this node."""
        row = self._read()
        if self._stored_json is None:
            self._stored_json = _to_json(row.context)
        self._session.touch(self)
        context: dict[str, Any] = row.context
        return context

    @context.setter
    def context(self, value: Mapping[str, Any]) -> None:
        self.context.clear()
        self._row.context.update(value)

    @outside_event_loop
    def store(self) -> None:
        """Writes the context if it was changed."""
        if self.is_deleted or self._stored_json is None or _to_json(self._row.context) == self._stored_json:
            return
        graphs.store_context(entity=self._row, context=self._row.context)
        self._stored_json = _to_json(self._row.context)

    def _read(self) -> Any:
        """The row, read from the database if it was not yet."""
        raise NotImplementedError


class Place(Entity):
    """A node."""

    @outside_event_loop
    def out(self, kind: str | None = None, *, via: str | None = None) -> list[Place]:
        """Nodes that edges lead to from here, oldest edge first; of this `kind`, `via` edges of that kind."""
        edges = self._edges("source", "target", kind, via)
        return list(dict.fromkeys(self._session.place(edge.target_id, edge.target) for edge in edges))

    @outside_event_loop
    def in_(self, kind: str | None = None, *, via: str | None = None) -> list[Place]:
        """Nodes that edges come from."""
        edges = self._edges("target", "source", kind, via)
        return list(dict.fromkeys(self._session.place(edge.source_id, edge.source) for edge in edges))

    @outside_event_loop
    def ways(self, kind: str | None = None, *, to: Place | None = None) -> list[Way]:
        """Edges that lead away from here, oldest first; of this `kind`, `to` that node."""
        edges = Edge.objects.filter(source_id=self.id).select_related("target").order_by("id")
        if kind is not None:
            edges = edges.filter(kind=kind)
        if to is not None:
            edges = edges.filter(target_id=to.id)
        return [self._session.way(edge) for edge in edges]

    @outside_event_loop
    def spawn(
        self,
        kind: str = "",
        context: Mapping[str, Any] | None = None,
        *,
        via: str = "",
        way: Mapping[str, Any] | None = None,
    ) -> Place:
        """A new node that an edge leads to from here; `via` is the edge's kind, `way` its context."""
        edge = graphs.spawn(source=self._read(), kind=kind, context=context or {}, edge=via, edge_context=way or {})
        return self._session.way(edge).target

    @outside_event_loop
    def connect(self, other: Place, kind: str = "", context: Mapping[str, Any] | None = None) -> Way:
        """A new edge from here to a node of the same graph."""
        edge = graphs.connect(source=self._read(), target=other._read(), kind=kind, context=context or {})
        return self._session.way(edge)

    @outside_event_loop
    def delete(self) -> None:
        """Deletes this node and its edges; a walker that had taken it does not come to it. A graph's root stays."""
        graphs.delete_node(node=self._read())
        self._deleted = True

    @outside_event_loop
    def lock(self) -> Place:
        """Reads the node again and keeps others from changing it until the walk ends: for counters and the like."""
        self.store()
        self._row = self._fetch(Node.objects.select_for_update(no_key=True))
        self._stored_json = None
        return self

    def as_json(self) -> dict[str, Any]:
        """How it looks in a report."""
        return {"jid": self.jid, "kind": self.kind, "context": self._read().context}

    def _read(self) -> Node:
        if self._row is None:
            self._row = self._fetch(Node.objects.all())
        row: Node = self._row
        return row

    @outside_event_loop
    def _fetch(self, nodes: QuerySet[Node]) -> Node:
        row = nodes.filter(pk=self.id).first()
        if row is None:
            raise NotFound(f"There is no node {self.jid}.")
        return row

    def _edges(self, near_end: str, far_end: str, kind: str | None, via: str | None) -> Iterable[Edge]:
        edges = Edge.objects.filter(**{f"{near_end}_id": self.id}).select_related(far_end).order_by("id")
        if kind is not None:
            edges = edges.filter(**{f"{far_end}__kind": kind})
        if via is not None:
            edges = edges.filter(kind=via)
        return edges


class Way(Entity):
    """An edge."""

    def __init__(self, session: WalkSession, row: Edge) -> None:
        super().__init__(session, row.pk, row)

    @property
    def is_deleted(self) -> bool:
        return self._deleted or self.source.is_deleted or self.target.is_deleted

    @property
    def source(self) -> Place:
        return self._session.place(self._row.source_id)

    @property
    def target(self) -> Place:
        return self._session.place(self._row.target_id, self._row.target)

    @outside_event_loop
    def delete(self) -> None:
        """Deletes this edge; its nodes stay."""
        graphs.delete_edge(edge=self._row)
        self._deleted = True

    def as_json(self) -> dict[str, Any]:
        """How it looks in a report."""
        source, target = self._row.source_id.urn, self._row.target_id.urn
        return {"jid": self.jid, "kind": self.kind, "source": source, "target": target, "context": self._row.context}

    def _read(self) -> Edge:
        row: Edge = self._row
        return row


def _to_json(context: Any) -> str:
    return json.dumps(context, default=str)
