"""Objects by id, whatever they are: nodes, edges, graphs, sentinels and users."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from pydantic import Field

from taskhub.accounts.models import User
from taskhub.errors import NotFound, invalid
from taskhub.jsontools.field_types import Text
from taskhub.web.cursor_pagination import PAGE_BYTES, read_page, weight_of
from walkers.authoring import sentinels
from walkers.authoring.sentinels import Sentinel
from walkers.http import examples, serializers
from walkers.http.registry import register_call
from walkers.models import Edge, Graph, InGraph, Node
from walkers.services.graphs import merge_context
from walkers.walks.principal import Principal, active_graphs

ObjectRef = Annotated[Text, Field(description="An id, an alias, `active:graph` or `active:sentinel`.")]
DEPTH_MAX = 100
NEIGHBORHOOD_MAX = 10_000  # nodes and edges in one response


@dataclass(frozen=True)
class VisibleObject:
    """An object that the user may see."""

    id: UUID
    entity: Node | Edge | Sentinel | User


def visible_object(principal: Principal, reference: str) -> VisibleObject:
    """Raises `NotFound` for what is not there or is another's. A graph is found as its root node."""
    id = principal.id_of(reference)
    entity = sentinels.find_sentinel_by_id(id) or _find_row(principal.user, id)
    if entity is None:
        raise NotFound(f"There is no object {reference[:100]!r}, or it is not yours.")
    return VisibleObject(id, entity)


def _find_row(user: Any, id: UUID) -> Node | Edge | User | None:
    models: tuple[type[Node] | type[Edge], ...] = (Node, Edge)
    for model in models:
        if row := model.objects.visible_to(user).filter(pk=id).first():
            return row  # type: ignore[no-any-return]
    if id != user.pk and not user.reaches_all:
        return None
    return User.objects.filter(pk=id).first()


@register_call(
    reads=True,
    problem_statuses=(404,),
    example_arguments={"obj": "active:graph", "depth": 1, "detailed": True},
    example_answer={**examples.ROOT, "nodes": [examples.NODE], "edges": [examples.EDGE]},
)
def object_get(
    principal: Principal,
    obj: ObjectRef,
    depth: Annotated[int, Field(ge=0, le=DEPTH_MAX, description="How many edges far to look around a node.")] = 0,
    detailed: serializers.Detailed = False,
) -> dict[str, Any]:
    """Show an object.

    A node, an edge, a graph, a sentinel or a user. From a node or graph with `depth` also `nodes` and `edges`, all that
    is reached by so many edges going out; from an edge, its two nodes, and onwards from there.
    """
    entity = visible_object(principal, obj).entity
    masked = _is_anothers(principal, entity)
    body = _serialize(entity, detailed=detailed, masked=masked)
    if depth and isinstance(entity, Node | Edge):
        body |= _neighborhood(entity, depth, detailed=detailed, masked=masked)
    return body


@register_call(
    problem_statuses=(404,),
    example_arguments={"obj": "active:graph", "ctx": {"color": "green"}},
    example_answer=examples.ROOT,
)
def object_set(
    principal: Principal,
    obj: ObjectRef,
    ctx: Annotated[dict[str, Any], Field(description="Keys of its context to set.")],
    replace: Annotated[bool, Field(description="Whether the other keys go.")] = False,
    detailed: serializers.Detailed = False,
) -> dict[str, Any]:
    """Change the context of a node, an edge or a graph's root.

    The given keys are set and the others stay; two calls at once do not lose each other's keys.
    """
    entity = visible_object(principal, obj).entity
    if not isinstance(entity, InGraph):
        raise invalid("/obj", "Only nodes, edges and graphs have a context.")
    changed: Any = merge_context(entity=entity, context=ctx, replace=replace)
    return _serialize(changed, detailed=detailed, masked=_is_anothers(principal, entity))


def _is_anothers(principal: Principal, entity: Any) -> bool:
    """Whether a node or an edge is in another user's graph, whose secrets are masked. Only staff see such."""
    return principal.user.reaches_all and isinstance(entity, InGraph) and entity.graph.owner_id != principal.user.pk  # type: ignore[attr-defined]


def _serialize(entity: Node | Edge | Sentinel | User, *, detailed: bool, masked: bool) -> dict[str, Any]:
    match entity:
        case Node():
            body: dict[str, Any] = {**serializers.serialize_node(entity, detailed=detailed, masked=masked)}
            graph = Graph.objects.filter(pk=entity.pk).first() if entity.is_root else None
            return body | serializers.serialize_graph(graph) if graph else body
        case Edge():
            return {**serializers.serialize_edge(entity, detailed=detailed, masked=masked)}
        case Sentinel():
            return {**serializers.serialize_sentinel(entity)}
    active_graph = active_graphs(user_ids=[entity.pk])[entity.pk]
    return {**serializers.serialize_user(entity, active_graph, detailed=detailed)}


def _neighborhood(start: Node | Edge, depth: int, *, detailed: bool, masked: bool) -> dict[str, Any]:
    """`{nodes, edges}` within `depth` edges of `start`. Level by level, each once, so that circles end."""
    nodes: dict[UUID, Node] = {}
    edges: dict[UUID, Edge] = {}
    if isinstance(start, Node):
        nodes[start.pk] = start
        _add_edges(Q(source=start), nodes, edges)
    else:
        _add_edges(Q(pk=start.pk), nodes, edges)
        nodes |= Node.objects.in_bulk([start.source_id])
    level = set(nodes) - {start.pk}
    for _ in range(depth - 1):
        if not level:
            break
        previous = set(nodes)
        _add_edges(Q(source__in=level), nodes, edges)
        level = set(nodes) - previous
    nodes.pop(start.pk, None)
    edges.pop(start.pk, None)
    return {
        "nodes": [serializers.serialize_node(node, detailed=detailed, masked=masked) for node in nodes.values()],
        "edges": [serializers.serialize_edge(edge, detailed=detailed, masked=masked) for edge in edges.values()],
    }


def _add_edges(condition: Q, nodes: dict[UUID, Node], edges: dict[UUID, Edge]) -> None:
    """Adds the edges that meet the condition, and the nodes that they lead to."""
    room = NEIGHBORHOOD_MAX - len(nodes) - len(edges)
    page = read_page(Edge.objects.filter(condition).select_related("target"), "id", max(1, room))
    for edge in page.rows:
        edges[edge.pk] = edge
        nodes.setdefault(edge.target_id, edge.target)
    weight = sum(weight_of(entity) for entity in (*nodes.values(), *edges.values()))
    if page.has_next or len(nodes) + len(edges) > NEIGHBORHOOD_MAX or weight > PAGE_BYTES:
        detail = f"So deep there are more than {NEIGHBORHOOD_MAX} nodes and edges, or than {PAGE_BYTES} bytes of them."
        raise invalid("/depth", detail)
