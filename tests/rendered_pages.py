"""Pages of a site that Chromium renders in the test itself."""

import asyncio
from typing import Any

import pytest

from extraction.domain.process_status import PageFailure
from extraction.domain.render_job import RenderedPage, RenderJob
from extraction.fetch.browser import browser_thread
from extraction.fetch.page_answers import check_answer
from extraction.fetch.page_renderer import render
from taskhub.outbound import Policy, configured_policy
from tests.extraction_sites import Site


def shown(site: Site, path: str = "/", policy: Policy | None = None, **terms: Any) -> RenderedPage:
    job = RenderJob(**{"url": f"{site.url}{path}", "seconds": 30, "max_bytes": 2_000_000, **terms})
    return asyncio.run(browser_thread.get().run(render(job, policy or configured_policy(), check_answer)))


def refusal(site: Site, path: str, **terms: Any) -> str:
    with pytest.raises(PageFailure) as caught:
        shown(site, path, **terms)
    return caught.value.reason
