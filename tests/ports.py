"""Ports for servers that tests stop and start again."""

import random
import socket


def free_port() -> int:
    """One that no client's connection is given by the kernel, which would hold it while the server is away."""
    while True:
        with socket.socket() as probe:
            port = random.randrange(20_000, 32_000)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
