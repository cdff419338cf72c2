"""What walkers do to graphs: nodes, edges, contexts, the ways between them; and what happens when two do it at once."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils.datastructures import MultiValueDict

from taskhub.errors import NotFound
from tests.conftest import Person
from walkers.authoring.places import Place
from walkers.authoring.sentinels import WalkerDefinition
from walkers.authoring.walker import Walk, Walker
from walkers.models import Edge, Graph, Node, Profile
from walkers.services import graphs
from walkers.walks.principal import activate_graph, active_context
from walkers.walks.walk_execution import WalkerFailed, walk_now

pytestmark = pytest.mark.django_db
Visit = Callable[[Any, Place], Any]


def walker(visit: Visit, **options: Any) -> type[Walker]:
    return type("Tested", (Walker,), {"visit": visit, **options})


def walk(person: Person, visit: Visit, start: UUID | None = None, **options: Any) -> list[Any]:
    """The report of a walker that is made of one function, from the active graph's root or from `start`."""
    definition = WalkerDefinition.of(walker(visit, **options), "shop")
    node_id = start or active_context(user=person.user).graph_id
    walk = Walk({}, node_id, person.user, MultiValueDict(), time_limit=definition.time_limit)
    report: list[Any] = walk_now(definition, walk)["report"]
    return report


def contexts() -> dict[str, Any]:
    return {node.kind: node.context for node in Node.objects.all()}


def test_a_walker_builds_a_graph_and_finds_its_way(owner: Person) -> None:
    def build(self: Walker, here: Place) -> None:
        shelf = here.spawn("shelf", {"name": "hot"}, via="has", way={"since": 2026})
        tea = shelf.spawn("tea", via="holds")
        here.connect(tea, "likes", {"much": True})
        self.report([place.kind for place in here.out()])
        self.report([place.kind for place in here.out("tea")])
        self.report([place.kind for place in here.out(via="has")])
        self.report([place.kind for place in tea.in_()])
        self.report([(way.kind, way.context, way.target.kind, way.source is here) for way in here.ways()])
        self.report([way.kind for way in here.ways("likes")] + [way.kind for way in here.ways(to=shelf)])
        self.report([here.out()[0] is shelf, tea.jid == tea.id.urn])

    assert walk(owner, build) == [
        ["shelf", "tea"],
        ["tea"],
        ["shelf"],
        ["shelf", "root"],
        [["has", {"since": 2026}, "shelf", True], ["likes", {"much": True}, "tea", True]],
        ["likes", "has"],
        [True, True],
    ]
    assert (Node.objects.count(), Edge.objects.count()) == (3, 3)


def test_nodes_and_edges_can_be_reported(owner: Person) -> None:
    def build(self: Walker, here: Place) -> None:
        leaf = here.spawn("leaf", {"a": 1}, via="way")
        self.report([leaf, *here.ways()])

    leaf, way = walk(owner, build)[0]
    assert leaf == {"jid": leaf["jid"], "kind": "leaf", "context": {"a": 1}}
    assert way.items() >= {"kind": "way", "target": leaf["jid"], "context": {}}.items()


def test_what_is_changed_in_a_context_is_stored(owner: Person) -> None:
    def change(self: Walker, here: Place) -> None:
        here.context["list"] = [1]
        here.context["list"].append(True)
        leaf = here.spawn("leaf", {"a": 1})
        leaf.context = {"b": 2}
        way = here.ways()[0]
        way.context["w"] = 1

    walk(owner, change)
    assert contexts() == {"root": {"list": [1, True]}, "leaf": {"b": 2}}
    assert Edge.objects.get().context == {"w": 1}
    walk(owner, lambda self, here: here.context["list"].__setitem__(0, True))
    assert contexts()["root"]["list"][0] is True


def test_a_context_that_is_only_read_is_not_written(owner: Person, django_assert_num_queries: Any) -> None:
    active_context(user=owner.user)
    with django_assert_num_queries(4):  # active context, savepoint, node, release
        assert walk(owner, lambda self, here: self.report([here.context, here.kind])) == [[{}, "root"]]


def test_what_is_changed_through_a_kept_reference_is_stored_too(owner: Person) -> None:
    def visit(self: Any, here: Place) -> None:
        if here is self.start:
            self.kept = here.context
            self.take(here.spawn("leaf"))
        else:
            self.kept["late"] = 1

    walk(owner, visit)
    assert contexts()["root"] == {"late": 1}


@pytest.mark.parametrize(
    ("visit", "word"),
    [
        (lambda self, here: here.spawn("x" * 101), "kind"),
        (lambda self, here: here.spawn("a\nb"), "kind"),
        (lambda self, here: here.spawn("a", {"b": {1}}), ".b"),
        (lambda self, here: here.spawn("a", ["b"]), "object"),
        (lambda self, here: here.delete(), "root"),
        (lambda self, here: here.context.update(a=float("nan")), ".a"),
    ],
)
def test_what_cannot_be_stored_fails_the_walk(owner: Person, visit: Visit, word: str) -> None:
    with pytest.raises(WalkerFailed, match=word):
        walk(owner, visit)


def test_an_edge_joins_nodes_of_one_graph(owner: Person, stranger: Person) -> None:
    graph_id = active_context(user=stranger.user).graph_id

    def visit(self: Any, here: Place) -> None:
        here.connect(self._walk._session.place(graph_id))

    with pytest.raises(WalkerFailed, match="one graph"):
        walk(owner, visit)


def test_a_deleted_node_is_not_visited_and_takes_its_edges_along(owner: Person) -> None:
    def visit(self: Walker, here: Place) -> None:
        self.report(here.kind)
        if here is self.start:
            first, second = here.spawn("first"), here.spawn("second")
            first.connect(second)
            ways = first.ways()
            ways[0].context["changed"] = True
            self.take([first, second])
            first.delete()
            self.report([first.is_deleted, ways[0].is_deleted, second.is_deleted])

    assert walk(owner, visit) == ["root", [True, True, False], "second"]
    assert (Node.objects.count(), Edge.objects.count()) == (2, 1)


def test_an_edge_is_deleted_without_its_nodes(owner: Person) -> None:
    def visit(self: Walker, here: Place) -> None:
        here.spawn("leaf")
        here.ways()[0].delete()
        self.report(here.out())

    assert walk(owner, visit) == [[]]
    assert Node.objects.count() == 2


def test_two_edges_to_one_node_lead_to_it_once(owner: Person) -> None:
    def visit(self: Walker, here: Place) -> None:
        leaf = here.spawn("leaf")
        here.connect(leaf)
        here.connect(here)
        self.report([len(here.out()), len(here.ways()), len(leaf.in_())])

    assert walk(owner, visit) == [[2, 3, 1]]


def test_a_circle_is_walked_once_or_until_the_steps_are_over(owner: Person, settings: Any) -> None:
    def grow(self: Walker, here: Place) -> None:
        here.spawn("a").spawn("b").connect(here)

    walk(owner, grow)
    assert walk(owner, lambda self, here: (self.report(here.kind), self.take(here.out(), once=True))) == [
        "root",
        "a",
        "b",
    ]
    settings.WALK_STEPS_MAX = 50
    with pytest.raises(WalkerFailed, match="50 steps"):
        walk(owner, lambda self, here: self.take(here.out()))


def test_skip_leaves_the_node_and_disengage_the_walk(owner: Person) -> None:
    def visit(self: Walker, here: Place) -> None:
        if here is self.start:
            self.take([here.spawn(kind) for kind in "abc"])
        here.context["seen"] = True
        self.report(here.kind)
        if here.kind == "b":
            self.disengage()
        self.skip()
        self.report("never")  # type: ignore[unreachable]

    def finish(self: Walker) -> None:
        self.report("finished")
        self.skip()

    assert walk(owner, visit, finish=finish) == ["root", "a", "b", "finished"]
    assert contexts() == {"root": {"seen": True}, "a": {"seen": True}, "b": {"seen": True}, "c": {}}


def test_get_botset_reports_what_is_below(owner: Person) -> None:
    def grow(self: Walker, here: Place) -> None:
        here.spawn("bot", {"name": "a"}).spawn("part", {"name": "b"}).connect(here)

    walk(owner, grow)
    report = owner.post("/js/walker_run", {"name": "get_botset"}).json()["report"]
    assert [(one["kind"], one["context"]["name"]) for one in report] == [("bot", "a"), ("part", "b")]
    below = owner.post("/js/walker_run", {"name": "get_botset", "nd": report[1]["jid"]}).json()["report"]
    assert [one["kind"] for one in below] == ["root", "bot"]


def test_a_node_that_is_gone_fails_the_walk(owner: Person) -> None:
    def visit(self: Walker, here: Place) -> None:
        leaf = here.spawn("leaf", {"a": 1})
        Node.objects.filter(pk=leaf.id).delete()
        leaf.context["a"] = 2

    with pytest.raises(WalkerFailed, match="gone"):
        walk(owner, visit)


# At once


def together(*works: Callable[[], Any]) -> list[BaseException]:
    """All at the same time, each in a thread with a connection of its own; what they raised."""
    raised: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def do(work: Callable[[], Any]) -> None:
        try:
            barrier.wait()
            work()
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.django_db(transaction=True)
def test_first_calls_at_once_make_one_graph(owner: Person) -> None:
    assert not together(*[lambda: active_context(user=owner.user)] * 8)
    assert (Graph.objects.count(), Node.objects.count(), Profile.objects.count()) == (1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_walks_at_once_that_lock_lose_no_count(owner: Person) -> None:
    active_context(user=owner.user)

    def count(self: Walker, here: Place) -> None:
        here.lock()
        here.context["calls"] = here.context.get("calls", 0) + 1

    assert not together(*[lambda: walk(owner, count)] * 10)
    assert contexts()["root"] == {"calls": 10}


@pytest.mark.django_db(transaction=True)
def test_keys_that_are_set_at_once_are_all_there(owner: Person) -> None:
    active_context(user=owner.user)

    def put(key: str) -> Callable[[], None]:
        return lambda: owner.post("/js/object_set", {"obj": "active:graph", "ctx": {key: 1}})

    assert not together(*[put(key) for key in "abcdefgh"])
    assert contexts()["root"].keys() == set("abcdefgh")


@pytest.mark.django_db(transaction=True)
def test_a_graph_deleted_under_a_walk_leaves_nothing_behind(owner: Person) -> None:
    graph = Graph.objects.get(pk=active_context(user=owner.user).graph_id)
    spawned, deleted = threading.Event(), threading.Event()

    def grow(self: Walker, here: Place) -> None:
        here.spawn("leaf")
        spawned.set()
        deleted.wait(10)

    def delete() -> None:
        spawned.wait(10)
        graphs.delete_graph(graph=graph)
        deleted.set()

    raised = together(lambda: walk(owner, grow), delete)
    assert [type(error) for error in raised] == [WalkerFailed]
    assert "meanwhile" in str(raised[0])
    assert (Graph.objects.count(), Node.objects.count(), Edge.objects.count()) == (0, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_walk_that_ends_while_its_graph_is_deleted_is_deleted_with_it(owner: Person) -> None:
    graph = Graph.objects.get(pk=active_context(user=owner.user).graph_id)
    for _ in range(5):
        together(
            lambda: walk(owner, lambda self, here: self.report(here.spawn("leaf"))),
            partial(graphs.delete_graph, graph=graph),
        )
        assert Node.objects.filter(graph_id=graph.pk).count() == 0
        graph = Graph.objects.get(pk=active_context(user=owner.user).graph_id)


@pytest.mark.django_db(transaction=True)
def test_a_graph_is_made_active_or_deleted_never_both(owner: Person) -> None:
    active_context(user=owner.user)
    for _ in range(5):
        graph = graphs.create_graph(owner=owner.user)
        raised = together(
            partial(activate_graph, user=owner.user, graph=graph),
            partial(graphs.delete_graph, graph=graph),
        )
        assert all(isinstance(error, Graph.DoesNotExist) for error in raised)
        active = active_context(user=owner.user).graph_id
        assert active != graph.pk
        assert Graph.objects.filter(pk=active).exists()


@pytest.mark.django_db(transaction=True)
def test_a_graph_is_deleted_once(owner: Person) -> None:
    graph = graphs.create_graph(owner=owner.user)
    raised = together(*[lambda: graphs.delete_graph(graph=graph)] * 4)
    assert [type(error) for error in raised] == [NotFound] * 3


@pytest.mark.django_db(transaction=True)
def test_a_lock_needs_a_transaction(owner: Person) -> None:
    with pytest.raises(WalkerFailed, match="transaction"):
        walk(owner, lambda self, here: here.lock(), atomic=False)
