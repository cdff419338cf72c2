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


def test_two_greedy_holders_leave_room_for_a_third() -> None:
    share = FairShare(8)
    for holder in ("first", "second"):
        while share.is_open_to(holder):
            share.take(holder)
    assert share.is_open_to("third")
