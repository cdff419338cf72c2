"""Changes requests of a page in a browser: adds the user's headers, and the first request's method and form.

It uses the DevTools protocol's domain Fetch, which pauses each redirect, too: headers that Playwright's routes add
would be sent to other origins after a redirect.
"""

import asyncio
import base64
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from extraction.domain.render_job import RenderJob

FORM = "application/x-www-form-urlencoded"


async def intercept_requests(context: Any, page: Any, job: RenderJob) -> None:
    """Changes all that the page asks for from now on."""
    session = await context.new_cdp_session(page)
    interceptor = RequestInterceptor(session, job)
    session.on("Fetch.requestPaused", lambda event: asyncio.ensure_future(interceptor.resume_request(event)))
    await session.send("Fetch.enable", {"patterns": [{"urlPattern": "*", "requestStage": "Request"}]})


class RequestInterceptor:
    """Changes the requests of one page, and lets them go on."""

    def __init__(self, session: Any, job: RenderJob) -> None:
        self._session, self._job, self._first = session, job, True
        self._home = origin(job.home or job.url)
        self._headers = {name.lower(): value for name, value in job.headers.items()}

    async def resume_request(self, event: dict[str, Any]) -> None:
        changes = self.changes(event["request"])
        with suppress(Exception):  # the page may be gone meanwhile
            await self._session.send("Fetch.continueRequest", {"requestId": event["requestId"], **changes})

    def changes(self, request: dict[str, Any]) -> dict[str, Any]:
        """What is to differ from the browser's own request.

        The user's headers go to the origin of the first page alone; method and form are those of the first request.
        """
        headers = {
            name: value for name, value in request["headers"].items() if self._headers.get(name.lower()) != value
        }
        if origin(request["url"]) == self._home:
            headers = {
                name: value for name, value in headers.items() if name.lower() not in self._headers
            } | self._headers
        changes: dict[str, Any] = {}
        if self._first and self._job.method == "POST":
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            headers["content-type"] = FORM
            body = urlencode(dict(self._job.form)).encode()
            changes = {"method": "POST", "postData": base64.b64encode(body).decode()}
        self._first = False
        return changes | {"headers": [{"name": name, "value": value} for name, value in headers.items()]}


def origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()
