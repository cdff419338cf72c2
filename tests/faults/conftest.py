"""The hub that tests may break: one for all of them, each leaves it whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extraction.api import process_results
from taskhub.runs import waits
from tests.faults.credentials import World, populated_world
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


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once for a module, whose tests undo each call that they try."""
    with django_db_blocker.unblock(), populated_world() as made:
        yield made


@pytest.fixture
def unhurried(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call waits, and none is refused for its rate or because strangers may do it."""
    monkeypatch.setattr(process_results, "WAIT_MAX", 0)  # nobody is there to make what is waited for
    monkeypatch.setattr(waits, "EVENTS_SECONDS", 0)  # the run that is followed never ends
    settings.OPEN_SIGNUP = False  # so that this call, too, looks at who calls
    settings.THROTTLE_RATES = dict.fromkeys(settings.THROTTLE_RATES)
