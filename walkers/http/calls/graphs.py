"""Graphs: each user's own, one of them active."""

from typing import Annotated

from django.db import transaction
from django.db.models import QuerySet
from pydantic import Field

from taskhub.errors import NotFound, invalid
from taskhub.web.parameter_types import Text
from walkers.domain.ids import NAME_MAX
from walkers.http import examples, serializers
from walkers.http.pagination import page
from walkers.http.parameters import Cursor, Detailed, GraphRef, Limit
from walkers.http.principal import Caller
from walkers.http.registry import api
from walkers.http.response_types import Done, GraphShown, Page, WholeGraph
from walkers.models import Edge, Graph, Node
from walkers.services import graphs, profiles

NODES_MAX = 10_000
EDGES_MAX = 100_000
MaybeGraph = Annotated[
    Text | None, Field(description="A graph: an id, an alias or `active:graph`, which is the default.")
]


@api(arguments={"name": "my shop"}, answer=examples.GRAPH)
def graph_create(
    caller: Caller,
    name: Annotated[Text, Field(max_length=NAME_MAX, description="A name for people.")] = "",
    set_active: Annotated[bool, Field(description="Whether it becomes the active graph.")] = True,
) -> GraphShown:
    """Create a graph.

    It has one node, the root, whose id is the graph's.
    """
    with transaction.atomic():
        graph = graphs.create_graph(owner=caller.user, name=name)
        if set_active:
            profiles.activate_graph(user=caller.user, graph=graph)
    return serializers.graph_of(graph, active=caller.standing.graph_id)


@api(reads=True, answer=examples.page(examples.GRAPH))
def graph_list(caller: Caller, limit: Limit = 100, cursor: Cursor = None) -> Page[GraphShown]:
    """List your graphs.

    Newest first.
    """
    active = caller.standing.graph_id
    own = Graph.objects.filter(owner_id=caller.user.pk)
    return page("graph_list", own, lambda graph: serializers.graph_of(graph, active=active), limit, cursor)


@api(problems=(404,), arguments={"gph": examples.ID}, answer=examples.GRAPH)
def graph_active_set(caller: Caller, gph: GraphRef) -> GraphShown:
    """Set the active graph.

    A walk starts at its root when no node is named.
    """
    graph = caller.graph(gph)
    try:
        profiles.activate_graph(user=caller.user, graph=graph)
    except Graph.DoesNotExist:
        raise NotFound("The graph is gone.") from None
    return serializers.graph_of(graph, active=graph.pk)


@api(reads=True, answer=examples.GRAPH)
def graph_active_get(caller: Caller) -> GraphShown:
    """Show the active graph.

    Who has no graph yet gets one.
    """
    return serializers.graph_of(caller.graph(None), active=caller.standing.graph_id)


@api(problems=(404,), arguments={"gph": examples.ID}, answer={**examples.DONE, "jid": examples.JID})
def graph_delete(caller: Caller, gph: GraphRef) -> Done:
    """Delete a graph with all its nodes and edges.

    When it was the active one, the newest of the others becomes active, or a new one.
    """
    graph = caller.graph(gph)
    graphs.delete_graph(graph=graph)
    return {"success": True, "jid": graph.pk.urn}


@api(reads=True, problems=(404,), arguments={"gph": examples.ID}, answer=examples.WHOLE_GRAPH)
def graph_get(
    caller: Caller,
    gph: MaybeGraph = None,
    limit: Annotated[int, Field(ge=1, le=NODES_MAX, description="How many nodes at most.")] = NODES_MAX,
    cursor: Cursor = None,
    detailed: Detailed = False,
) -> WholeGraph:
    """Show a graph with its nodes and edges.

    Large graphs come in pages: `next` leads to the following nodes, newest first; `edges` are those that leave the
    nodes of the page.
    """
    graph = caller.graph(gph)
    nodes = page("graph_get", graph.nodes.all(), lambda node: node, limit, cursor, gph=graph.pk, detailed=detailed)
    return {
        **serializers.graph_of(graph),
        "nodes": [serializers.node_of(node, detailed=detailed) for node in nodes["results"]],
        "edges": [serializers.edge_of(edge, detailed=detailed) for edge in _leaving(graph, nodes)],
        "next": nodes["next"],
        "previous": nodes["previous"],
    }


def _leaving(graph: Graph, nodes: Page[Node]) -> list[Edge]:
    edges: QuerySet[Edge] = graph.edges.order_by("pk")
    if nodes["next"] or nodes["previous"]:
        edges = edges.filter(source_id__in=[node.pk for node in nodes["results"]])
    found = list(edges[: EDGES_MAX + 1])
    if len(found) > EDGES_MAX:
        raise invalid("/limit", f"These nodes have more than {EDGES_MAX} edges; ask for fewer nodes.")
    return found
