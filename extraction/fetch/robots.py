"""robots.txt (RFC 9309): what a site lets be asked for, and how often."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from protego import Protego

from extraction.domain.process_status import Failure
from extraction.fetch.host_limits import Hosts
from taskhub.outbound.client import Call, Client
from taskhub.outbound.errors import TooMuch, Unreachable
from taskhub.outbound.session import USER_AGENT

AGENT = USER_AGENT.partition("/")[0]
READ_MAX_BYTES = 512 * 1024  # section 2.5 asks for 500 KiB at least
KEPT_SECONDS = 3600  # section 2.4 allows a day
AWAY_SECONDS = 60
CRAWL_DELAY_MAX = 300.0

_EVERYTHING = b""
_AWAY = b"# away"


class Robots:
    """The rules of the sites that are met, read once and kept for the other workers."""

    def __init__(self, client: Client, hosts: Hosts, proxy: str = "") -> None:
        self._client, self._hosts, self._proxy = client, hosts, proxy
        self._rules: dict[str, asyncio.Future[Any]] = {}

    async def allows(self, url: str) -> bool:
        """Whether this address may be asked for; what the site says of delays is kept to from then on.

        Raises `Failure` while the file is out of reach: then nothing may be (section 2.3.1.4).
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        known = self._rules.get(origin)
        if known is None:
            known = self._rules[origin] = asyncio.ensure_future(self._read(origin, parts.netloc))
        rules = await asyncio.shield(known)
        if rules is None:
            raise Failure("The site's robots.txt is out of reach.", again=True)
        return bool(rules.can_fetch(url, AGENT))

    async def _read(self, origin: str, host: str) -> Any:
        text = await self._hosts.get("robots", origin)
        if text is None:
            text, seconds = await self._fetch(f"{origin}/robots.txt")
            await self._hosts.keep("robots", origin, text, seconds)
        if text == _AWAY:
            return None
        rules = Protego.parse(text.decode("utf-8", "replace"))
        if delay := rules.crawl_delay(AGENT):
            self._hosts.slow_down(host, min(float(delay), CRAWL_DELAY_MAX))
        return rules

    async def _fetch(self, url: str) -> tuple[bytes, int]:
        """Its text, and for how many seconds that holds. None there allows all (section 2.3.1.3).

        Raises `Refused` for an address that is not called at all.
        """
        try:
            answer = await self._client.call(Call(url, proxy=self._proxy, max_bytes=READ_MAX_BYTES))
        except TooMuch:
            return _EVERYTHING, KEPT_SECONDS
        except Unreachable:
            return _AWAY, AWAY_SECONDS
        if answer.status >= 500 or answer.status == 429:
            return _AWAY, AWAY_SECONDS
        return (answer.body, KEPT_SECONDS) if answer.status < 300 else (_EVERYTHING, KEPT_SECONDS)
