"""The bundled API that sequences are tried on."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hub import ROOT


@contextmanager
def bundled_api() -> Iterator[str]:
    """Starts it as a newcomer does, and gives its address."""
    command = [sys.executable, "-m", "sequences.examples.api_server", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().removeprefix("The API is at ").strip()
        finally:
            server.terminate()
