"""Nodes and edges as a walker sees them: read when touched, and stored when the walker leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q

from taskhub.errors import NotFound
from walkers.models import Edge, Node
from walkers.services import graphs


class Ground:
    """What one walk has seen. Each node and edge is there once, whichever way the walker came to it."""

    def __init__(self) -> None:
        self._places: dict[UUID, Place] = {}
        self._ways: dict[UUID, Way] = {}
        self._touched: dict[Kept, None] = {}

    def place(self, node_id: UUID, node: Node | None = None) -> Place:
        place = self._places.get(node_id)
        if place is None:
            place = self._places[node_id] = Place(self, node_id, node)
        elif place._row is None:
            place._row = node
        return place

    def way(self, edge: Edge) -> Way:
        if edge.pk not in self._ways:
            self._ways[edge.pk] = Way(self, edge)
        return self._ways[edge.pk]

    def touch(self, what: Kept) -> None:
        self._touched[what] = None

    def store_touched(self) -> None:
        """What the walker changed at this step."""
        for what in self._touched:
            what.store()
        self._touched.clear()

    def store_all(self) -> None:
        """Whatever was changed; also through a context that the walker held on to."""
        for what in (*self._places.values(), *self._ways.values()):
            what.store()


class Kept:
    """A node or an edge with its context."""

    def __init__(self, ground: Ground, id: UUID, row: Any) -> None:
        self.id = id
        self.deleted = False
        self._ground = ground
        self._row = row
        self._as_read: str | None = None  # the context's JSON, once somebody may have changed it

    @property
    def jid(self) -> str:
        return self.id.urn

    @property
    def gone(self) -> bool:
        return self.deleted

    @property
    def kind(self) -> str:
        kind: str = self._read().kind
        return kind

    @property
    def context(self) -> dict[str, Any]:
        """A plain dictionary of JSON values. What is changed in it is stored when the walker leaves this node."""
        row = self._read()
        if self._as_read is None:
            self._as_read = _text(row.context)
        self._ground.touch(self)
        context: dict[str, Any] = row.context
        return context

    @context.setter
    def context(self, value: Mapping[str, Any]) -> None:
        self.context.clear()
        self._row.context.update(value)

    def store(self) -> None:
        if self.gone or self._as_read is None or _text(self._row.context) == self._as_read:
            return
        graphs.store_context(what=self._row, context=self._row.context)
        self._as_read = _text(self._row.context)

    def _read(self) -> Any:
        raise NotImplementedError


class Place(Kept):
    """A node."""

    def out(self, kind: str | None = None, *, via: str | None = None) -> list[Place]:
        """Nodes that edges lead to from here, oldest edge first; of this `kind`, `via` edges of that kind."""
        return _distinct(self._ground.place(e.target_id, e.target) for e in self._edges("source", "target", kind, via))

    def in_(self, kind: str | None = None, *, via: str | None = None) -> list[Place]:
        """Nodes that edges come from."""
        return _distinct(self._ground.place(e.source_id, e.source) for e in self._edges("target", "source", kind, via))

    def ways(self, kind: str | None = None, *, to: Place | None = None) -> list[Way]:
        """Edges that lead away from here, oldest first; of this `kind`, `to` that node."""
        edges = Edge.objects.filter(source_id=self.id, **_given(kind=kind, target_id=to and to.id)).order_by("id")
        return [self._ground.way(edge) for edge in edges.select_related("target")]

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
        return self._ground.way(edge).target

    def connect(self, other: Place, kind: str = "", context: Mapping[str, Any] | None = None) -> Way:
        """A new edge from here to a node of the same graph."""
        edge = graphs.connect(source=self._read(), target=other._read(), kind=kind, context=context or {})
        return self._ground.way(edge)

    def delete(self) -> None:
        """This node and its edges. The root cannot be deleted. A walker that had taken the node does not come to it."""
        graphs.delete_node(node=self._read())
        self.deleted = True

    def lock(self) -> Place:
        """Reads the node again and keeps others from changing it until the walk ends: for counters and the like."""
        self.store()
        self._row = _found(Node.objects.select_for_update(no_key=True).filter(pk=self.id).first(), self.jid)
        self._as_read = None
        return self

    def as_json(self) -> dict[str, Any]:
        """How it looks in a report."""
        return {"jid": self.jid, "kind": self.kind, "context": self._read().context}

    def _read(self) -> Node:
        if self._row is None:
            self._row = _found(Node.objects.filter(pk=self.id).first(), self.jid)
        row: Node = self._row
        return row

    def _edges(self, near: str, far: str, kind: str | None, via: str | None) -> Iterable[Edge]:
        conditions = {f"{near}_id": self.id, **_given(**{f"{far}__kind": kind, "kind": via})}
        return Edge.objects.filter(Q(**conditions)).select_related(far).order_by("id")


class Way(Kept):
    """An edge."""

    def __init__(self, ground: Ground, edge: Edge) -> None:
        super().__init__(ground, edge.pk, edge)

    @property
    def gone(self) -> bool:
        return self.deleted or self.source.gone or self.target.gone

    @property
    def source(self) -> Place:
        return self._ground.place(self._row.source_id)

    @property
    def target(self) -> Place:
        return self._ground.place(self._row.target_id, self._row.target)

    def delete(self) -> None:
        """This edge; its nodes stay."""
        graphs.delete_edge(edge=self._row)
        self.deleted = True

    def as_json(self) -> dict[str, Any]:
        source, target = self._row.source_id.urn, self._row.target_id.urn
        return {"jid": self.jid, "kind": self.kind, "source": source, "target": target, "context": self._row.context}

    def _read(self) -> Edge:
        row: Edge = self._row
        return row


def _given(**conditions: Any) -> dict[str, Any]:
    return {name: value for name, value in conditions.items() if value is not None}


def _distinct(places: Iterable[Place]) -> list[Place]:
    return list(dict.fromkeys(places))


def _found(row: Node | None, jid: str) -> Node:
    if row is None:
        raise NotFound(f"There is no node {jid}.")
    return row


def _text(context: Any) -> str:
    return json.dumps(context, default=str)
