"""Resolves names to addresses that may be connected to."""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from threading import Event, Thread

from taskhub.interruption import waiting
from taskhub.outbound.addresses import Address, read_host
from taskhub.outbound.errors import Refused, TimedOut, Unreachable
from taskhub.outbound.policy import Policy, refusal

#: Name and port in, addresses as text out, best first. Raises `OSError` where there are none.
Resolver = Callable[[str, int], Iterable[str]]


def system_resolver(name: str, port: int) -> list[str]:
    """The addresses of a name as the operating system resolves it."""
    entries = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in entries]


def resolve(
    host: str, port: int, policy: Policy, *, resolver: Resolver = system_resolver, timeout: float | None = None
) -> list[str]:
    """The addresses of `host` in the resolver's order, all of them allowed. Connect to these and to nothing else:
    asking again may give another answer.

    `timeout` in seconds, by default the policy's for connecting. Raises `Refused` if one address is forbidden,
    `Unreachable` if the name leads nowhere.
    """
    name = read_host(host)
    if not isinstance(name, str):
        _check(f"{name} is not called: it is", [name], port, policy)
        return [str(name)]
    addresses = _lookup(name, port, resolver, policy.connect_timeout if timeout is None else timeout)
    if not policy.allow.has_name(name, port):
        _check(f"{name} is not called: it leads to", addresses, port, policy)
    return [str(address) for address in addresses]


def _check(sentence: str, addresses: list[Address], port: int, policy: Policy) -> None:
    """Raises `Refused`, with a text that begins with `sentence`, if one address may not be called."""
    for address in addresses:
        if reason := refusal(address, port, policy):
            raise Refused(f"{sentence} {reason}.")


def _lookup(name: str, port: int, resolver: Resolver, timeout: float) -> list[Address]:
    """Asks the resolver, for `timeout` seconds at most. Raises `Unreachable` where there is no address."""
    answer: Future[list[str]] = Future()
    over = Event()

    def ask() -> None:
        try:
            answer.set_result(list(resolver(name, port)))
        except Exception as error:
            answer.set_exception(error)
        over.set()

    # getaddrinfo knows no time-out, and a name's own server decides how long it takes.
    Thread(target=ask, name="resolve", daemon=True).start()
    with waiting(over.set):
        over.wait(timeout)
    try:
        addresses = [ipaddress.ip_address(address) for address in answer.result(0)]
    except TimeoutError:
        raise TimedOut(f"The name {name} was not resolved within {timeout:.3g} seconds.") from None
    except OSError:
        addresses = []
    if not addresses:
        raise Unreachable(f"The name {name} cannot be resolved.")
    return addresses
