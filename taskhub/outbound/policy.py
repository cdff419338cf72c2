"""The policy of the gate: which addresses may be called, and how much they may answer."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from taskhub.outbound.addresses import Address, Network, read_host, why_special
from taskhub.outbound.errors import Refused

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PORTS = {"http": 80, "https": 443, "sftp": 22, "socks5": 1080, "socks5h": 1080}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL = re.compile(r"(https?)://([^/?#]*)([/?#].*)?", re.IGNORECASE)
_PROXY_URL = re.compile(r"(https?|socks5h?)://([^/?#]*)([/?#].*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:\s]+)(?::([0-9]{0,5}))?")


@dataclass(frozen=True)
class Allow:
    """Exceptions: networks and names that may be called although they are not public. A port of None is any port."""

    networks: tuple[tuple[Network, int | None], ...] = ()
    names: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Reads `10.1.0.0/16`, `10.1.2.3`, `10.1.2.3:8080`, `[fd00::1]:8080`, `crawler.internal`, `crawler.internal:80`
        and the word `loopback`. A name stands for itself alone, and for every address that it leads to.

        Raises `ValueError` that says which entry is none of these.
        """
        networks: list[tuple[Network, int | None]] = []
        names: set[tuple[str, int | None]] = set()
        for entry in entries:
            for host, port in _read_entry(entry):
                if isinstance(host, str):
                    names.add((host, port))
                else:
                    networks.append((host, port))
        return cls(tuple(networks), frozenset(names))

    def has_name(self, name: str, port: int) -> bool:
        return (name, None) in self.names or (name, port) in self.names

    def has_address(self, address: Address, port: int) -> bool:
        return any(address in network and allowed_port in (None, port) for network, allowed_port in self.networks)


@dataclass(frozen=True)
class Policy:
    """What a call may do. Times are in seconds; `total_timeout` is from the call to the last byte, redirects included.

    `max_bytes` limits one body after it is decompressed; on the wire it may take twice that, for chunks have frames.
    """

    allow: Allow = field(default_factory=Allow)
    connect_timeout: float = 10
    read_timeout: float = 60
    total_timeout: float = 300
    max_bytes: int = 16 * 1024 * 1024
    max_redirects: int = 10


@dataclass(frozen=True)
class Target:
    """Where an address leads: its origin (RFC 6454)."""

    scheme: str
    host: Address | str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, ipaddress.IPv6Address) else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def configured_policy() -> Policy:
    """The policy of the settings OUTBOUND_ALLOW (see `Allow.parse`), OUTBOUND_CONNECT_TIMEOUT, OUTBOUND_READ_TIMEOUT,
    OUTBOUND_TOTAL_TIMEOUT (seconds), OUTBOUND_MAX_BYTES and OUTBOUND_MAX_REDIRECTS."""
    try:
        allow = Allow.parse(settings.OUTBOUND_ALLOW)
    except ValueError as error:
        raise ImproperlyConfigured(f"TASKHUB_OUTBOUND_ALLOW: {error}") from None
    return Policy(
        allow=allow,
        connect_timeout=settings.OUTBOUND_CONNECT_TIMEOUT,
        read_timeout=settings.OUTBOUND_READ_TIMEOUT,
        total_timeout=settings.OUTBOUND_TOTAL_TIMEOUT,
        max_bytes=settings.OUTBOUND_MAX_BYTES,
        max_redirects=settings.OUTBOUND_MAX_REDIRECTS,
    )


def refusal(address: Address, port: int, policy: Policy) -> str | None:
    """Why `policy` keeps `address` from being called, such as "a private address"; None when it may be."""
    reason = why_special(address)
    return None if reason is None or policy.allow.has_address(address, port) else reason


def check_url(url: str, policy: Policy, *, userinfo: bool = False) -> Target:
    """The origin of `url`, if it may be called as far as that can be told without resolving its name.

    `userinfo` lets a user name and password pass: a proxy's address has them. Raises `Refused`.
    """
    return _check_origin(read_origin(url, userinfo=userinfo), policy)


def check_proxy(url: str, policy: Policy) -> Target:
    """Where a proxy is that a user names, if it may be called: one of HTTP or of SOCKS, which may have a user name and
    a password. Raises `Refused`."""
    return _check_origin(_origin_of(url, _PROXY_URL.fullmatch(url), userinfo=True), policy)


def _check_origin(target: Target, policy: Policy) -> Target:
    if isinstance(target.host, str):
        local = target.host == "localhost" or target.host.endswith(".localhost")
        if not local or policy.allow.has_name(target.host, target.port):
            return target
        reason = refusal(ipaddress.IPv4Address("127.0.0.1"), target.port, policy)
    else:
        reason = refusal(target.host, target.port, policy)
    if reason:
        raise Refused(f"{target} is not called: it is {reason}.")
    return target


def check_characters(url: str) -> None:
    """Raises `Refused` for control characters, which would start a line of their own in a request."""
    if _CONTROL.search(url):
        raise Refused("The address has control characters in it.")


def read_origin(url: str, *, userinfo: bool = False) -> Target:
    """The origin of an address, read strictly; whether it may be called is not asked. Raises `Refused`."""
    return _origin_of(url, _URL.fullmatch(url), userinfo=userinfo)


def _origin_of(url: str, match: re.Match[str] | None, *, userinfo: bool) -> Target:
    check_characters(url)
    if not match:
        raise Refused("Only http and https addresses are called.")
    return _target(match[1].lower(), match[2], userinfo)


@lru_cache(maxsize=4096)
def _target(scheme: str, authority: str, userinfo: bool) -> Target:
    """The origin that an authority names. Raises `Refused`."""
    if "\\" in authority:  # to some readers a slash: they would call what stands before it
        raise Refused("The address has a backslash where its host is.")
    if "@" in authority:
        if not userinfo:
            raise Refused("The address has a user name or password in it; send credentials in a header.")
        authority = authority.rpartition("@")[2]
    if not (parts := _AUTHORITY.fullmatch(authority)):
        raise Refused("The address names no host and port.")
    port = int(parts[2] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise Refused("The address has a port that does not exist.")
    return Target(scheme, read_host(parts[1]), port)


def _read_entry(entry: str) -> list[tuple[Network | str, int | None]]:
    """The networks, or the name, of one entry, each with its port. Raises `ValueError`."""
    if entry == "loopback":
        return [(ipaddress.ip_network(network), None) for network in _LOOPBACK]
    try:
        return [(ipaddress.ip_network(entry), None)]
    except ValueError:
        pass
    try:
        if not (parts := _AUTHORITY.fullmatch(entry)):
            raise Refused
        host, port = read_host(parts[1]), int(parts[2]) if parts[2] else None
    except Refused:
        raise ValueError(f"{entry!r} is no network, address or host name (with or without a port).") from None
    return [(host if isinstance(host, str) else ipaddress.ip_network(host), port)]
