"""What `Host` and `Origin` may say to a hub in its private home."""

import pytest

from taskhub.web.hub_names import HubNames, is_loopback

LOCAL = HubNames.of("127.0.0.1", "127.0.0.1")
NAMED = HubNames.of("10.0.0.7", "hub.example.com", ".lan.example")
EVERYWHERE = HubNames.of("0.0.0.0", "127.0.0.1")


@pytest.mark.parametrize(
    ("names", "host"),
    [
        *[
            (LOCAL, host)
            for host in ("localhost", "LOCALHOST:8000", "localhost.:80", "127.0.0.1:1", "[::1]:8000", "[0::1]")
        ],
        *[
            (NAMED, host)
            for host in ("10.0.0.7:8000", "Hub.Example.com", "a.b.lan.example", "lan.example", "localhost")
        ],
        *[(EVERYWHERE, host) for host in ("192.168.1.5:8000", "[fe80::1]", "[2001:DB8::1]:80", "localhost")],
        (HubNames.of("::"), "192.168.1.5"),
        (HubNames.of("::1"), "[::1]:8000"),
    ],
)
def test_own_names_are_taken(names: HubNames, host: str) -> None:
    assert names.has_host(host)
    assert names.has_origin(f"http://{host}", host)
    assert names.has_origin(f"https://{host}", host)


FOREIGN = [
    "rebound.example",
    "rebound.example:8000",
    "localhost.rebound.example",
    "127.0.0.1.rebound.example",
    "127.0.0.1.nip.io:8000",
    "xlocalhost",
    "10.0.0.8",
    "",
    "localhost,rebound.example",
    "rebound.example,localhost",
    "rebound.example@localhost",
    "localhost@rebound.example",
    "rebound.example#localhost",
    "rebound.example\\@localhost",
    "localhost:80:80",
    "localhost:x",
    "[::1",
    "[rebound.example]",
    "lan.example.rebound.example",
    "xlan.example",
]


@pytest.mark.parametrize("names", [LOCAL, NAMED], ids=["local", "named"])
@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_not(names: HubNames, host: str) -> None:
    assert not names.has_host(host)
    assert not names.has_origin(f"http://{host}", "localhost")


@pytest.mark.parametrize("host", [host for host in FOREIGN if host != "10.0.0.8"])
def test_a_hub_on_all_addresses_takes_addresses_and_no_names(host: str) -> None:
    assert not EVERYWHERE.has_host(host)


@pytest.mark.parametrize(
    "origin", ["null", "file://", "", "http://", "chrome-extension://localhost", "http://localhost/", "localhost"]
)
def test_what_is_no_page_of_this_host_is_no_origin(origin: str) -> None:
    assert not LOCAL.has_origin(origin, "localhost")


def test_a_page_on_another_address_is_another_host() -> None:
    assert EVERYWHERE.has_origin("http://192.168.1.5:8000", "192.168.1.5:8000")
    assert not EVERYWHERE.has_origin("http://203.0.113.9", "192.168.1.5:8000")


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost", "LocalHost")],
        *[(host, False) for host in ("0.0.0.0", "::", "", "10.0.0.7", "hub.lan", "127.1", "localhost.lan", "fe80::1")],
    ],
)
def test_what_hears_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
