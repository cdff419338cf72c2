"""Connections through SOCKS5 proxies (RFC 1928, with user name and password as in RFC 1929), behind the gate.

By `socks5://` the proxy is told an address of the target that was checked; by `socks5h://` its name, which the proxy
resolves itself: the gate looks it up all the same, and refuses what leads to private addresses here.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from taskhub.outbound.answer_heads import GateConnector
from taskhub.outbound.errors import Refused, Unreachable
from taskhub.outbound.policy import Policy, Target, check_proxy

#: The addresses of a target, all of which may be called. Raises `Refused` and `Unreachable`.
Lookup = Callable[[Target], Awaitable[Sequence[str]]]

SCHEMES = ("socks5://", "socks5h://")


def is_socks(proxy: str) -> bool:
    """Whether the address of a proxy is one of SOCKS."""
    return proxy.lower().startswith(SCHEMES)


async def open_socks_tunnel(
    proxy: str, target: Target, addresses: Sequence[str], *, policy: Policy, lookup: Lookup
) -> socket.socket:
    """A connection to a target, whose `addresses` were checked, through a proxy; one after the other is tried.

    Raises `Refused`, and `Unreachable` where that does not succeed within `Policy.connect_timeout`.
    """
    end = check_proxy(proxy, policy)
    proxy_addresses = await lookup(end)
    hosts = [str(target.host)] if end.scheme == "socks5h" else addresses
    reason = "it does not take connections"
    try:
        async with asyncio.timeout(policy.connect_timeout):
            for host in hosts:
                for address in proxy_addresses:
                    try:
                        return await _connect(proxy, address, end.port, host, target.port)
                    except ProxyError as error:
                        reason = str(error)
                        break  # another address of the proxy would say the same
                    except (ProxyConnectionError, OSError, EOFError):
                        continue
    except TimeoutError:
        reason = f"it did not answer within {policy.connect_timeout:.3g} seconds"
    raise Unreachable(f"{target} is not reached through the proxy: {reason[:200]}.")


async def _connect(proxy: str, address: str, port: int, host: str, target_port: int) -> socket.socket:
    user, password = (unquote(part or "") for part in (urlsplit(proxy).username, urlsplit(proxy).password))
    try:
        end = Proxy(ProxyType.SOCKS5, address, port, user or None, password or None, rdns=True)
        return await end.connect(host, target_port)
    except ValueError:
        raise Refused("The user name, the password or the host cannot be sent to a SOCKS proxy.") from None


class SocksConnector(GateConnector):
    """aiohttp's connector, whose connections go through one SOCKS proxy."""

    def __init__(self, proxy: str, *, policy: Policy, lookup: Lookup, **options: Any) -> None:
        super().__init__(**options)
        self._proxy, self._policy, self._lookup = proxy, policy, lookup

    async def _wrap_create_connection(self, *args: Any, addr_infos: Any, req: Any, **options: Any) -> Any:
        """Opens a tunnel to one of the addresses, which the gate's resolver gave, in place of a connection to it."""
        target = Target(req.url.scheme, req.url.raw_host, req.url.port)
        addresses = [info[4][0] for info in addr_infos]
        tunnel = await open_socks_tunnel(self._proxy, target, addresses, policy=self._policy, lookup=self._lookup)
        try:
            return await self._wrap_existing_connection(*args, sock=tunnel, req=req, **options)
        except BaseException:
            tunnel.close()
            raise
