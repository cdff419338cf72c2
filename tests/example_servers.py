"""The servers of the bundled examples, each a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hub import ROOT


@contextmanager
def example_server(module: str) -> Iterator[str]:
    """The address of an example, which is the last word that it prints at its start."""
    command = [sys.executable, "-m", module, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.terminate()
