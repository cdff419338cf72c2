"""Graphs that walkers walk, the names that users give to things, and the files of background calls."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from taskhub.db.querysets import OwnedQuerySet
from taskhub.runs.models import Run
from taskhub.security.sealed_values import SealedJSONField
from walkers.domain.ids import NAME_MAX

KIND_MAX = 100
ROOT = "root"


class Graph(models.Model):
    """A user's graph. Its root node has the same id, so that either id may be given for the other."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="graphs", db_index=False
    )
    name = models.CharField(max_length=NAME_MAX, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = OwnedQuerySet["Graph"].as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["owner", "-id"], name="graph_owner")]

    def __str__(self) -> str:
        return f"{self.name} {self.id}".strip()


class InGraphQuerySet(OwnedQuerySet[Any]):
    owner_field = "graph__owner_id"


class InGraph(models.Model):
    """What nodes and edges have in common."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=KIND_MAX, blank=True, default="")
    context: "models.Field[Any, Any]" = SealedJSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = InGraphQuerySet.as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.kind} {self.id}".strip()


class Node(InGraph):
    graph = models.ForeignKey(Graph, models.CASCADE, related_name="nodes", db_index=False)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["graph", "id"], name="node_graph")]

    @property
    def is_root(self) -> bool:
        return bool(self.pk == self.graph_id)


class Edge(InGraph):
    """From `source` to `target`, both in `graph`; between two nodes there may be several."""

    graph = models.ForeignKey(Graph, models.CASCADE, related_name="edges", db_index=False)
    source = models.ForeignKey(Node, models.CASCADE, related_name="edges_out", db_index=False)
    target = models.ForeignKey(Node, models.CASCADE, related_name="edges_in", db_index=False)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["graph", "id"], name="edge_graph"),
            models.Index(fields=["source", "id"], name="edge_source"),
            models.Index(fields=["target", "id"], name="edge_target"),
        ]


class Alias(models.Model):
    """A user's own name for an object. What it names may be gone: using it is then a 404."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="aliases", db_index=False
    )
    name = models.CharField(max_length=NAME_MAX)
    target = models.UUIDField(help_text="The id of a node, edge, graph, sentinel or user")

    class Meta:
        verbose_name_plural = "aliases"
        constraints: ClassVar = [models.UniqueConstraint("owner", "name", name="alias_name")]

    def __str__(self) -> str:
        return f"{self.name} = {self.target}"


class Profile(models.Model):
    """The active graph and sentinel of a user: what calls mean that name none. Created by the first such call."""

    user: "models.OneToOneField[Any, Any]" = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="walking"
    )
    active_graph = models.ForeignKey(Graph, models.SET_NULL, null=True, blank=True, related_name="active_for")
    active_sentinel = models.CharField(
        max_length=NAME_MAX, blank=True, default="", help_text="Empty: global, all of them"
    )

    def __str__(self) -> str:
        return str(self.user_id)


class RunFile(models.Model):
    """A file of a run. One sent with a call is stored before the run is accepted, and only then gets its run."""

    run = models.ForeignKey(Run, models.CASCADE, null=True, related_name="files")
    field = models.CharField(max_length=NAME_MAX)
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255, blank=True, default="")
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    path = models.CharField(max_length=255, db_index=True, help_text="In the default storage; shared by retries")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["created_at"], name="run_file_abandoned", condition=models.Q(run__isnull=True))
        ]

    def __str__(self) -> str:
        return self.name
