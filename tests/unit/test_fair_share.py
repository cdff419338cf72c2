"""Slots that nobody takes all of."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from taskhub.fair_share import FairShare


@given(st.integers(1, 32), st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=200))
def test_nobody_holds_more_than_half_and_what_is_given_back_is_there_again(
    slots: int, moves: list[tuple[bool, int]]
) -> None:
    share, held = FairShare(slots), Counter[int]()
    for takes, holder in moves:
        if takes and share.is_open_to(holder):
            share.take(holder)
            held[holder] += 1
        elif not takes and held[holder]:
            share.give_back(holder)
            held[holder] -= 1
        assert 0 <= held.total() <= slots
        assert max(held.values(), default=0) <= (slots + 1) // 2
        assert share.is_open == (held.total() < slots)
        assert set(share.shut_out()) == {one for one in held if held[one] and held[one] >= slots - held.total()}


def greed(share: FairShare, holder: int) -> int:
    """How many slots a holder gets who takes all that he can."""
    taken = 0
    while share.try_take(holder):
        taken += 1
    return taken


def test_each_greedy_holder_gets_half_of_what_the_others_left() -> None:
    share = FairShare(12)
    assert [greed(share, holder) for holder in range(6)] == [6, 3, 2, 1, 0, 0]


@given(st.integers(1, 200), st.integers(1, 5))
def test_greedy_holders_leave_a_slot_for_a_newcomer_while_there_are_enough(slots: int, holders: int) -> None:
    share = FairShare(slots)
    for holder in range(holders):
        greed(share, holder)
    assert share.try_take("newcomer") or slots < 2**holders


def test_nobody_holds_more_than_the_limit() -> None:
    assert greed(FairShare(100, per_holder=3), 1) == 3
