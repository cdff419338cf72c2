"""Keeps to the robots.txt of sites (RFC 9309), and reads it as sites write it."""

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

from protego import Protego
from w3lib.encoding import read_bom

from extraction.domain.process_status import PageFailure
from extraction.fetch.host_limits import HostLimits
from extraction.fetch.proxy_turns import ProxyTurns
from taskhub.outbound.client import GateClient, GateRequest
from taskhub.outbound.errors import Refused, TooMuch, Unreachable
from taskhub.outbound.policy import check_url
from taskhub.outbound.session import USER_AGENT

AGENT = USER_AGENT.partition("/")[0]
ROBOTS_MAX_BYTES = 1024 * 1024  # read of a longer one; RFC 9309, section 2.5 asks for 500 KiB at least
ROBOTS_SECONDS = 3600  # section 2.4 allows a day
UNREACHABLE_SECONDS = 60
TURNS_MAX = 3  # of proxies that fail
CRAWL_DELAY_MAX = 300.0  # seconds

_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_VERSION = re.compile(r"^([ \t]*user-?agent[ \t]*:[ \t]*[a-z_-]+)/[^\s#]*", re.IGNORECASE | re.MULTILINE)
_ALLOW_ALL = b""
_UNREACHABLE = b"# out of reach: "  # and why


class RobotsRules:
    """The robots.txt of each site of one process, which is read once and shared with other workers."""

    def __init__(self, client: GateClient, hosts: HostLimits, proxies: ProxyTurns) -> None:
        self._client, self._hosts, self._proxies = client, hosts, proxies
        self._rules: dict[str, asyncio.Future[Any]] = {}

    async def allows(self, url: str) -> bool:
        """Says whether `url` may be asked for. A delay that the site asks for is kept from then on.

        Raises `PageFailure` while the file is out of reach: then nothing may be asked for (section 2.3.1.4).
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._rules:
            self._rules[origin] = asyncio.ensure_future(self._read(origin, parts.netloc))
        reading = self._rules[origin]
        rules = reading.result() if reading.done() else await asyncio.shield(reading)  # others wait for the same file
        if isinstance(rules, str):
            raise PageFailure(f"The site's robots.txt is out of reach: {rules}", retry=True)
        return rules is None or bool(rules.can_fetch(url.partition("#")[0], AGENT))

    async def close(self) -> None:
        """Stops reading files for which no page waits any more, before what they are read and shared with is closed."""
        for reading in self._rules.values():
            reading.cancel()
        await asyncio.gather(*self._rules.values(), return_exceptions=True)

    async def _read(self, origin: str, host: str) -> Any:
        """The rules, None where there are none; or why they are out of reach."""
        text = await self._hosts.get_shared("robots", origin)
        if text is None:
            text, seconds = await self._fetch(f"{origin}/robots.txt")
            await self._hosts.set_shared("robots", origin, text, seconds)
        if text.startswith(_UNREACHABLE):
            return text.removeprefix(_UNREACHABLE).decode()
        if text == _ALLOW_ALL:
            return None
        rules = Protego.parse(robots_text(text))
        if delay := rules.crawl_delay(AGENT):
            self._hosts.slow_down(host, min(float(delay), CRAWL_DELAY_MAX))
        return rules

    async def _fetch(self, url: str) -> tuple[bytes, int]:
        """The file's text, and for how many seconds it holds. A site without the file allows all (section 2.3.1.3).

        So does one whose file leads nowhere (2.3.1.2). Raises `Refused` for an address that is not called at all.
        """
        check_url(url, self._client.policy)
        for _ in range(TURNS_MAX):
            call = GateRequest(url, proxy=self._proxies.take(), max_bytes=ROBOTS_MAX_BYTES, cut_off=True)
            try:
                answer = await self._client.call(call)
                break
            except (TooMuch, Refused):  # of redirects; where the site itself is refused, so are its pages
                return _ALLOW_ALL, ROBOTS_SECONDS
            except Unreachable as problem:
                reason = problem.detail
                if not await self._proxies.rest(call.proxy):
                    return _UNREACHABLE + reason.encode(), UNREACHABLE_SECONDS
        else:
            return _UNREACHABLE + reason.encode(), UNREACHABLE_SECONDS
        if answer.status >= 500 or answer.status == 429:
            return _UNREACHABLE + f"the server answers {answer.status}.".encode(), UNREACHABLE_SECONDS
        return (answer.body, ROBOTS_SECONDS) if answer.status < 300 else (_ALLOW_ALL, ROBOTS_SECONDS)


def robots_text(body: bytes) -> str:
    """The text of a robots.txt; empty for a page that a site answers instead of one.

    It is UTF-8 (section 2.2), with or without a byte order mark, or UTF-16. Other bytes are escaped, as addresses have
    them, so a path counts in whatever encoding it is written.
    """
    encoding, mark = read_bom(body)
    while mark and body.startswith(mark):
        body = body.removeprefix(mark)
    if not encoding and b"\0" in body[:2]:
        encoding = "utf-16-be" if body[:1] == b"\0" else "utf-16-le"
    if encoding and encoding != "utf-8":
        body = body.decode(encoding, "replace").encode("utf-8", "replace")
    if body.lstrip()[:1] == b"<":
        return ""
    text = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], body).decode("ascii")
    return _VERSION.sub(r"\1", text)  # a group is for a product, whatever its version (section 2.2.1)
