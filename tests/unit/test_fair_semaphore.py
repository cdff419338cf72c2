"""Slots of a process that users wait for."""

import threading
from uuid import UUID

import pytest

from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Unavailable

USERS = [UUID(int=number) for number in range(6)]


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
