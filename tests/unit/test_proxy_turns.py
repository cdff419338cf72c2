"""Proxies take turns, and one that fails rests, in all slices of its process."""

import asyncio
from collections.abc import Iterable
from typing import Any

from extraction.fetch.proxy_turns import REST_SECONDS, ProxyTurns


class SharedValues:
    """What slices share, without Redis."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get_all_shared(self, kind: str, names: Iterable[str]) -> list[bytes | None]:
        return [self.values.get(f"{kind}:{name}") for name in names]

    async def set_shared(self, kind: str, name: str, value: bytes, seconds: int) -> None:
        self.values[f"{kind}:{name}"] = value


def proxy_turns(addresses: list[str], process: object = 1, **options: Any) -> ProxyTurns:
    return ProxyTurns(addresses, process, options.pop("hosts", SharedValues()), **options)


def test_proxies_take_turns() -> None:
    now = [0.0]
    turns = proxy_turns(["a", "b", "c"], clock=lambda: now[0])
    assert [turns.take() for _ in range(4)] == ["a", "b", "c", "a"]
    assert asyncio.run(turns.rest("b"))
    assert [turns.take() for _ in range(3)] == ["c", "a", "c"]
    now[0] += 1
    assert asyncio.run(turns.rest("a"))
    assert asyncio.run(turns.rest("c"))
    assert turns.take() == "b"  # rests for longest
    now[0] += REST_SECONDS - 1
    assert {turns.take() for _ in range(3)} == {"b"}
    now[0] += 1
    assert {turns.take() for _ in range(3)} == {"a", "b", "c"}


def test_one_proxy_or_none_has_no_turns() -> None:
    assert proxy_turns([]).take() == ""
    alone = proxy_turns(["a"])
    assert not asyncio.run(alone.rest("a"))
    assert [alone.take(), alone.take()] == ["a", "a"]


def test_what_rests_rests_in_each_slice_of_its_process() -> None:
    shared, addresses = SharedValues(), ["http://ann:s3cret@a.example", "http://b.example"]
    now = [100.0]

    def begin_slice(process: int) -> ProxyTurns:
        turns = proxy_turns(addresses, process, hosts=shared, clock=lambda: now[0])
        asyncio.run(turns.load())
        return turns

    assert asyncio.run(begin_slice(1).rest(addresses[0]))
    assert [begin_slice(1).take() for _ in range(2)] == [addresses[1]] * 2
    assert begin_slice(2).take() == addresses[0]
    assert "s3cret" not in repr(shared.values)
    now[0] += REST_SECONDS
    assert begin_slice(1).take() == addresses[0]
