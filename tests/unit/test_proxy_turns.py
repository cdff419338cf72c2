"""Proxies take turns, and one that fails rests."""

from extraction.fetch.proxy_turns import REST_SECONDS, ProxyTurns


def test_proxies_take_turns() -> None:
    now = [0.0]
    turns = ProxyTurns(["a", "b", "c"], clock=lambda: now[0])
    assert [turns.take() for _ in range(4)] == ["a", "b", "c", "a"]
    assert turns.rest("b")
    assert [turns.take() for _ in range(3)] == ["c", "a", "c"]
    now[0] += 1
    assert turns.rest("a")
    assert turns.rest("c")
    assert turns.take() == "b"  # rests for longest
    now[0] += REST_SECONDS - 1
    assert {turns.take() for _ in range(3)} == {"b"}
    now[0] += 1
    assert {turns.take() for _ in range(3)} == {"a", "b", "c"}


def test_one_proxy_or_none_has_no_turns() -> None:
    assert ProxyTurns([]).take() == ""
    alone = ProxyTurns(["a"])
    assert not alone.rest("a")
    assert [alone.take(), alone.take()] == ["a", "a"]
