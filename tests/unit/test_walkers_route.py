"""The way of a walk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walkers.authoring.route import Route, TooManySteps


def walked(graph: dict[int, list[int]], *, limit: int, once: bool) -> list[int]:
    route = Route(0, limit=limit)
    seen = []
    for place in route:
        seen.append(place)
        route.take(graph.get(place, []), once=once)
    return seen


def test_those_taken_first_come_first() -> None:
    assert walked({0: [1, 2], 1: [3], 2: [4]}, limit=10, once=False) == [0, 1, 2, 3, 4]


def test_a_node_is_visited_as_often_as_it_is_taken() -> None:
    assert walked({0: [1, 1, 2], 2: [1]}, limit=10, once=False) == [0, 1, 1, 2, 1]
    assert walked({0: [1, 1, 2], 2: [1, 0]}, limit=10, once=True) == [0, 1, 2]


def test_a_circle_ends_at_the_limit() -> None:
    with pytest.raises(TooManySteps, match="5 steps"):
        walked({0: [1], 1: [0]}, limit=5, once=False)


def test_as_many_steps_as_the_limit_are_allowed() -> None:
    assert len(walked({0: list(range(1, 5))}, limit=5, once=False)) == 5
    with pytest.raises(TooManySteps):
        walked({0: list(range(1, 6))}, limit=5, once=False)


graphs = st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=5))


@given(graphs)
def test_once_reaches_each_node_once(graph: dict[int, list[int]]) -> None:
    seen = walked(graph, limit=10, once=True)
    reachable, waiting = {0}, [0]
    while waiting:
        for place in graph.get(waiting.pop(), []):
            if place not in reachable:
                reachable.add(place)
                waiting.append(place)
    assert sorted(seen) == sorted(reachable)


@given(graphs, st.integers(1, 50))
def test_no_walk_is_longer_than_its_limit(graph: dict[int, list[int]], limit: int) -> None:
    try:
        assert len(walked(graph, limit=limit, once=False)) <= limit
    except TooManySteps as error:
        assert str(limit) in str(error)
