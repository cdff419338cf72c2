"""Every spelling of an address that is not public is refused, whatever a resolver would make of it."""

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address

import pytest
import requests
from hypothesis import assume, example, given
from hypothesis import strategies as st

from taskhub.outbound import Allow, Policy, Refused, check_url, refusal
from taskhub.outbound.addresses import read_host, why_special
from taskhub.outbound.session import PLAIN_ADDRESS

PUBLIC_ONLY = Policy()

ipv4 = st.ip_addresses(v=4).map(IPv4Address)
ipv6 = st.ip_addresses(v=6).map(IPv6Address)
# IANA's special-purpose registries, and the ranges for multicast.
SPECIAL_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
SPECIAL_V6 = [
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
]
special = st.sampled_from(SPECIAL_V4).flatmap(lambda network: st.ip_addresses(network=network).map(IPv4Address))

# Public by the registries of today, which this Python's `ipaddress` may not know, and yet refused here.
STRICTER = [
    *map(ipaddress.ip_network, ("192.88.99.0/24", "192.0.0.0/24", "168.63.129.16/32", "224.0.0.0/4")),
    *map(ipaddress.ip_network, ("::/3", "4000::/2", "8000::/1", "2001::/23", "2002::/16", "3fff::/20")),
]

# Characters that IDNA maps to digits and dots.
CIRCLED = {ord(digit): 0x245F + int(digit) for digit in "123456789"}
FULLWIDTH = {ord(character): 0xFEE0 + ord(character) for character in "0123456789."}


def parts_of(address: IPv4Address, count: int) -> list[int]:
    """The number in `count` parts, the last of which takes all the remaining bytes (inet_aton)."""
    octets = list(address.packed)
    return [*octets[: count - 1], int.from_bytes(address.packed[count - 1 :])]


@st.composite
def spellings(draw: st.DrawFn, address: IPv4Address) -> str:
    parts = parts_of(address, draw(st.integers(1, 4)))
    forms = st.sampled_from(["{:d}", "0{:o}", "0x{:x}", "0X{:X}", "0x0{:08x}", "000{:o}"])
    text = ".".join(draw(forms).format(part) for part in parts)
    text += draw(st.sampled_from(["", "."]))
    return draw(st.sampled_from([text, text.translate(CIRCLED), text.translate(FULLWIDTH), text.replace(".", "。")]))


@st.composite
def embeddings(draw: st.DrawFn, address: IPv4Address) -> IPv6Address:
    number, anything = int(address), draw(st.integers(0, 2**64 - 1))
    return IPv6Address(
        draw(
            st.sampled_from(
                [
                    number,  # compatible
                    0xFFFF << 32 | number,  # mapped
                    0xFFFF << 48 | number,  # translated
                    0x64FF9B << 96 | number,  # NAT64
                    0x64FF9B0001 << 80 | number,  # NAT64, local
                    0x2002 << 112 | number << 80 | anything,  # 6to4
                    0x20010000 << 96 | number << 64 | anything,  # Teredo, its server
                    0x20010000 << 96 | anything << 32 | number ^ 0xFFFFFFFF,  # Teredo, its client
                ]
            )
        )
    )


@pytest.mark.parametrize("text", SPECIAL_V4 + SPECIAL_V6)
def test_special_networks_are_refused_from_end_to_end(text: str) -> None:
    network = ipaddress.ip_network(text)
    for address in (network[0], network[-1]):
        assert refusal(address, 80, PUBLIC_ONLY)
        with pytest.raises(Refused):
            check_url(f"http://[{address}]" if address.version == 6 else f"http://{address}", PUBLIC_ONLY)


@given(st.data())
def test_every_spelling_of_a_special_address_is_refused(data: st.DataObject) -> None:
    host = data.draw(spellings(data.draw(special)))
    with pytest.raises(Refused):
        check_url(f"http://{host}/", PUBLIC_ONLY)


@given(st.data(), ipv4)
def test_an_address_has_one_spelling(data: st.DataObject, address: IPv4Address) -> None:
    host = data.draw(spellings(address))
    try:
        assert read_host(host) == address
    except Refused:
        assert host != str(address)


@given(st.data())
def test_special_addresses_inside_ipv6_are_refused(data: st.DataObject) -> None:
    address = data.draw(embeddings(data.draw(special)))
    assert refusal(address, 80, PUBLIC_ONLY)
    with pytest.raises(Refused):
        check_url(f"http://[{address}]/", PUBLIC_ONLY)
    with pytest.raises(Refused):
        check_url(f"http://[{address.exploded}]/", PUBLIC_ONLY)


@given(ipv4 | ipv6)
@example(IPv4Address("8.8.8.8"))
@example(IPv6Address("2606:4700::1111"))
@example(IPv6Address("fd00:ec2::254"))
def test_agrees_with_ipaddress(address: IPv4Address | IPv6Address) -> None:
    stricter = any(address in network for network in STRICTER)
    assert (why_special(address) is not None) == (stricter or not address.is_global)


@given(ipv4 | ipv6)
def test_a_listed_network_lets_its_own_addresses_through(address: IPv4Address | IPv6Address) -> None:
    listed = Policy(allow=Allow.parse([str(address)]))
    assert refusal(address, 80, listed) is None
    neighbour = type(address)(int(address) ^ 1)
    assert refusal(neighbour, 80, listed) == why_special(neighbour)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("169.254.169.254", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("168.63.129.16", "a metadata service"),
        ("fd00:ec2::254", "a metadata service"),
        ("0.0.0.0", "an unspecified address"),
        ("::", "an unspecified address"),
        ("127.8.8.8", "a loopback address"),
        ("::1", "a loopback address"),
        ("192.168.1.1", "a private address"),
        ("fe80::1", "a link-local address"),
        ("100.64.0.1", "an address shared behind a carrier"),
        ("255.255.255.255", "a reserved address"),
        ("::ffff:8.8.8.8", "an IPv4 address inside an IPv6 address"),
        ("ff02::1", "a multicast address"),
    ],
)
def test_reasons(address: str, reason: str) -> None:
    assert why_special(ipaddress.ip_address(address)) == reason


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("ⓔxample。com。", "example.com"),
        ("under_score.example", "under_score.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("9.9.9.9.", IPv4Address("9.9.9.9")),
        ("[2606:4700::0011]", IPv6Address("2606:4700::11")),
        ("2606:4700::11", IPv6Address("2606:4700::11")),
    ],
)
def test_hosts_are_read_one_way(text: str, host: object) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a..b",
        "-%2d",
        "exa mple.com",
        "exa%6dple.com",
        "a\\b",
        "a/b",
        "[1.2.3.4]",
        "[::1",
        "::1]",
        "[]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "0x",
        "host.1",
        "a" * 64,
        "a." * 127 + "com",
        "ü" * 300,
        "xn--\u00ad",
        "a\u200db",
        "*.example.com",
        "٣.1.1.1",
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_host(text)


@given(st.from_regex(PLAIN_ADDRESS, fullmatch=True))
def test_requests_leaves_a_plain_address_as_it_is(address: str) -> None:
    port = re.match(r"https?://[^:/]*:(\d+)", address)
    assume(not port or int(port[1]) < 65536)
    assert requests.Request("GET", address).prepare().url == address


@pytest.mark.parametrize(
    "end", ["/a/../b", "/./a", "/a%2fb", "/a b", "/a#b", "", "?a=b", "/ü", "/a?b#c", '/a"b', "/a\\b"]
)
def test_an_address_that_may_be_written_otherwise_is_not_plain(end: str) -> None:
    assert not PLAIN_ADDRESS.fullmatch(f"http://h.example{end}")
    assert not PLAIN_ADDRESS.fullmatch(f"http://H.example/{end}")
    assert not PLAIN_ADDRESS.fullmatch(f"http://u@h.example/{end}")
