"""What tests of several modules here use."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import Client

from extraction import page_processor
from extraction.fetch.browser import browser_thread
from tests.chromium import required
from tests.conftest import Person
from tests.extraction_sites import Site
from tests.extraction_sites import serving as serving_site
from tests.integration.outbound_servers import Serve, serving


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on loopback that answer as a script says."""
    with serving() as start:
        yield start


@pytest.fixture
def browser(owner: Person) -> Client:
    """A signed-in user of the console. Errors are answered, as they are outside of tests."""
    browser = Client(raise_request_exception=False)
    browser.force_login(owner.user)
    return browser


@pytest.fixture
def extracting_here(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For processes that are carried out in the test itself, see `tests/extraction_runs.py`."""
    settings.OUTBOUND_ALLOW = ["loopback"]
    results = {**settings.STORAGES["results"], "OPTIONS": {"location": str(tmp_path / "results")}}
    settings.STORAGES = {**settings.STORAGES, "results": results}
    monkeypatch.setattr(page_processor, "page_backoff", lambda attempt, after: min(after or 0.05, 0.3))
    yield
    asyncio.run(sync_to_async(connections.close_all)())


@pytest.fixture(scope="session")
def _browser() -> Iterator[None]:
    """One browser for all tests of a process, which is started by the first page that is rendered."""
    required()
    yield
    asyncio.run(browser_thread.get().run(browser_thread.get().close()))


@pytest.fixture
def rendering_here(extracting_here: None, _browser: None) -> None:
    """The same for pages that are rendered; those tests are of the group `chrome`."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A site on loopback, for this test alone."""
    with serving_site() as site:
        yield site
