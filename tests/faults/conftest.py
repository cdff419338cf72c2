"""The hub that tests may break: one for all of them, each leaves it whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disposable import Disposable


@pytest.fixture(scope="session")
def _disposable() -> Iterator[Disposable]:
    hub = Disposable()
    yield hub
    hub.close()


@pytest.fixture
def broken(_disposable: Disposable) -> Disposable:
    """Whole at the beginning, whatever the test before has done."""
    _disposable.await_health()
    return _disposable


@pytest.fixture
def end(tmp_path: Path) -> Iterator[Path]:
    """The flag for which `linger` waits; no test leaves one waiting."""
    flag = tmp_path / "end"
    yield flag
    flag.touch()
