"""Admin pages of graphs, their nodes and edges, aliases, profiles and files: to look at, and to delete."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskhub.web.admin import ReadOnlyAdmin, json_block, list_link, row_link
from walkers.models import Alias, Edge, Graph, Node, Profile, RunFile
from walkers.services.aliases import delete_alias
from walkers.services.graphs import delete_edge, delete_graph, delete_node


class WalkersAdmin(ReadOnlyAdmin):
    """Walkers write graphs; people look at them, and may delete."""

    ordering = ("-pk",)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], Any, Any]:
        """What was chosen, not the hundred thousand rows that may hang on it."""
        names = [str(row) for row in objs]
        return names, {str(self.opts.verbose_name_plural): len(names)}, set(), []

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)


@admin.register(Graph)
class GraphAdmin(WalkersAdmin):
    list_display = ("id", "name", "owner", "created_at")
    list_select_related = ("owner",)
    search_ids = ("id",)
    search_fields = ("name", "owner__email")
    fields = ("id", "name", "owner", "created_at", "inside")
    readonly_fields = fields

    @admin.display(description="Nodes and edges")
    def inside(self, graph: Graph) -> SafeString:
        links = [list_link(f"walkers_{kind}", f"{kind}s", graph__id__exact=graph.pk) for kind in ("node", "edge")]
        return format_html("{}, {}", *links)

    def delete_model(self, request: HttpRequest, obj: Graph) -> None:
        delete_graph(graph=obj)


class InGraphAdmin(WalkersAdmin):
    search_ids = ("id",)
    linked_by = ("graph__id__exact",)
    unlisted = ("context",)

    @admin.display(description="Graph", ordering="graph_id")
    def graph_link(self, row: Any) -> SafeString:
        return row_link("walkers_graph", row.graph_id)

    @admin.display(description="Context")
    def context_text(self, row: Any) -> SafeString:
        return json_block(row.context)


@admin.register(Node)
class NodeAdmin(InGraphAdmin):
    list_display = ("id", "kind", "graph_link", "created_at")
    fields = ("id", "kind", "graph_link", "context_text", "ways_out", "ways_in", "created_at")
    readonly_fields = fields

    @admin.display(description="Edges from here")
    def ways_out(self, node: Node) -> SafeString:
        return _ways(node.edges_out.order_by("pk"), "target_id")

    @admin.display(description="Edges to here")
    def ways_in(self, node: Node) -> SafeString:
        return _ways(node.edges_in.order_by("pk"), "source_id")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_root)

    def delete_model(self, request: HttpRequest, obj: Node) -> None:
        delete_node(node=obj)


@admin.register(Edge)
class EdgeAdmin(InGraphAdmin):
    list_display = ("id", "kind", "source_link", "target_link", "graph_link", "created_at")
    fields = ("id", "kind", "source_link", "target_link", "graph_link", "context_text", "created_at")
    readonly_fields = fields

    @admin.display(description="From")
    def source_link(self, edge: Edge) -> SafeString:
        return row_link("walkers_node", edge.source_id)

    @admin.display(description="To")
    def target_link(self, edge: Edge) -> SafeString:
        return row_link("walkers_node", edge.target_id)

    def delete_model(self, request: HttpRequest, obj: Edge) -> None:
        delete_edge(edge=obj)


@admin.register(Alias)
class AliasAdmin(WalkersAdmin):
    list_display = ("name", "owner", "target")
    list_select_related = ("owner",)
    search_ids = ("id", "target")
    search_fields = ("name", "owner__email")

    def delete_model(self, request: HttpRequest, obj: Alias) -> None:
        delete_alias(owner=obj.owner, name=obj.name)


@admin.register(Profile)
class ProfileAdmin(WalkersAdmin):
    list_display = ("user", "active_graph_link", "active_sentinel")
    list_select_related = ("user",)
    search_ids = ("user",)
    search_fields = ("user__email",)
    fields = ("user", "active_graph_link", "active_sentinel")
    readonly_fields = fields

    @admin.display(description="Active graph", empty_value="-")
    def active_graph_link(self, profile: Profile) -> SafeString | None:
        return row_link("walkers_graph", profile.active_graph_id) if profile.active_graph_id else None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(RunFile)
class RunFileAdmin(WalkersAdmin):
    list_display = ("name", "field", "run", "size", "content_type", "created_at")
    list_select_related = ("run",)
    search_ids = ("run",)
    search_fields = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _ways(edges: QuerySet[Edge], far: str) -> SafeString:
    links = [format_html("{} {}", edge.kind, row_link("walkers_node", getattr(edge, far))) for edge in edges[:100]]
    return format_html("{}", SafeString("<br>".join(links))) if links else SafeString("-")
