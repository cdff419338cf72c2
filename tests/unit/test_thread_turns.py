"""Turns at threads: one client's calls do not stand before another's."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taskhub.web.front.thread_turns import ThreadTurns, WebClient, client_of

FLOOD, USER, OTHER = WebClient("192.0.2.1", ("", "", "")), WebClient("192.0.2.1", ("t", "", "")), WebClient("::1", ())


@asynccontextmanager
async def turn(turns: ThreadTurns, client: WebClient) -> AsyncIterator[None]:
    await turns.take(client)
    try:
        yield
    finally:
        turns.give_back(client)


async def order_of(*clients: WebClient, gone: int | None = None) -> list[int]:
    """The order in which calls get the only turn that there is, once they all wait; one of them may give up."""
    turns, order = ThreadTurns(1), list[int]()

    async def call(number: int) -> None:
        async with turn(turns, clients[number]):
            order.append(number)

    async with turn(turns, OTHER):
        calls = [asyncio.create_task(call(number)) for number in range(len(clients))]
        await asyncio.sleep(0)
        assert turns.count_waiting == len(clients)
        if gone is not None:
            calls[gone].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert turns.count_waiting == 0
    async with turn(turns, FLOOD):  # it is free again
        pass
    return order


def test_callers_take_turns_however_many_calls_each_has() -> None:
    assert asyncio.run(order_of(FLOOD, FLOOD, FLOOD, USER)) == [0, 3, 1, 2]


def test_addresses_take_turns_however_many_callers_each_has() -> None:
    many = [FLOOD._replace(credentials=(str(number),)) for number in range(4)]
    assert asyncio.run(order_of(*many, OTHER, OTHER)) == [0, 4, 1, 5, 2, 3]


@pytest.mark.parametrize(
    ("threads", "greedy", "held"),
    [(8, 1, [4]), (8, 2, [4, 2]), (64, 4, [32, 16, 8, 4]), (2, 1, [1]), ((64, 12), 5, [12, 12, 12, 12, 8])],
)
def test_long_calls_of_some_leave_threads_for_the_next(threads: Any, greedy: int, held: list[int]) -> None:
    threads, *limit = threads if isinstance(threads, tuple) else (threads,)
    clients = [USER._replace(credentials=(str(number),)) for number in range(greedy)]
    begun, end = Counter[WebClient](), asyncio.Event()

    async def call(turns: ThreadTurns, client: WebClient) -> None:
        async with turn(turns, client):
            begun[client] += 1
            await end.wait()

    async def act() -> None:
        turns = ThreadTurns(threads, *limit)
        calls = []
        for client in clients:
            calls += [asyncio.create_task(call(turns, client)) for _ in range(threads)]
            await asyncio.sleep(0)
        assert [begun[client] for client in clients] == held
        assert not turns.all_are_taken
        async with asyncio.timeout(30), turn(turns, OTHER):
            pass
        end.set()
        await asyncio.gather(*calls)
        assert [begun[client] for client in clients] == [threads] * greedy

    asyncio.run(act())


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_who_does_not_wait_any_more_is_left_out(gone: int) -> None:
    expected = [number for number in (0, 2, 1) if number != gone]
    assert asyncio.run(order_of(FLOOD, FLOOD, USER, gone=gone)) == expected


def test_a_turn_that_comes_as_its_caller_leaves_is_passed_on() -> None:
    async def act() -> None:
        turns = ThreadTurns(1)

        async def call() -> None:
            async with turn(turns, USER):
                pass

        async with turn(turns, FLOOD):
            leaving = asyncio.create_task(call())
            await asyncio.sleep(0)
        leaving.cancel()  # after its turn was given to it, and before it knows
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.wait_for(call(), 30)

    asyncio.run(act())


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("", 0, "127.0.0.1"),
        ("192.0.2.7", 0, "127.0.0.1"),
        ("192.0.2.66, 192.0.2.7", 1, "192.0.2.7"),
        ("192.0.2.66, 192.0.2.7, 192.0.2.8", 2, "192.0.2.7"),
        ("192.0.2.7", 2, "192.0.2.7"),
        ("", 1, "127.0.0.1"),
    ],
)
def test_the_address_is_what_the_nearest_proxies_say(forwarded: str, proxies: int, address: str) -> None:
    environ: dict[str, Any] = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_of(environ, proxies) == WebClient(address, ("", "", ""))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_a_client_is_the_network_that_it_was_given(address: str, network: str) -> None:
    assert client_of({"REMOTE_ADDR": address}, 0).address == network
    assert client_of({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": address}, 1).address == (network or "10.0.0.1")
