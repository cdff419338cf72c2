"""Graphs, aliases, objects and users through HTTP."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from taskhub.accounts.models import User
from tests.conftest import Person, make_person
from walkers.http.calls import graphs as graph_calls
from walkers.http.calls import objects as object_calls
from walkers.models import Alias, Edge, Graph, Node, Profile
from walkers.services import graphs
from walkers.walks.principal import active_graphs

pytestmark = pytest.mark.django_db
GARBAGE = ["nothing", "", "urn:uuid:x", str(UUID(int=7)), "active:sentinel", "a" * 5000]


def active(person: Person) -> str:
    jid: str = person.get("/js/graph_active_get").json()["jid"]
    return jid


def node(jid: str) -> Node:
    return Node.objects.get(pk=UUID(jid))


def grow(source: Node, kind: str = "", **context: Any) -> Node:
    return graphs.spawn(source=source, kind=kind, context=context, edge="way", edge_context={}).target


def chain(root: Node, length: int) -> list[Node]:
    nodes = [Node(graph_id=root.graph_id, kind=str(index)) for index in range(length)]
    Node.objects.bulk_create(nodes)
    pairs = zip([root, *nodes], nodes, strict=False)
    Edge.objects.bulk_create([Edge(graph_id=root.graph_id, source=a, target=b) for a, b in pairs])
    return nodes


# Graphs


def test_a_user_has_a_graph_as_soon_as_it_is_asked_for(owner: Person) -> None:
    shown = owner.get("/js/graph_active_get").json()
    assert shown == {
        "jid": shown["jid"],
        "type": "graph",
        "name": "",
        "owner": owner.user.jid,
        "created_at": shown["created_at"],
        "active": True,
    }
    assert owner.get("/js/graph_active_get").json() == shown
    assert node(shown["jid"]).is_root


def test_a_new_graph_becomes_active_unless_told_otherwise(owner: Person) -> None:
    first = active(owner)
    second = owner.post("/js/graph_create", {"name": "shop"}).json()
    assert (second["name"], second["active"], active(owner)) == ("shop", True, second["jid"])
    third = owner.post("/js/graph_create", {"set_active": False}).json()
    assert (third["active"], active(owner)) == (False, second["jid"])
    listed = owner.get("/js/graph_list").json()
    assert [graph["jid"] for graph in listed["results"]] == [third["jid"], second["jid"], first]
    assert [graph["active"] for graph in listed["results"]] == [False, True, False]
    assert owner.post("/js/graph_active_set", {"gph": first[9:]}).json()["active"] is True
    assert active(owner) == first


def test_a_list_is_read_in_pages_both_ways(owner: Person) -> None:
    ids = [owner.post("/js/graph_create").json()["jid"] for _ in range(5)][::-1]
    seen: list[list[str]] = []
    previous = ""
    address = "http://127.0.0.1:8000/js/graph_list?limit=2"
    while address:
        page = owner.get(address.removeprefix("http://127.0.0.1:8000")).json()
        seen.append([graph["jid"] for graph in page["results"]])
        assert (page["previous"] is None) == (len(seen) == 1)
        address, previous = page["next"], page["previous"]
    assert seen == [ids[:2], ids[2:4], ids[4:]]
    back = owner.get(previous.removeprefix("http://127.0.0.1:8000")).json()
    assert [graph["jid"] for graph in back["results"]] == ids[2:4]
    assert back["next"]
    assert back["previous"]
    for bad in ("x", "<x", "<" + "0" * 31, ""):
        assert owner.get("/js/graph_list", {"cursor": bad}).status_code == 400
    for limit in (0, 1001, -1, "x"):
        assert owner.get("/js/graph_list", {"limit": limit}).status_code == 400


def test_deleting_the_active_graph_makes_the_newest_other_one_active(owner: Person) -> None:
    first, second = active(owner), owner.post("/js/graph_create").json()["jid"]
    third = owner.post("/js/graph_create").json()["jid"]
    assert owner.post("/js/graph_delete", {"gph": "active:graph"}).json() == {"success": True, "jid": third}
    assert active(owner) == second
    owner.post("/js/graph_delete", {"gph": second})
    owner.post("/js/graph_delete", {"gph": first})
    assert Graph.objects.count() == 0
    assert active(owner) not in {first, second, third}
    assert owner.post("/js/graph_delete", {"gph": first}).status_code == 404


def test_deleting_a_graph_takes_all_it_holds_in_few_statements(owner: Person, django_assert_num_queries: Any) -> None:
    root = node(active(owner))
    nodes = chain(root, 200)
    graphs.connect(source=nodes[-1], target=root, kind="", context={})
    graph = Graph.objects.get()
    with django_assert_num_queries(7):
        graphs.delete_graph(graph=graph)
    assert (Graph.objects.count(), Node.objects.count(), Edge.objects.count()) == (0, 0, 0)
    assert Profile.objects.get().active_graph_id is None


def test_a_graph_is_shown_with_its_nodes_and_edges(owner: Person) -> None:
    root = node(active(owner))
    shelf = grow(root, "shelf", name="hot")
    shown = owner.get("/js/graph_get", {"detailed": "true"}).json()
    assert [(one["kind"], one["type"], one["context"]) for one in shown["nodes"]] == [
        ("shelf", "node", {"name": "hot"}),
        ("root", "graph", {}),
    ]
    edge = shown["edges"][0]
    assert (edge["source"], edge["target"], edge["kind"]) == (root.pk.urn, shelf.pk.urn, "way")
    assert {one["graph"] for one in [*shown["nodes"], edge]} == {root.pk.urn}
    assert (shown["next"], shown["previous"]) == (None, None)
    assert owner.get("/js/graph_get", {"gph": root.pk.urn}).json()["nodes"][0].keys() == {
        "jid",
        "type",
        "kind",
        "context",
    }


def test_a_large_graph_is_shown_in_pages(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    root = node(active(owner))
    chain(root, 5)
    address, nodes, edges = "http://127.0.0.1:8000/js/graph_get?limit=4", [], []
    while address:
        page = owner.get(address.removeprefix("http://127.0.0.1:8000")).json()
        nodes += [one["jid"] for one in page["nodes"]]
        edges += [one["jid"] for one in page["edges"]]
        address = page["next"]
    assert (len(set(nodes)), len(set(edges))) == (len(nodes), len(edges)) == (6, 5)
    monkeypatch.setattr(graph_calls, "EDGES_MAX", 3)
    assert owner.get("/js/graph_get").json()["errors"][0]["pointer"] == "/limit"


@pytest.mark.parametrize("call", ["graph_active_set", "graph_delete", "graph_get"])
@pytest.mark.parametrize("reference", GARBAGE)
def test_what_is_no_graph_is_not_found(owner: Person, call: str, reference: str) -> None:
    assert owner.post(f"/js/{call}", {"gph": reference}).status_code == 404


@pytest.mark.parametrize("call", ["graph_active_set", "graph_delete", "graph_get"])
def test_another_users_graph_is_not_found_and_staff_see_all(
    owner: Person, stranger: Person, colleague: Person, call: str
) -> None:
    jid = active(owner)
    assert stranger.post(f"/js/{call}", {"gph": jid}).status_code == 404
    assert colleague.post(f"/js/{call}", {"gph": jid}).status_code == 200


def test_a_node_is_no_graph(owner: Person) -> None:
    leaf = grow(node(active(owner)))
    assert owner.post("/js/graph_delete", {"gph": leaf.pk.urn}).status_code == 404


def test_names_of_graphs_are_printable_and_not_too_long(owner: Person) -> None:
    for name in ("a\nb", "\x07", "x" * 201):
        assert owner.post("/js/graph_create", {"name": name}).json()["errors"][0]["pointer"] == "/name"


# Aliases


def test_an_alias_is_good_wherever_an_id_is(owner: Person) -> None:
    root = node(active(owner))
    leaf = grow(root, "leaf")
    named = owner.post("/js/alias_register", {"name": "leaf", "value": leaf.pk.urn})
    assert named.json() == {"name": "leaf", "jid": leaf.pk.urn}
    assert owner.get("/js/object_get", {"obj": "leaf"}).json()["kind"] == "leaf"
    assert owner.post("/js/walker_run", {"name": "run", "nd": "leaf"}).json()["final_node"] == leaf.pk.urn
    owner.post("/js/alias_register", {"name": "shop", "value": "active:graph"})
    assert owner.post("/js/graph_get", {"gph": "shop"}).json()["jid"] == root.pk.urn


def test_an_alias_keeps_what_it_named_and_can_be_given_anew(owner: Person) -> None:
    first = active(owner)
    owner.post("/js/alias_register", {"name": "a", "value": "active:graph"})
    second = owner.post("/js/graph_create").json()["jid"]
    owner.post("/js/alias_register", {"name": "b", "value": "a"})
    assert owner.get("/js/object_get", {"obj": "b"}).json()["jid"] == first
    owner.post("/js/alias_register", {"name": "a", "value": "active:graph"})
    assert owner.get("/js/object_get", {"obj": "a"}).json()["jid"] == second
    assert {one["name"]: one["jid"] for one in owner.get("/js/alias_list").json()["results"]} == {
        "a": second,
        "b": first,
    }
    assert Alias.objects.count() == 2


def test_aliases_are_each_users_own(owner: Person, stranger: Person, colleague: Person) -> None:
    owner.post("/js/alias_register", {"name": "mine", "value": "active:graph"})
    for other in (stranger, colleague):
        assert other.get("/js/object_get", {"obj": "mine"}).status_code == 404
        assert other.post("/js/alias_delete", {"name": "mine"}).status_code == 404
        assert other.get("/js/alias_list").json()["results"] == []
    assert owner.post("/js/alias_delete", {"name": "mine"}).json() == {"success": True}
    assert owner.post("/js/alias_delete", {"name": "mine"}).status_code == 404
    assert owner.get("/js/object_get", {"obj": "mine"}).status_code == 404


def test_an_alias_opens_nothing_that_is_anothers(owner: Person, stranger: Person) -> None:
    jid = active(owner)
    assert stranger.post("/js/alias_register", {"name": "x", "value": jid}).status_code == 404
    Alias.objects.create(owner=stranger.user, name="x", target=UUID(jid))
    for path, field in (("object_get", "obj"), ("object_set", "obj"), ("graph_get", "gph"), ("graph_delete", "gph")):
        assert (
            stranger.post(f"/js/{path}", {field: "x", **({"ctx": {}} if path == "object_set" else {})}).status_code
            == 404
        )
    assert stranger.post("/js/walker_run", {"name": "run", "nd": "x"}).status_code == 404


def test_an_alias_of_what_is_gone_is_not_found(owner: Person) -> None:
    owner.post("/js/alias_register", {"name": "old", "value": "active:graph"})
    owner.post("/js/graph_delete", {"gph": "old"})
    assert owner.get("/js/object_get", {"obj": "old"}).status_code == 404
    assert owner.post("/js/walker_run", {"name": "run", "nd": "old"}).status_code == 404
    assert owner.get("/js/alias_list").json()["results"][0]["name"] == "old"


@pytest.mark.parametrize("name", ["", "active:graph", "global", str(UUID(int=7)), "urn:x", "a\x00b", "x" * 201])
def test_what_cannot_be_an_alias_is_refused(owner: Person, name: str) -> None:
    answer = owner.post("/js/alias_register", {"name": name, "value": "active:graph"})
    assert answer.status_code == 400
    assert answer.json()["errors"]


# Objects


def test_each_sort_of_object_is_shown(owner: Person) -> None:
    root = node(active(owner))
    leaf = grow(root, "leaf", color="red")
    edge = Edge.objects.get()
    me = owner.user
    assert me is not None

    def get(obj: str, **more: Any) -> Any:
        return owner.post("/js/object_get", {"obj": obj, **more}).json()

    assert get(leaf.pk.urn) == {"jid": leaf.pk.urn, "type": "node", "kind": "leaf", "context": {"color": "red"}}
    assert get(str(edge.pk))["source"] == root.pk.urn
    assert get("active:graph").items() >= {"jid": root.pk.urn, "type": "graph", "name": "", "context": {}}.items()
    assert get("active:sentinel")["name"] == "global"
    assert get(me.jid) == {
        "id": str(me.pk),
        "jid": me.jid,
        "type": "user",
        "name": "Olga Owner",
        "email": "owner@example.com",
        "active_gph_id": root.pk.urn,
    }
    assert get(me.jid, detailed=True).keys() >= {"created_at", "is_staff"}
    assert get(leaf.pk.urn, detailed=True)["graph"] == root.pk.urn


def test_other_users_objects_are_not_found(owner: Person, stranger: Person, colleague: Person) -> None:
    root = node(active(owner))
    leaf = grow(root)
    assert owner.user is not None
    for jid in (root.pk.urn, leaf.pk.urn, Edge.objects.get().pk.urn, owner.user.jid):
        assert stranger.post("/js/object_get", {"obj": jid}).status_code == 404
        assert colleague.post("/js/object_get", {"obj": jid}).status_code == 200


@pytest.mark.parametrize("reference", [*GARBAGE[:-2], "a" * 5000])
def test_what_is_no_object_is_not_found(owner: Person, reference: str) -> None:
    assert owner.post("/js/object_get", {"obj": reference}).status_code == 404
    assert owner.post("/js/object_set", {"obj": reference, "ctx": {}}).status_code == 404


def test_depth_looks_so_far_around(owner: Person, django_assert_max_num_queries: Any) -> None:
    root = node(active(owner))
    nodes = chain(root, 4)
    graphs.connect(source=nodes[1], target=root, kind="back", context={})

    def around(obj: str, depth: int) -> tuple[list[str], int]:
        shown = owner.post("/js/object_get", {"obj": obj, "depth": depth}).json()
        return [one["kind"] for one in shown["nodes"]], len(shown["edges"])

    assert "nodes" not in owner.post("/js/object_get", {"obj": root.pk.urn, "depth": 0}).json()
    assert around(root.pk.urn, 1) == (["0"], 1)
    assert around(root.pk.urn, 2) == (["0", "1"], 3 - 1)
    assert around(root.pk.urn, 3) == (["0", "1", "2"], 4)
    with django_assert_max_num_queries(15):
        assert around(root.pk.urn, 100) == (["0", "1", "2", "3"], 5)
    first = Edge.objects.order_by("pk")[0]
    kinds, edges = around(first.pk.urn, 1)
    assert (sorted(kinds), edges) == (["0", "root"], 0)
    assert around(first.pk.urn, 2)[1] == 1
    assert around(nodes[3].pk.urn, 5) == ([], 0)
    for depth in (-1, 101, "x", True):
        assert owner.post("/js/object_get", {"obj": root.pk.urn, "depth": depth}).status_code == 400


def test_a_look_around_does_not_grow_without_end(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_calls, "NEIGHBORHOOD_MAX", 10)
    chain(node(active(owner)), 20)
    assert len(owner.get("/js/object_get", {"obj": "active:graph", "depth": 4}).json()["nodes"]) == 4
    answer = owner.get("/js/object_get", {"obj": "active:graph", "depth": 20})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/depth")


def test_a_context_is_changed_key_by_key(owner: Person) -> None:
    leaf = grow(node(active(owner)), "leaf", color="red", size=1)

    def put(**more: Any) -> Any:
        return owner.post("/js/object_set", {"obj": leaf.pk.urn, **more}).json()

    assert put(ctx={"color": "blue"})["context"] == {"color": "blue", "size": 1}
    assert put(ctx={"deep": {"a": None}})["context"] == {"color": "blue", "size": 1, "deep": {"a": None}}
    assert put(ctx={"size": 2}, replace=True)["context"] == {"size": 2}
    edge = Edge.objects.get()
    assert owner.post("/js/object_set", {"obj": edge.pk.urn, "ctx": {"w": 1}}).json()["context"] == {"w": 1}
    assert owner.post("/js/object_set", {"obj": "active:graph", "ctx": {"w": 1}}).json()["type"] == "graph"


def test_what_has_no_context_is_refused(owner: Person) -> None:
    assert owner.user is not None
    for obj in (owner.user.jid, "active:sentinel"):
        answer = owner.post("/js/object_set", {"obj": obj, "ctx": {}})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/obj")
    assert owner.post("/js/object_set", {"obj": "active:graph", "ctx": []}).status_code == 400
    assert owner.post("/js/object_set", {"obj": "active:graph"}).json()["errors"][0]["pointer"] == "/ctx"


def test_a_context_does_not_grow_without_end(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "CONTEXT_MAX", 100)
    assert owner.post("/js/object_set", {"obj": "active:graph", "ctx": {"a": "x" * 60}}).status_code == 200
    answer = owner.post("/js/object_set", {"obj": "active:graph", "ctx": {"b": "x" * 60}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/ctx")
    assert owner.get("/js/object_get", {"obj": "active:graph"}).json()["context"].keys() == {"a"}


# Users


def test_everybody_sees_oneself(owner: Person, anonymous: Person) -> None:
    shown = owner.get("/js/master_self").json()
    assert shown.items() >= {"email": "owner@example.com", "name": "Olga Owner", "active_gph_id": active(owner)}.items()
    assert owner.post("/js/master_self", {"detailed": True}).json()["is_staff"] is False
    assert anonymous.get("/js/master_self").status_code == 401


def test_all_users_are_listed_for_staff_only(owner: Person, colleague: Person, anonymous: Person) -> None:
    assert anonymous.post("/js_admin/master_allusers").status_code == 401
    assert owner.post("/js_admin/master_allusers", {"limit": 0}).status_code == 403
    answer = colleague.post("/js_admin/master_allusers", {"limit": 0, "offset": 0}).json()
    assert answer["total"] == 2
    shown = next(one for one in answer["data"] if one["user"] == "owner@example.com")
    assert owner.user is not None
    assert shown == {
        "id": str(owner.user.pk),
        "user": "owner@example.com",
        "jid": owner.user.jid,
        "name": "Olga Owner",
        "active_gph_id": active(owner),
        "created_date": shown["created_date"],
        "is_activated": True,
        "is_staff": False,
        "is_superuser": False,
    }


def test_users_are_paged_ordered_and_searched(colleague: Person) -> None:
    for index in range(12):
        make_person(f"user{index}@example.com", name=f"Number {index}")

    def users(**arguments: Any) -> tuple[int, list[str]]:
        answer = colleague.get("/js_admin/master_allusers", arguments).json()
        return answer["total"], [one["user"].partition("@")[0] for one in answer["data"]]

    assert users() == (13, [f"user{index}" for index in range(11, 1, -1)])
    assert users(limit=2, offset=1, asc="true") == (13, ["user0", "user1"])
    assert users(limit=0, offset=12) == (13, ["colleague"])
    assert users(search="NUMBER 1") == (3, ["user11", "user10", "user1"])
    assert users(search="user3@") == (1, ["user3"])
    assert users(search="100%") == (0, [])
    for bad in ({"limit": -1}, {"offset": "x"}, {"asc": "maybe"}, {"search": "\x00"}, {"limit": 2**31}):
        assert colleague.get("/js_admin/master_allusers", bad).status_code == 400


def test_listing_users_costs_as_many_queries_for_many_as_for_few(
    colleague: Person, django_assert_num_queries: Any
) -> None:
    User.objects.bulk_create([User(email=f"{index}@example.com") for index in range(50)])
    everybody = colleague.get("/js_admin/master_allusers", {"limit": 0}).json()["data"]
    assert len({one["active_gph_id"] for one in everybody}) == 51
    with django_assert_num_queries(4):
        assert colleague.get("/js_admin/master_allusers", {"limit": 0}).json()["data"] == everybody


def test_graphs_are_given_to_many_users_in_batches(django_assert_max_num_queries: Any) -> None:
    users = User.objects.bulk_create([User(email=f"{index}@example.com") for index in range(2500)])
    with django_assert_max_num_queries(60):
        given = active_graphs(user_ids=[user.pk for user in users])
    assert len(set(given.values())) == Graph.objects.count() == Node.objects.count() == 2500
    assert connection.in_atomic_block
