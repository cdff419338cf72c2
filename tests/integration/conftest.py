"""What tests of several modules here use."""

from collections.abc import Iterator

import pytest

from tests.integration.outbound_servers import Serve, serving


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on loopback that answer as a script says."""
    with serving() as start:
        yield start
