"""Graphs in the admin."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.conftest import Person
from walkers.models import Alias, Edge, Graph, Node, Profile
from walkers.services import graphs
from walkers.walks.principal import active_context

pytestmark = pytest.mark.django_db
MODELS = ["graph", "node", "edge", "alias", "profile", "runfile"]


@pytest.fixture
def client(colleague: Person) -> Client:
    colleague.user.is_superuser = True
    colleague.user.save()
    client = Client()
    client.force_login(colleague.user)
    return client


@pytest.fixture
def root(owner: Person) -> Node:
    root = Node.objects.get(pk=active_context(user=owner.user).graph_id)
    graphs.spawn(
        source=root, kind="<b>leaf</b>", context={"a": "<script>alert(1)</script>"}, edge="way", edge_context={}
    )
    Alias.objects.create(owner=owner.user, name="shop", target=root.pk)
    return root


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("root")
def test_lists_open_and_count_no_table_whole(client: Client, model: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(8):
        page = client.get(reverse(f"admin:walkers_{model}_changelist"))
    assert page.status_code == 200
    found = client.get(reverse(f"admin:walkers_{model}_changelist"), {"q": "nothing"})
    assert found.status_code == 200


def test_lists_cost_as_many_queries_for_many_rows(
    client: Client, root: Node, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        graphs.spawn(source=root, kind="leaf", context={}, edge="", edge_context={})
    for model in ("node", "edge"):
        with django_assert_max_num_queries(8):
            assert client.get(reverse(f"admin:walkers_{model}_changelist")).status_code == 200


def test_pages_show_and_link_without_running_what_users_wrote(client: Client, root: Node) -> None:
    edge = Edge.objects.get()
    for model, row, word in (
        ("graph", root.graph, "nodes"),
        ("node", edge.target, "&lt;script&gt;alert"),
        ("node", root, str(edge.target_id)),
        ("edge", edge, str(edge.source_id)),
        ("alias", Alias.objects.get(), "shop"),
        ("profile", Profile.objects.get(pk=root.graph.owner_id), str(root.pk)),
    ):
        page = client.get(reverse(f"admin:walkers_{model}_change", args=[row.pk])).content.decode()
        assert word in page, model
        assert "<script>alert" not in page
    nodes = client.get(reverse("admin:walkers_node_changelist"), {"graph__id__exact": str(root.graph_id)})
    assert nodes.status_code == 200
    assert "<b>leaf</b>" not in nodes.content.decode()


def test_deleting_goes_through_the_services(client: Client, root: Node) -> None:
    leaf = Node.objects.exclude(pk=root.pk).get()
    assert client.post(reverse("admin:walkers_node_delete", args=[root.pk]), {"post": "yes"}).status_code == 403
    assert client.post(reverse("admin:walkers_node_delete", args=[leaf.pk]), {"post": "yes"}).status_code == 302
    assert Edge.objects.count() == 0
    action = {"action": "delete_selected", "_selected_action": [str(root.pk)], "post": "yes"}
    assert client.post(reverse("admin:walkers_graph_changelist"), action).status_code == 302
    assert (Graph.objects.count(), Node.objects.count()) == (0, 0)


def test_nothing_is_added_or_changed_by_hand(client: Client, root: Node) -> None:
    for model in MODELS:
        assert client.get(reverse(f"admin:walkers_{model}_add")).status_code == 403
    assert client.post(reverse("admin:walkers_node_change", args=[root.pk]), {"kind": "x"}).status_code == 403
