"""Creates, changes and deletes graphs, nodes and edges. Callers have checked that the user may."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from taskhub.errors import Conflict, NotFound, invalid
from walkers.domain.json_copy import NotJson, json_copy
from walkers.models import KIND_MAX, ROOT, Edge, Graph, InGraph, Node, Profile

GRAPHS_REMOVED = 100  # at a time
CONTEXT_MAX = 1024 * 1024  # characters, about


@transaction.atomic
def create_graph(*, owner: Any, name: str = "") -> Graph:
    graph = Graph.objects.create(owner_id=owner.pk, name=name)
    Node.objects.create(pk=graph.pk, graph=graph, kind=ROOT)
    return graph


@transaction.atomic
def create_graphs(*, owner_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Creates a graph for each owner. Returns `{owner's id: graph's id}`."""
    graphs = Graph.objects.bulk_create([Graph(owner_id=owner_id) for owner_id in owner_ids])
    Node.objects.bulk_create([Node(pk=graph.pk, graph=graph, kind=ROOT) for graph in graphs])
    return {graph.owner_id: graph.pk for graph in graphs}


@transaction.atomic
def delete_graph(*, graph: Graph) -> None:
    """Deletes the graph with all it holds, in a few statements however large it is. Raises `NotFound` when it is gone.

    Users whose active graph it was get the newest of their other graphs with their next call, or a new one.
    """
    # Whatever a walk adds meanwhile waits here at its commit, and then fails: nothing is left without its graph.
    if not Graph.objects.select_for_update().filter(pk=graph.pk).exists():
        raise NotFound("The graph is gone.")
    Profile.objects.filter(active_graph=graph).update(active_graph=None)
    Edge.objects.filter(graph=graph)._raw_delete(using="default")
    Node.objects.filter(graph=graph)._raw_delete(using="default")
    Graph.objects.filter(pk=graph.pk)._raw_delete(using="default")


def remove_graphs_of(owner_id: UUID) -> int:
    """Removes one batch of the graphs of a deleted account; returns how many."""
    graphs = list(Graph.objects.filter(owner_id=owner_id)[:GRAPHS_REMOVED])
    for graph in graphs:
        delete_graph(graph=graph)
    return len(graphs)


def spawn(*, source: Node, kind: str, context: Mapping[str, Any], edge: str, edge_context: Mapping[str, Any]) -> Edge:
    """Creates a node and the edge that leads to it. Raises `NotJson` for a context that JSON cannot hold."""
    node = Node(graph_id=source.graph_id, kind=checked_kind(kind), context=checked_context(context))
    new_edge = Edge(graph_id=source.graph_id, source=source, target=node, kind=checked_kind(edge))
    new_edge.context = checked_context(edge_context)
    with transaction.atomic():
        node.save(force_insert=True)
        new_edge.save(force_insert=True)
    return new_edge


def connect(*, source: Node, target: Node, kind: str, context: Mapping[str, Any]) -> Edge:
    if source.graph_id != target.graph_id:
        raise ValueError("An edge joins nodes of one graph.")
    context = checked_context(context)
    return Edge.objects.create(
        graph_id=source.graph_id, source=source, target=target, kind=checked_kind(kind), context=context
    )


@transaction.atomic
def delete_node(*, node: Node) -> None:
    """Deletes the node with its edges. The nodes that they led to stay."""
    if node.is_root:
        raise Conflict("The root of a graph goes with its graph.")
    Edge.objects.filter(Q(source=node) | Q(target=node))._raw_delete(using="default")
    Node.objects.filter(pk=node.pk)._raw_delete(using="default")


def delete_edge(*, edge: Edge) -> None:
    edge.delete()


def store_context(*, entity: InGraph, context: Mapping[str, Any]) -> None:
    """Stores the context of a node or edge.

    Raises `NotFound` when the node or edge is gone, `NotJson` for what JSON cannot hold.
    """
    entity.context = checked_context(context)
    if not type(entity)._default_manager.filter(pk=entity.pk).update(context=entity.context):
        raise NotFound(f"{entity.pk.urn} is gone.")


@transaction.atomic
def merge_context(*, entity: InGraph, context: Mapping[str, Any], replace: bool = False) -> InGraph:
    """Sets the given keys; the others stay, or with `replace` go. Two at once do not lose each other's keys."""
    model = type(entity)
    row: InGraph | None = model._default_manager.select_for_update(no_key=True).filter(pk=entity.pk).first()
    if row is None:
        raise NotFound(f"{entity.pk.urn} is gone.")
    try:
        store_context(entity=row, context=dict(context) if replace else {**row.context, **context})
    except NotJson as error:
        raise invalid("/ctx", str(error), f"The context cannot be stored: {error}") from None
    return row


def checked_context(context: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(context, Mapping):
        raise NotJson("", f"a context is an object, not {type(context).__name__}")
    value: dict[str, Any] = json_copy(context, room=CONTEXT_MAX)[0]
    return value


def checked_kind(kind: str) -> str:
    if not isinstance(kind, str) or len(kind) > KIND_MAX or not (kind.isprintable() or not kind):
        raise ValueError(f"A kind is printable text of at most {KIND_MAX} characters.")
    return kind
