"""Politeness: how many requests a host gets at once, and how often, from all processes and workers together.

Shares of each host's places are kept in Redis. Where Redis is away a worker keeps to a quarter of the places by itself.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

SHARE_SECONDS = 0.2  # then a worker asks for its share anew
AGAIN_SECONDS = 1.0  # then pages of a host without a place for this worker are tried again
LEASE_MS = 5_000  # for which a worker that died holds its share
ANSWER_SECONDS = 0.5

# Who holds how many of a host's places, until when: "<places>:<until>" by holder. Everyone gets an equal part; what
# others hold beyond theirs they give back when they next ask.
_SHARE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, holders = 0, 1
for _, holder in ipairs(redis.call('HKEYS', KEYS[1])) do
    local places, till = string.match(redis.call('HGET', KEYS[1], holder), '^(%d+):(%d+)$')
    if tonumber(till) < now then
        redis.call('HDEL', KEYS[1], holder)
    elseif holder ~= ARGV[1] then
        holders = holders + 1
        taken = taken + tonumber(places)
    end
end
local places = math.min(math.max(1, math.floor(ARGV[2] / holders)), math.max(0, ARGV[2] - taken))
redis.call('HSET', KEYS[1], ARGV[1], places .. ':' .. (now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
local pause = redis.call('PTTL', KEYS[2])
return {places, math.max(0, pause)}
"""
# The moment of the next request to a host: each takes the next one, `delay` after the last.
_TURN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local following = turn + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.0f', following), 'PX', math.floor(following - now) + 1000)
return turn - now
"""


@dataclass
class Host:
    """What this worker may do with one host. Times are on `time.monotonic`'s clock."""

    places: int = 0
    busy: int = 0
    asked_at: float = float("-inf")
    open_at: float = 0.0  # it wants to be left alone until then
    delay: float = 0.0  # between two requests
    freed: asyncio.Event = field(default_factory=asyncio.Event)


class Later(Exception):
    """The host is to be asked in `seconds`, which is longer than anybody should wait for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Hosts:
    """`holder` names this turn of a worker; `patience` is for how many seconds a request may wait for its host."""

    def __init__(self, holder: str, patience: float = 2.0) -> None:
        self._holder, self._patience = holder, patience
        self._hosts: dict[str, Host] = {}
        self._redis: Any = Redis.from_url(
            settings.REDIS_URL, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )
        self._share, self._turn = self._redis.register_script(_SHARE), self._redis.register_script(_TURN)

    def __getitem__(self, host: str) -> Host:
        return self._hosts.setdefault(host, Host(delay=settings.EXTRACTION_HOST_DELAY_MS / 1000))

    async def enter(self, name: str) -> Host:
        """Waits for a place and, where the host wants delays, for a turn. Raises `Later`. `leave` gives it back."""
        host = self[name]
        until = time.monotonic() + self._patience
        while True:
            now = time.monotonic()
            if host.open_at > now:
                await self._sleep(host.open_at - now, until)
                continue
            if now - host.asked_at > SHARE_SECONDS:
                await self._ask(name, host)
                continue
            if host.busy < host.places:
                break
            host.freed.clear()
            await self._freed(host, until)
        host.busy += 1
        try:
            if host.delay:
                await self._take_turn(name, host)
        except BaseException:
            self.leave(host)
            raise
        return host

    def leave(self, host: Host) -> None:
        host.busy -= 1
        host.freed.set()

    async def _sleep(self, seconds: float, until: float) -> None:
        if time.monotonic() + seconds > until:
            raise Later(seconds)
        await asyncio.sleep(seconds)

    async def _freed(self, host: Host, until: float) -> None:
        """A place is free again, or it is time to ask for the share anew."""
        if not host.busy and time.monotonic() > until:
            raise Later(AGAIN_SECONDS)
        rest = max(0.01, SHARE_SECONDS - (time.monotonic() - host.asked_at))
        try:
            async with asyncio.timeout(rest):
                await host.freed.wait()
        except TimeoutError:
            host.asked_at = float("-inf")

    async def _ask(self, name: str, host: Host) -> None:
        host.asked_at = time.monotonic()
        places = settings.EXTRACTION_HOST_CONCURRENCY
        try:
            host.places, pause = await self._share(
                keys=[self._key("share", name), self._key("pause", name)], args=[self._holder, places, LEASE_MS]
            )
        except RedisError as error:
            log.warning("Shares of hosts are not known: %s", error)
            host.places, pause = max(1, places // 4), 0
        host.open_at = max(host.open_at, time.monotonic() + pause / 1000 if pause else 0.0)

    async def _take_turn(self, name: str, host: Host) -> None:
        try:
            wait = await self._turn(keys=[self._key("turn", name)], args=[int(host.delay * 1000)]) / 1000
        except RedisError:
            wait = host.delay
        if wait > self._patience:
            await self._give_turn_back(name, host)
            raise Later(wait)
        await asyncio.sleep(wait)

    async def _give_turn_back(self, name: str, host: Host) -> None:
        try:
            await self._redis.decrby(self._key("turn", name), int(host.delay * 1000))
        except RedisError as error:
            log.warning("A turn was not given back: %s", error)

    async def pause(self, name: str, seconds: float) -> None:
        """The host wants to be left alone, by all workers."""
        host = self[name]
        host.open_at = max(host.open_at, time.monotonic() + seconds)
        try:
            await self._redis.set(self._key("pause", name), 1, px=max(1, int(seconds * 1000)))
        except RedisError as error:
            log.warning("A pause was not told: %s", error)

    def slow_down(self, name: str, delay: float) -> None:
        """At least so many seconds between two requests."""
        host = self[name]
        host.delay = max(host.delay, delay)

    async def get(self, kind: str, name: str) -> bytes | None:
        """What workers keep for each other."""
        try:
            value: bytes | None = await self._redis.get(self._key(kind, name))
        except RedisError:
            return None
        return value

    async def keep(self, kind: str, name: str, value: bytes, seconds: int) -> None:
        try:
            await self._redis.set(self._key(kind, name), value, ex=seconds)
        except RedisError as error:
            log.warning("What others could use was not kept: %s", error)

    def _key(self, kind: str, name: str) -> str:
        return f"{settings.CHANNEL_PREFIX}:host:{kind}:{name}"

    async def close(self) -> None:
        """Gives all shares back."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name, host in self._hosts.items():
                    if host.places:
                        pipeline.hdel(self._key("share", name), self._holder)
                await pipeline.execute()
        except RedisError as error:
            log.warning("Shares were not given back; they lapse by themselves: %s", error)
        await self._redis.aclose()
