"""Paths of steps: their order in the program, and what they belong to."""

from hypothesis import given
from hypothesis import strategies as st

from sequences.domain.step_paths import lineage, order_in_program

IN_ORDER = [
    "requests[0]",
    "requests[0].parallel.branches[0][0]",
    "requests[0].parallel.branches[0][1]",
    "requests[0].parallel.branches[1][0]",
    "requests[0].parallel.branches[10][0]",
    "requests[1]",
    "requests[1].__def_loop__[2].filter",
    "requests[1].__def_loop__[2].requests[0]",
    "requests[1].__def_loop__[2].requests[0].catch[0]",
    "requests[1].__def_loop__[2].requests[1]",
    "requests[1].__def_loop__[10].requests[0]",
    "requests[1].__def_loop__[1000000].requests[0]",
    "requests[1].break",
    "requests[1].catch[0]",
    "requests[2]",
    "requests[2].call.requests[0]",
    "requests[2].call.requests[0].catch[9]",
    "requests[2].call.requests[0].catch[10]",
    "requests[2].call.on_failure[0]",
    "requests[2].call.finally[0]",
    "requests[2].when",
    "requests[2].catch[0]",
    "requests[10]",
    "on_failure[0]",
    "finally[0]",
]


@given(st.permutations(IN_ORDER))
def test_paths_sort_as_their_steps_stand_in_the_text(paths: list[str]) -> None:
    assert sorted(paths, key=order_in_program) == IN_ORDER


def test_a_path_names_all_that_it_belongs_to() -> None:
    assert lineage("requests[1].__def_loop__[2].requests[0].parallel.branches[3][1].call.finally[0]") == [
        "requests[1]",
        "requests[1].__def_loop__[2]",
        "requests[1].__def_loop__[2].requests[0]",
        "requests[1].__def_loop__[2].requests[0].parallel.branches[3]",
        "requests[1].__def_loop__[2].requests[0].parallel.branches[3][1]",
        "requests[1].__def_loop__[2].requests[0].parallel.branches[3][1].call.finally[0]",
    ]
    assert lineage("requests[1].break") == ["requests[1]", "requests[1].break"]
