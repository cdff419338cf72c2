"""Slots that users share: one more only while more are free than one has, so a newcomer finds one."""

import threading
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.db.fair_semaphore import FairSemaphore, Shares
from taskhub.errors import Unavailable

USERS = [UUID(int=number) for number in range(6)]


def greed(shares: Shares, user: UUID) -> int:
    """How many places a user gets who takes all that he can."""
    taken = 0
    while shares.take(user):
        taken += 1
    return taken


def test_each_greedy_user_gets_half_of_what_the_others_left() -> None:
    shares = Shares(12)
    assert [greed(shares, user) for user in USERS] == [6, 3, 2, 1, 0, 0]


@given(st.integers(1, 200), st.integers(1, 5))
def test_greedy_users_leave_a_place_for_a_newcomer_while_there_are_enough(places: int, users: int) -> None:
    shares = Shares(places)
    for user in USERS[:users]:
        greed(shares, user)
    assert shares.take(USERS[5]) or places < 2**users


@given(st.integers(1, 20), st.lists(st.tuples(st.booleans(), st.sampled_from(USERS)), max_size=100))
def test_what_is_given_back_can_be_taken_again(places: int, moves: list[tuple[bool, UUID]]) -> None:
    shares, held = Shares(places), dict.fromkeys(USERS, 0)
    for takes, user in moves:
        if takes:
            may = held[user] < places - sum(held.values())
            assert shares.take(user) == may
            held[user] += may
        elif held[user]:
            shares.give_back(user)
            held[user] -= 1


def test_a_user_has_no_more_than_the_limit() -> None:
    assert greed(Shares(100, per_user=3), USERS[0]) == 3


@pytest.mark.django_db
def test_who_finds_no_slot_is_told_to_come_again() -> None:
    semaphore = FairSemaphore(1, "Too many.")
    with semaphore.acquire(USERS[0]), pytest.raises(Unavailable, match="Too many"), semaphore.acquire(USERS[1]):
        pass
    with semaphore.acquire(USERS[1]):
        pass


@pytest.mark.django_db
def test_slots_go_to_those_who_waited_in_the_order_in_which_they_came() -> None:
    semaphore, order, begun = FairSemaphore(1, "Too many."), list[int](), threading.Event()

    def take(number: int) -> None:
        with semaphore.acquire(USERS[number], patience=30):
            order.append(number)

    with semaphore.acquire(USERS[0]):
        threads = []
        for number in (1, 2, 3):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(semaphore._waiters) < number:
                begun.wait(0.01)
    for thread in threads:
        thread.join(30)
    assert order == [1, 2, 3]
