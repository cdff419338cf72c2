"""Keeps to the robots.txt of sites (RFC 9309)."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from protego import Protego

from extraction.domain.process_status import PageFailure
from extraction.fetch.host_limits import HostLimits
from taskhub.outbound.client import GateClient, GateRequest
from taskhub.outbound.errors import TooMuch, Unreachable
from taskhub.outbound.session import USER_AGENT

AGENT = USER_AGENT.partition("/")[0]
ROBOTS_MAX_BYTES = 512 * 1024  # RFC 9309, section 2.5 asks for 500 KiB at least
ROBOTS_SECONDS = 3600  # section 2.4 allows a day
UNREACHABLE_SECONDS = 60
CRAWL_DELAY_MAX = 300.0  # seconds

_ALLOW_ALL = b""
_UNREACHABLE = b"# out of reach: "  # and why


class RobotsRules:
    """The robots.txt of each site of one process, which is read once and shared with other workers."""

    def __init__(self, client: GateClient, hosts: HostLimits, proxy: str = "") -> None:
        self._client, self._hosts, self._proxy = client, hosts, proxy
        self._rules: dict[str, asyncio.Future[Any]] = {}

    async def allows(self, url: str) -> bool:
        """Says whether `url` may be asked for. A delay that the site asks for is kept from then on.

        Raises `PageFailure` while the file is out of reach: then nothing may be asked for (section 2.3.1.4).
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._read(origin, parts.netloc))
        rules = await asyncio.shield(self._rules[origin])  # other pages wait for the same file
        if isinstance(rules, str):
            raise PageFailure(f"The site's robots.txt is out of reach: {rules}", retry=True)
        return bool(rules.can_fetch(url, AGENT))

    async def _read(self, origin: str, host: str) -> Any:
        """The rules; or why they are out of reach."""
        text = await self._hosts.get_shared("robots", origin)
        if text is None:
            text, seconds = await self._fetch(f"{origin}/robots.txt")
            await self._hosts.set_shared("robots", origin, text, seconds)
        if text.startswith(_UNREACHABLE):
            return text.removeprefix(_UNREACHABLE).decode()
        rules = Protego.parse(text.decode("utf-8", "replace"))
        if delay := rules.crawl_delay(AGENT):
            self._hosts.slow_down(host, min(float(delay), CRAWL_DELAY_MAX))
        return rules

    async def _fetch(self, url: str) -> tuple[bytes, int]:
        """The file's text, and for how many seconds it holds. A site without the file allows all (section 2.3.1.3).

        Raises `Refused` for an address that is not called at all.
        """
        try:
            answer = await self._client.call(GateRequest(url, proxy=self._proxy, max_bytes=ROBOTS_MAX_BYTES))
        except TooMuch:
            return _ALLOW_ALL, ROBOTS_SECONDS
        except Unreachable as problem:
            return _UNREACHABLE + problem.detail.encode(), UNREACHABLE_SECONDS
        if answer.status >= 500 or answer.status == 429:
            return _UNREACHABLE + f"the server answers {answer.status}.".encode(), UNREACHABLE_SECONDS
        return (answer.body, ROBOTS_SECONDS) if answer.status < 300 else (_ALLOW_ALL, ROBOTS_SECONDS)
