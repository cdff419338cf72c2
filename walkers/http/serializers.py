"""How graphs, nodes, edges, sentinels, walkers and users look on the wire."""

from typing import Any
from uuid import UUID

from taskhub.accounts.models import User
from taskhub.web.parameter_types import format_timestamp
from walkers.authoring.sentinels import Sentinel
from walkers.authoring.walker import Definition
from walkers.http.response_types import (
    EdgeShown,
    GraphShown,
    ListedUser,
    NodeShown,
    Page,
    SentinelShown,
    UserShown,
    WalkerShown,
)
from walkers.models import Edge, Graph, Node


def graph_of(graph: Graph, *, active: UUID | None = None) -> GraphShown:
    """`active` is the id of the caller's active graph, where it is known."""
    shown: GraphShown = {
        "jid": graph.pk.urn,
        "type": "graph",
        "name": graph.name,
        "owner": graph.owner_id.urn,
        "created_at": format_timestamp(graph.created_at),
    }
    if active is not None:
        shown["active"] = graph.pk == active
    return shown


def node_of(node: Node, *, detailed: bool = False) -> NodeShown:
    shown: NodeShown = {
        "jid": node.pk.urn,
        "type": "graph" if node.is_root else "node",
        "kind": node.kind,
        "context": node.context,
    }
    if detailed:
        shown["graph"], shown["created_at"] = node.graph_id.urn, format_timestamp(node.created_at)
    return shown


def edge_of(edge: Edge, *, detailed: bool = False) -> EdgeShown:
    shown: EdgeShown = {
        "jid": edge.pk.urn,
        "type": "edge",
        "kind": edge.kind,
        "source": edge.source_id.urn,
        "target": edge.target_id.urn,
        "context": edge.context,
    }
    if detailed:
        shown["graph"], shown["created_at"] = edge.graph_id.urn, format_timestamp(edge.created_at)
    return shown


def user_of(user: User, active_graph: UUID, *, detailed: bool = False) -> UserShown:
    shown: UserShown = {
        "id": str(user.pk),
        "jid": user.jid,
        "type": "user",
        "name": user.name,
        "email": user.email,
        "active_gph_id": active_graph.urn,
    }
    if detailed:
        shown["created_at"] = format_timestamp(user.date_joined)
        shown["is_staff"], shown["is_active"] = user.is_staff, user.is_active
    return shown


def listed_user_of(user: User, active_graph: UUID) -> ListedUser:
    return {
        "id": str(user.pk),
        "user": user.email,
        "jid": user.jid,
        "name": user.name,
        "active_gph_id": active_graph.urn,
        "created_date": format_timestamp(user.date_joined),
        "is_activated": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
    }


def sentinel_of(sentinel: Sentinel, *, active: UUID | None = None) -> SentinelShown:
    shown: SentinelShown = {
        "jid": sentinel.id.urn,
        "type": "sentinel",
        "name": sentinel.name,
        "walkers": sorted(sentinel.walkers),
    }
    if active is not None:
        shown["active"] = sentinel.id == active
    return shown


def walker_of(definition: Definition) -> WalkerShown:
    return {
        "name": definition.name,
        "sentinel": definition.sentinel,
        "description": definition.description,
        "atomic": definition.atomic,
        "time_limit": definition.time_limit,
        "schema": definition.shape.schema(),
    }


def whole_list(results: list[Any]) -> Page[Any]:
    """A list that is always one page."""
    return {"results": results, "next": None, "previous": None}
