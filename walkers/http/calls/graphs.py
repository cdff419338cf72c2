"""Graphs: each user's own, one of them active."""

from typing import Annotated

from django.db import transaction
from django.db.models import QuerySet
from pydantic import Field

from taskhub.errors import NotFound, invalid
from taskhub.jsontools.field_types import Text
from taskhub.web.cursor_pagination import read_page
from walkers.domain.ids import NAME_MAX
from walkers.http import examples, serializers
from walkers.http.pagination import Cursor, Limit, paginate
from walkers.http.registry import register_call
from walkers.http.response_types import GraphContents, GraphResponse, ResultPage, SuccessResponse
from walkers.models import Edge, Graph, Node
from walkers.services.graphs import create_graph, delete_graph
from walkers.walks.principal import Principal, activate_graph

NODES_MAX = 10_000
EDGES_MAX = 100_000
GraphRef = Annotated[Text, Field(description="A graph: an id, an alias or `active:graph`.")]
MaybeGraph = Annotated[
    Text | None, Field(description="A graph: an id, an alias or `active:graph`, which is the default.")
]


@register_call(example_arguments={"name": "my shop"}, example_answer=examples.GRAPH)
def graph_create(
    principal: Principal,
    name: Annotated[Text, Field(max_length=NAME_MAX, description="A name for people.")] = "",
    set_active: Annotated[bool, Field(description="Whether it becomes the active graph.")] = True,
) -> GraphResponse:
    """Create a graph.

    It has one node, the root, whose id is the graph's.
    """
    with transaction.atomic():
        graph = create_graph(owner=principal.user, name=name)
        if set_active:
            activate_graph(user=principal.user, graph=graph)
    return serializers.serialize_graph(graph, active=principal.active_context.graph_id)


@register_call(reads=True, example_answer=examples.page(examples.GRAPH))
def graph_list(principal: Principal, limit: Limit = 100, cursor: Cursor = None) -> ResultPage[GraphResponse]:
    """List your graphs.

    Newest first.
    """
    active = principal.active_context.graph_id
    own = Graph.objects.filter(owner_id=principal.user.pk)
    return paginate("graph_list", own, lambda graph: serializers.serialize_graph(graph, active=active), limit, cursor)


@register_call(problem_statuses=(404,), example_arguments={"gph": examples.ID}, example_answer=examples.GRAPH)
def graph_active_set(principal: Principal, gph: GraphRef) -> GraphResponse:
    """Set the active graph.

    A walk starts at its root when no node is named.
    """
    graph = principal.graph(gph)
    try:
        activate_graph(user=principal.user, graph=graph)
    except Graph.DoesNotExist:
        raise NotFound("The graph is gone.") from None
    return serializers.serialize_graph(graph, active=graph.pk)


@register_call(reads=True, example_answer=examples.GRAPH)
def graph_active_get(principal: Principal) -> GraphResponse:
    """Show the active graph.

    Who has no graph yet gets one.
    """
    return serializers.serialize_graph(principal.graph(None), active=principal.active_context.graph_id)


@register_call(
    problem_statuses=(404,),
    example_arguments={"gph": examples.ID},
    example_answer={**examples.DONE, "jid": examples.JID},
)
def graph_delete(principal: Principal, gph: GraphRef) -> SuccessResponse:
    """Delete a graph with all its nodes and edges.

    When it was the active one, the newest of the others becomes active, or a new one.
    """
    graph = principal.graph(gph)
    delete_graph(graph=graph)
    return {"success": True, "jid": graph.pk.urn}


@register_call(
    reads=True, problem_statuses=(404,), example_arguments={"gph": examples.ID}, example_answer=examples.WHOLE_GRAPH
)
def graph_get(
    principal: Principal,
    gph: MaybeGraph = None,
    limit: Annotated[int, Field(ge=1, le=NODES_MAX, description="How many nodes at most.")] = NODES_MAX,
    cursor: Cursor = None,
    detailed: serializers.Detailed = False,
) -> GraphContents:
    """Show a graph with its nodes and edges.

    Large graphs come in pages, which end by number or by size: `next` leads to the following nodes, newest first;
    `edges` are those that leave the nodes of the page.
    """
    graph = principal.graph(gph)
    shown = {"detailed": detailed, "masked": graph.owner_id != principal.user.pk}
    nodes = paginate("graph_get", graph.nodes.all(), lambda node: node, limit, cursor, gph=graph.pk, detailed=detailed)
    return {
        **serializers.serialize_graph(graph),
        "nodes": [serializers.serialize_node(node, **shown) for node in nodes["results"]],
        "edges": [serializers.serialize_edge(edge, **shown) for edge in _edges_leaving(graph, nodes)],
        "next": nodes["next"],
        "previous": nodes["previous"],
    }


def _edges_leaving(graph: Graph, nodes: ResultPage[Node]) -> list[Edge]:
    edges: QuerySet[Edge] = graph.edges.all()
    if nodes["next"] or nodes["previous"]:
        edges = edges.filter(source_id__in=[node.pk for node in nodes["results"]])
    page = read_page(edges, "pk", EDGES_MAX)
    if page.has_next:
        raise invalid("/limit", f"These nodes have more than {EDGES_MAX} edges, or large ones; ask for fewer nodes.")
    return page.rows
