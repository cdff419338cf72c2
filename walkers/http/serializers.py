"""Graphs, nodes, edges, sentinels, walkers and users as JSON."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from taskhub.accounts.models import User
from taskhub.jsontools.field_types import format_timestamp
from taskhub.security.masking import mask_all, secrets_of
from walkers.authoring.sentinels import Sentinel, WalkerDefinition
from walkers.http.response_types import (
    EdgeResponse,
    GraphResponse,
    ListedUser,
    NodeResponse,
    ResultPage,
    SentinelResponse,
    UserResponse,
    WalkerResponse,
)
from walkers.models import Edge, Graph, Node

Detailed = Annotated[bool, Field(description="With times, and whom or what it belongs to.")]


def serialize_graph(graph: Graph, *, active: UUID | None = None) -> GraphResponse:
    """`active` is the id of the user's active graph; without it `active` is left out."""
    body: GraphResponse = {
        "jid": graph.pk.urn,
        "type": "graph",
        "name": graph.name,
        "owner": graph.owner_id.urn,
        "created_at": format_timestamp(graph.created_at),
    }
    if active is not None:
        body["active"] = graph.pk == active
    return body


def context_of(entity: Node | Edge, *, masked: bool) -> dict[str, Any]:
    """The context of a node or an edge; without its secrets for those who are not its owner."""
    context: dict[str, Any] = entity.context
    return mask_all(context, secrets_of(context)) if masked else context


def serialize_node(node: Node, *, detailed: bool = False, masked: bool = False) -> NodeResponse:
    body: NodeResponse = {
        "jid": node.pk.urn,
        "type": "graph" if node.is_root else "node",
        "kind": node.kind,
        "context": context_of(node, masked=masked),
    }
    if detailed:
        body["graph"], body["created_at"] = node.graph_id.urn, format_timestamp(node.created_at)
    return body


def serialize_edge(edge: Edge, *, detailed: bool = False, masked: bool = False) -> EdgeResponse:
    body: EdgeResponse = {
        "jid": edge.pk.urn,
        "type": "edge",
        "kind": edge.kind,
        "source": edge.source_id.urn,
        "target": edge.target_id.urn,
        "context": context_of(edge, masked=masked),
    }
    if detailed:
        body["graph"], body["created_at"] = edge.graph_id.urn, format_timestamp(edge.created_at)
    return body


def serialize_user(user: User, active_graph: UUID, *, detailed: bool = False) -> UserResponse:
    body: UserResponse = {
        "id": str(user.pk),
        "jid": user.jid,
        "type": "user",
        "name": user.name,
        "email": user.email,
        "active_gph_id": active_graph.urn,
    }
    if detailed:
        body["created_at"] = format_timestamp(user.date_joined)
        body["is_staff"], body["is_active"] = user.is_staff, user.is_active
    return body


def serialize_listed_user(user: User, active_graph: UUID) -> ListedUser:
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


def serialize_sentinel(sentinel: Sentinel, *, active: UUID | None = None) -> SentinelResponse:
    body: SentinelResponse = {
        "jid": sentinel.id.urn,
        "type": "sentinel",
        "name": sentinel.name,
        "walkers": sorted(sentinel.walkers),
    }
    if active is not None:
        body["active"] = sentinel.id == active
    return body


def serialize_walker(definition: WalkerDefinition) -> WalkerResponse:
    return {
        "name": definition.name,
        "sentinel": definition.sentinel,
        "description": definition.description,
        "atomic": definition.atomic,
        "time_limit": definition.time_limit,
        "schema": definition.ctx_schema.schema(),
    }


def whole_list(results: list[Any]) -> ResultPage[Any]:
    """A list that is always one page."""
    return {"results": results, "next": None, "previous": None}
