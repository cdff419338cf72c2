"""Changes what a page in a browser asks for, and what it gets.

To its requests come the user's headers, and the first one's method and body. Answers whose type says nothing, which a
browser would download, are pages where their bytes are text, as they are for `PageFetcher`.

It uses the DevTools protocol's domain Fetch, which pauses each redirect, too: headers that Playwright's routes add
would be sent to other origins after a redirect.
"""

import asyncio
import base64
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from extraction.domain.render_job import RenderJob
from extraction.fetch.page_text import is_text, says_nothing

PAGE_TYPE = "text/html"
_OF_THE_BODY = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})
_DOCUMENTS = {"urlPattern": "*", "resourceType": "Document", "requestStage": "Response"}
_REQUESTS = {"urlPattern": "*", "requestStage": "Request"}


async def intercept(context: Any, page: Any, job: RenderJob) -> None:
    """Changes all that the page asks for, and is made of, from now on."""
    session = await context.new_cdp_session(page)
    interceptor = Interceptor(session, job)
    session.on("Fetch.requestPaused", lambda event: asyncio.ensure_future(interceptor.resume(event)))
    patterns = [_DOCUMENTS, _REQUESTS] if job.headers or job.method != "GET" else [_DOCUMENTS]
    await session.send("Fetch.enable", {"patterns": patterns})


class Interceptor:
    """Changes requests of one page and answers to them, and lets them go on."""

    def __init__(self, session: Any, job: RenderJob) -> None:
        self._session, self._job, self._first = session, job, True
        self._home = origin(job.home or job.url)
        self._headers = {name.lower(): value for name, value in job.headers.items()}

    async def resume(self, event: dict[str, Any]) -> None:
        with suppress(Exception):  # the page may be gone meanwhile
            if "responseStatusCode" in event and await self._serve_as_page(event):
                return
            is_request = "responseStatusCode" not in event and "responseErrorReason" not in event
            await self._send("continueRequest", event, self.request_changes(event["request"]) if is_request else {})

    async def _serve_as_page(self, event: dict[str, Any]) -> bool:
        """Serves an answer whose type says nothing as a page, where it is one; says whether it did."""
        status, headers = event["responseStatusCode"], event.get("responseHeaders", [])
        known = {header["name"].lower(): header["value"] for header in headers}
        if not 200 <= status < 300 or "content-disposition" in known or not says_nothing(known.get("content-type", "")):
            return False
        body = await self._send("getResponseBody", event, {})
        data = base64.b64decode(body["body"]) if body["base64Encoded"] else body["body"].encode()
        if not is_text(data):
            return False
        _, _, charset = known.get("content-type", "").partition(";")
        kept = [header for header in headers if header["name"].lower() not in _OF_THE_BODY]
        typed = {"name": "Content-Type", "value": f"{PAGE_TYPE};{charset}" if charset else PAGE_TYPE}
        answer = {"responseCode": status, "responseHeaders": [*kept, typed], "body": base64.b64encode(data).decode()}
        await self._send("fulfillRequest", event, answer)
        return True

    async def _send(self, command: str, event: dict[str, Any], arguments: dict[str, Any]) -> Any:
        return await self._session.send(f"Fetch.{command}", {"requestId": event["requestId"], **arguments})

    def request_changes(self, request: dict[str, Any]) -> dict[str, Any]:
        """What is to differ from the browser's own request.

        The user's headers go to the origin of the first page alone; method and body are those of the first request.
        """
        headers = {
            name: value for name, value in request["headers"].items() if self._headers.get(name.lower()) != value
        }
        if origin(request["url"]) == self._home:
            headers = {
                name: value for name, value in headers.items() if name.lower() not in self._headers
            } | self._headers
        changes: dict[str, Any] = {}
        if self._first and self._job.method != "GET":
            if self._job.content_type and "content-type" not in self._headers:
                headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
                headers["content-type"] = self._job.content_type
            changes = {"method": self._job.method, "postData": base64.b64encode(self._job.body).decode()}
        self._first = False
        return changes | {"headers": [{"name": name, "value": value} for name, value in headers.items()]}


def origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()
