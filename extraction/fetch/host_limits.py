"""Limits how many requests a host gets at once, and how often, from all workers together.

Slices share each host's slots through Redis. While Redis is away, a slice takes a quarter of the slots.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

SHARE_SECONDS = 0.2  # after which a slice asks for its share again
RETRY_SECONDS = 1.0  # after which pages of a host without a free slot are tried again
LEASE_MS = 5_000  # for which a slice that was lost keeps its share
REDIS_SECONDS = 0.5  # for one call

# Who holds how many of a host's slots, until when: "<slots>:<until>" by holder. Each gets an equal share; holders of
# more give the rest back when they next ask.
_SHARE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, holders = 0, 1
for _, holder in ipairs(redis.call('HKEYS', KEYS[1])) do
    local slots, till = string.match(redis.call('HGET', KEYS[1], holder), '^(%d+):(%d+)$')
    if tonumber(till) < now then
        redis.call('HDEL', KEYS[1], holder)
    elseif holder ~= ARGV[1] then
        holders = holders + 1
        taken = taken + tonumber(slots)
    end
end
local slots = math.min(math.max(1, math.floor(ARGV[2] / holders)), math.max(0, ARGV[2] - taken))
redis.call('HSET', KEYS[1], ARGV[1], slots .. ':' .. (now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
local pause = redis.call('PTTL', KEYS[2])
return {slots, math.max(0, pause)}
"""
# The time of the next request to a host: each request takes the next one, `delay` after the last.
_NEXT_TIME = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local time_ms = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local following = time_ms + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', following), 'PX', math.floor(following - now) + 1000)
return time_ms - now
"""


@dataclass
class HostState:
    """What a slice may do with one host. Times are on `time.monotonic`'s clock."""

    slots: int = 0  # requests that the slice may make at once
    used: int = 0
    shared_at: float = float("-inf")  # when the slots were last shared out
    open_at: float = 0.0  # no request before this time
    delay: float = 0.0  # seconds between two requests
    freed: asyncio.Event = field(default_factory=asyncio.Event)


class HostBusy(Exception):
    """The host can be asked in `seconds`, which is longer than a page should wait for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class HostLimits:
    """Limits the requests of one slice, which `holder` names, to each host.

    `patience` is how many seconds a request may wait for its host.
    """

    def __init__(self, holder: str, patience: float = 2.0) -> None:
        self._holder, self._patience = holder, patience
        self._hosts: dict[str, HostState] = {}
        self._redis: Any = Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            driver_info=None,  # to find out its own version takes it milliseconds, for each connection
        )
        self._share, self._next_time = self._redis.register_script(_SHARE), self._redis.register_script(_NEXT_TIME)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    def state(self, name: str) -> HostState:
        return self._hosts.setdefault(name, HostState(delay=settings.EXTRACTION_HOST_DELAY_MS / 1000))

    async def acquire(self, name: str) -> HostState:
        """Waits for a slot and for the host's next time; `release` frees the slot. Raises `HostBusy`."""
        host = self.state(name)
        until = time.monotonic() + self._patience
        while True:
            now = time.monotonic()
            if host.open_at > now:
                await self._sleep(host.open_at - now, until)
                continue
            if now - host.shared_at > SHARE_SECONDS:
                await self._share_out(name, host)
                continue
            if host.used < host.slots:
                break
            host.freed.clear()
            await self._wait_for_slot(host, until)
        host.used += 1
        try:
            if host.delay:
                await self._wait_for_host(name, host)
        except BaseException:
            self.release(host)
            raise
        return host

    def release(self, host: HostState) -> None:
        host.used -= 1
        host.freed.set()

    async def _sleep(self, seconds: float, until: float) -> None:
        if time.monotonic() + seconds > until:
            raise HostBusy(seconds)
        await asyncio.sleep(seconds)

    async def _wait_for_slot(self, host: HostState, until: float) -> None:
        """Waits until a slot is free again, or it is time to ask for the share again."""
        if not host.used and time.monotonic() > until:
            raise HostBusy(RETRY_SECONDS)
        seconds = max(0.01, SHARE_SECONDS - (time.monotonic() - host.shared_at))
        try:
            async with asyncio.timeout(seconds):
                await host.freed.wait()
        except TimeoutError:
            host.shared_at = float("-inf")

    async def _share_out(self, name: str, host: HostState) -> None:
        """Asks for this slice's share of the host's slots."""
        host.shared_at = time.monotonic()
        slots = settings.EXTRACTION_HOST_CONCURRENCY
        try:
            host.slots, pause = await self._share(
                keys=[self._key("share", name), self._key("pause", name)], args=[self._holder, slots, LEASE_MS]
            )
        except RedisError as error:
            log.warning("The share of a host is not known: %s", error)
            host.slots, pause = max(1, slots // 4), 0
        host.open_at = max(host.open_at, time.monotonic() + pause / 1000 if pause else 0.0)

    async def _wait_for_host(self, name: str, host: HostState) -> None:
        """Reserves the host's next time, and waits for it. Raises `HostBusy` where that takes too long."""
        try:
            wait = await self._next_time(keys=[self._key("turn", name)], args=[int(host.delay * 1000)]) / 1000
        except RedisError:
            wait = host.delay
        if wait > self._patience:
            await self._give_time_back(name, host)
            raise HostBusy(wait)
        await asyncio.sleep(wait)

    async def _give_time_back(self, name: str, host: HostState) -> None:
        try:
            await self._redis.decrby(self._key("turn", name), int(host.delay * 1000))
        except RedisError as error:
            log.warning("A host's next time was not given back: %s", error)

    async def pause(self, name: str, seconds: float) -> None:
        """Keeps all workers from asking the host for anything for some seconds."""
        host = self.state(name)
        host.open_at = max(host.open_at, time.monotonic() + seconds)
        try:
            await self._redis.set(self._key("pause", name), 1, px=max(1, int(seconds * 1000)))
        except RedisError as error:
            log.warning("Other workers do not know of a host's pause: %s", error)

    def slow_down(self, name: str, delay: float) -> None:
        """Sets the least seconds between two requests to a host, unless they are longer already."""
        host = self.state(name)
        host.delay = max(host.delay, delay)

    async def get_shared(self, kind: str, name: str) -> bytes | None:
        """A value that workers share; None where there is none."""
        try:
            value: bytes | None = await self._redis.get(self._key(kind, name))
        except RedisError:
            return None
        return value

    async def get_all_shared(self, kind: str, names: Iterable[str]) -> list[bytes | None]:
        """The values of all these names that workers share; an empty list where Redis is away."""
        try:
            values: list[bytes | None] = await self._redis.mget([self._key(kind, name) for name in names])
        except RedisError:
            return []
        return values

    async def set_shared(self, kind: str, name: str, value: bytes, seconds: int) -> None:
        """Shares a value with other workers for some seconds."""
        try:
            await self._redis.set(self._key(kind, name), value, ex=seconds)
        except RedisError as error:
            log.warning("A value for other workers was not stored: %s", error)

    def _key(self, kind: str, name: str) -> str:
        return f"{settings.CHANNEL_PREFIX}:host:{kind}:{name}"

    async def close(self) -> None:
        """Gives all slots back."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name, host in self._hosts.items():
                    if host.slots:
                        pipeline.hdel(self._key("share", name), self._holder)
                await pipeline.execute()
        except RedisError as error:
            log.warning("Shares were not given back; they lapse by themselves: %s", error)
        finally:
            await self._redis.aclose()
