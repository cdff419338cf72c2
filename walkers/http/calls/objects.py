"""Objects by id, whatever they are: nodes, edges, graphs, sentinels and users."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from pydantic import Field

from taskhub.accounts.models import User
from taskhub.errors import NotFound, invalid
from walkers.authoring import sentinels
from walkers.authoring.sentinels import Sentinel
from walkers.http import examples, serializers
from walkers.http.parameters import Detailed, ObjectRef
from walkers.http.principal import Caller
from walkers.http.registry import api
from walkers.models import Edge, Graph, InGraph, Node
from walkers.services.graphs import merge_context
from walkers.services.profiles import active_graphs

DEPTH_MAX = 100
AROUND_MAX = 10_000  # nodes and edges in one answer


@dataclass(frozen=True)
class Found:
    """An object that the caller may see."""

    id: UUID
    what: Node | Edge | Sentinel | User


def visible_object(caller: Caller, reference: str) -> Found:
    """Raises `NotFound` for what is not there or is another's. A graph is found as its root node."""
    id = caller.id_of(reference)
    what = sentinels.with_id(id) or _stored(caller, id)
    if what is None:
        raise NotFound(f"There is no object {reference[:100]!r}, or it is not yours.")
    return Found(id, what)


def _stored(caller: Caller, id: UUID) -> Node | Edge | User | None:
    models: tuple[type[Node] | type[Edge], ...] = (Node, Edge)
    for model in models:
        if found := model.objects.visible_to(caller.user).filter(pk=id).first():
            return found  # type: ignore[no-any-return]
    if id != caller.user.pk and not caller.user.is_staff:
        return None
    return User.objects.filter(pk=id).first()


@api(
    reads=True,
    problems=(404,),
    arguments={"obj": "active:graph", "depth": 1, "detailed": True},
    answer={**examples.ROOT, "nodes": [examples.NODE], "edges": [examples.EDGE]},
)
def object_get(
    caller: Caller,
    obj: ObjectRef,
    depth: Annotated[int, Field(ge=0, le=DEPTH_MAX, description="How many edges far to look around a node.")] = 0,
    detailed: Detailed = False,
) -> dict[str, Any]:
    """Show an object.

    A node, an edge, a graph, a sentinel or a user. From a node or graph with `depth` also `nodes` and `edges`, all that
    is reached by so many edges going out; from an edge, its two nodes, and onwards from there.
    """
    found = visible_object(caller, obj)
    shown = _shown(found, detailed=detailed)
    if depth and isinstance(found.what, Node | Edge):
        shown |= _around(found.what, depth, detailed=detailed)
    return shown


@api(problems=(404,), arguments={"obj": "active:graph", "ctx": {"color": "green"}}, answer=examples.ROOT)
def object_set(
    caller: Caller,
    obj: ObjectRef,
    ctx: Annotated[dict[str, Any], Field(description="Keys of its context to set.")],
    replace: Annotated[bool, Field(description="Whether the other keys go.")] = False,
    detailed: Detailed = False,
) -> dict[str, Any]:
    """Change the context of a node, an edge or a graph's root.

    The given keys are set and the others stay; two calls at once do not lose each other's keys.
    """
    found = visible_object(caller, obj)
    if not isinstance(found.what, InGraph):
        raise invalid("/obj", "Only nodes, edges and graphs have a context.")
    changed = merge_context(what=found.what, context=ctx, replace=replace)
    return _shown(Found(found.id, changed), detailed=detailed)  # type: ignore[arg-type]


def _shown(found: Found, *, detailed: bool) -> dict[str, Any]:
    match found.what:
        case Node():
            return _shown_node(found.what, detailed=detailed)
        case Edge():
            return {**serializers.edge_of(found.what, detailed=detailed)}
        case Sentinel():
            return {**serializers.sentinel_of(found.what)}
    return {**serializers.user_of(found.what, active_graphs(user_ids=[found.id])[found.id], detailed=detailed)}


def _shown_node(node: Node, *, detailed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {**serializers.node_of(node, detailed=detailed)}
    graph = Graph.objects.filter(pk=node.pk).first() if node.is_root else None
    return shown | serializers.graph_of(graph) if graph else shown


def _around(start: Node | Edge, depth: int, *, detailed: bool) -> dict[str, Any]:
    """Level by level, each node and edge once, so that circles end."""
    nodes: dict[UUID, Node] = {}
    edges: dict[UUID, Edge] = {}
    if isinstance(start, Node):
        nodes[start.pk] = start
        _widen(Q(source=start), nodes, edges)
    else:
        _widen(Q(pk=start.pk), nodes, edges)
        nodes |= Node.objects.in_bulk([start.source_id])
    reached = set(nodes) - {start.pk}
    for _ in range(depth - 1):
        if not reached:
            break
        before = set(nodes)
        _widen(Q(source__in=reached), nodes, edges)
        reached = set(nodes) - before
    nodes.pop(start.pk, None)
    return {
        "nodes": [serializers.node_of(node, detailed=detailed) for node in nodes.values()],
        "edges": [serializers.edge_of(edge, detailed=detailed) for edge in edges.values() if edge.pk != start.pk],
    }


def _widen(condition: Q, nodes: dict[UUID, Node], edges: dict[UUID, Edge]) -> None:
    """Adds the edges that meet the condition, and the nodes that they lead to."""
    room = AROUND_MAX - len(nodes) - len(edges)
    for edge in Edge.objects.filter(condition).select_related("target").order_by("id")[: room + 1]:
        edges[edge.pk] = edge
        nodes.setdefault(edge.target_id, edge.target)
    if len(nodes) + len(edges) > AROUND_MAX:
        raise invalid("/depth", f"So deep there are more than {AROUND_MAX} nodes and edges.")
