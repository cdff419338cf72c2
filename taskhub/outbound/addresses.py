"""Reads hosts, in one way only, and tells which of the internet's addresses are not public. Pure."""

import ipaddress
import re
from functools import lru_cache

import idna

from taskhub.outbound.errors import Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose address registries (RFC 6890), and what clouds put on addresses of their own. Kept here, since
# the answers of `ipaddress` differ between Python's patch releases. The first network that fits gives the reason.
_SPECIAL = {
    "a metadata service": ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
    "an unspecified address": ("0.0.0.0/8", "::"),
    "a loopback address": ("127.0.0.0/8", "::1"),
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "an address shared behind a carrier": ("100.64.0.0/10",),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "an address for documentation": (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ),
    "an IPv4 address inside an IPv6 address": (
        "::/96",  # compatible
        "::ffff:0:0/96",  # mapped
        "::ffff:0:0:0/96",  # translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 in a local network
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    ),
    "a reserved address": (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        # all of IPv6 but 2000::/3, from which public addresses are given out
        "::/3",
        "4000::/2",
        "8000::/1",
    ),
}
_REASONS = [(ipaddress.ip_network(text), reason) for reason, texts in _SPECIAL.items() for text in texts]

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
# Resolvers read such names as numbers, each in its own way: 0x7f.1, 127.1, 2130706433, 0177.0.0.1.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


@lru_cache(maxsize=4096)
def why_special(address: Address) -> str | None:
    """What keeps `address` from being a public one, such as "a loopback address"; None for a public one."""
    return next((reason for network, reason in _REASONS if address in network), None)


@lru_cache(maxsize=4096)
def read_host(text: str) -> Address | str:
    """The address that `text` spells (IPv6 with or without brackets), or else the name, in lower-case ASCII.

    Raises `Refused` for zones, for numbers in any but the usual form, and for what is no host name.
    """
    if ":" in text:
        return _ipv6(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    name = _ascii(text).removesuffix(".")
    if _NUMBER.fullmatch(name):
        return _ipv4(name)
    if not _NAME.fullmatch(name):
        raise Refused("The address has no host name that can be called.")
    return name


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    if len(text) > 254:
        raise Refused("The address has a host name that is too long.")
    try:
        return idna.encode(text, uts46=True).decode()
    except idna.IDNAError:
        raise Refused("The address has a host name that IDNA does not know.") from None


def _ipv4(text: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise Refused("The address has a host that is a number; write it as in 192.0.2.1.") from None


def _ipv6(text: str) -> ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise Refused("The address has brackets around what is no IPv6 address.") from None
    if address.scope_id:
        raise Refused("The address has a zone in it; zones mean something on one machine only.")
    return address
