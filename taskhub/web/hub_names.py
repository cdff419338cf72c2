"""Under which names a hub is called: what `Host` and `Origin` of a request may say.

A web page can give its own name the address of this machine (DNS rebinding). Then the browser takes the hub for a part
of that page. Only the header `Host` tells, which holds the page's name. An IP address in `Host` is no such name.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from taskhub.errors import Problem
from taskhub.outbound.addresses import read_host

_LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]\\,]+)(?::[0-9]*)?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://([^/]+)", re.IGNORECASE)


@dataclass(frozen=True)
class HubNames:
    """Names and addresses, lower case; `.example.com` stands for all names below it, too.

    `any_address`: the hub listens on all addresses of its machine, and need not know them all.
    """

    names: frozenset[str]
    any_address: bool = False

    @classmethod
    def of(cls, bound_host: str, *others: str) -> Self:
        """The names of a hub that listens on `bound_host`: localhost is always one of them."""
        names = frozenset(_normalize(name) for name in (*_LOCAL, bound_host, *others))
        return cls(names, any_address=is_wildcard(bound_host))

    def has_host(self, header: str) -> bool:
        """Whether a header `Host` (RFC 9110, section 7.2) names this hub."""
        name = _name_in(header)
        return name is not None and (self._has(name) or (self.any_address and _is_address(name)))

    def has_origin(self, header: str, host_header: str) -> bool:
        """Whether a header `Origin` (RFC 6454) is of this hub's own pages, or of other pages of the same host."""
        found = _ORIGIN.fullmatch(header)
        name = _name_in(found[1]) if found else None
        return name is not None and (self._has(name) or name == _name_in(host_header))

    def _has(self, name: str) -> bool:
        parents = (name[index:] for index, sign in enumerate(name) if sign == ".")
        return name in self.names or f".{name}" in self.names or any(parent in self.names for parent in parents)


def is_loopback(host: str) -> bool:
    """Whether who listens on `host` hears this machine alone."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower() == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether who listens on `host` listens on all addresses of this machine."""
    with suppress(ValueError):
        return ip_address(host).is_unspecified
    return not host


def host_of(url: str) -> str:
    """The host of an absolute address, without brackets."""
    return urlsplit(url).hostname or ""


def mail_domain(url: str) -> str:
    """The domain of an e-mail address at the host of an absolute address."""
    with suppress(Problem):
        host = read_host(host_of(url))
        return host if isinstance(host, str) else "localhost"
    return "localhost"


def _name_in(header: str) -> str | None:
    found = _HOST.fullmatch(header)
    return _normalize(found[1]) if found else None


def _normalize(name: str) -> str:
    name = name.lower().strip("[]").removesuffix(".")
    with suppress(ValueError):
        return str(ip_address(name))
    return name


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(name))
    return False
