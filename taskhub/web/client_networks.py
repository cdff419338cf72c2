"""Clients told apart by where they come from."""

import ipaddress


def client_network(address: str) -> str:
    """The network that is one client: an IPv4 address, or the 64 bits of an IPv6 address that its provider gave it.

    Within these it may call from any address that it likes. What is no address is a client of its own.
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
