"""Asks hosts politely: by their robots.txt, and within their limits."""

from urllib.parse import urlsplit

from extraction.domain.process_status import PageFailure
from extraction.fetch.host_limits import HostLimits, HostState
from extraction.fetch.robots import RobotsRules


class HostSlot:
    """Holds the slot of one call: of one host at a time, as redirects lead from one to another."""

    def __init__(self, hosts: HostLimits, robots: RobotsRules | None, delay: float) -> None:
        self._hosts, self._robots, self._delay = hosts, robots, delay
        self._held: HostState | None = None
        self.host = ""

    async def permit(self, url: str, hop: int) -> None:
        """Acquires a slot, by the rules of its site, for an address that a redirect leads to."""
        if hop:
            await self.acquire(url)

    async def acquire(self, url: str) -> None:
        """Waits for a slot of the address's host. Raises `PageFailure` where robots.txt forbids it, and `HostBusy`."""
        if self._robots and not await self._robots.allows(url):
            raise PageFailure("The site's robots.txt forbids it.")
        self.release()
        self.host = urlsplit(url).netloc.rpartition("@")[2].lower()
        if self._delay:
            self._hosts.slow_down(self.host, self._delay)
        self._held = await self._hosts.acquire(self.host)

    def release(self) -> None:
        if self._held:
            self._hosts.release(self._held)
            self._held = None
