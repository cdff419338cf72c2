"""Wake-ups between processes, through Redis pub/sub. Hints only: whoever is woken reads the ledger.

One connection and one thread a process serve every wait in it. A waiter watches, reads the state, then sleeps: what
happens in between wakes it. When the connection breaks, and again when it is back, everybody is woken to read anew.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from django.conf import settings
from redis.exceptions import RedisError

from taskhub.db.process_local import ProcessLocal

log = logging.getLogger(__name__)

# A wake-up that was lost on the way (the publisher could not reach Redis) costs a waiter this long at the most.
SAFETY_SECONDS = 20.0
CONFIRM_SECONDS = 1.0
MISSED_MAX = 10_000
RECONNECT_SECONDS = 0.5
PUBLISH_SECONDS = 0.3  # a caller whose walk is made at once waits for it: see `doorbell.ANSWER_SECONDS`


def channel_of(topic: Any) -> str:
    return f"{settings.CHANNEL_PREFIX}:{topic}"


class Publisher:
    """Publishes without ever raising or waiting long; what Redis did not take is sent with the next wake-up."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=PUBLISH_SECONDS, socket_timeout=PUBLISH_SECONDS
        )
        self._rests_until = 0.0
        self._missed: deque[tuple[str, str]] = deque(maxlen=MISSED_MAX)

    def publish(self, topic: Any, message: str = "") -> None:
        if time.monotonic() < self._rests_until:
            self._missed.append((channel_of(topic), message))
            return
        try:
            self._client.publish(channel_of(topic), message)
            self._publish_missed()
        except RedisError as error:
            self._missed.append((channel_of(topic), message))
            self._rests_until = time.monotonic() + 1
            log.warning("No wake-up was sent: %s", error)

    def _publish_missed(self) -> None:
        """Several threads may be at it; each takes what the others have not."""
        with suppress(IndexError):
            while missed := self._missed.popleft():
                try:
                    self._client.publish(*missed)
                except RedisError:
                    self._missed.appendleft(missed)
                    raise


class Watch:
    """One waiter's bell for one topic."""

    def __init__(self) -> None:
        self._bell = threading.Event()
        self.connected = True

    def ring(self) -> None:
        self._bell.set()

    def sleep(self, seconds: float) -> bool:
        """Until the topic moves, at most `seconds`, shorter when wake-ups may be lost; whether it rang."""
        rang = self._bell.wait(min(seconds, SAFETY_SECONDS if self.connected else RECONNECT_SECONDS))
        self._bell.clear()
        return rang


class Hub:
    """The subscriptions of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._confirmed: dict[str, threading.Event] = {}
        self._connection: Any = None  # redis-py's connections are hardly typed
        threading.Thread(target=self._listen, name="hub", daemon=True).start()

    @contextmanager
    def watch(self, topic: Any) -> Iterator[Watch]:
        """A bell that rings when `topic` is published from now on."""
        channel, watch = channel_of(topic), Watch()
        confirmed = self._enter(channel, watch)
        try:
            watch.connected = confirmed.wait(CONFIRM_SECONDS)
            yield watch
        finally:
            self._leave(channel, watch)

    def _enter(self, channel: str, watch: Watch) -> threading.Event:
        with self._lock:
            self._watches[channel].add(watch)
            if channel not in self._confirmed:
                self._confirmed[channel] = threading.Event()
                self._send("SUBSCRIBE", channel)
            return self._confirmed[channel]

    def _leave(self, channel: str, watch: Watch) -> None:
        with self._lock:
            self._watches[channel].discard(watch)
            if not self._watches[channel]:
                del self._watches[channel], self._confirmed[channel]
                self._send("UNSUBSCRIBE", channel)

    def _send(self, *command: str) -> None:
        if self._connection is None:
            return
        try:
            self._connection.send_command(*command, check_health=False)
        except (RedisError, OSError):
            log.debug("%s waits for the connection", command[0])

    def _listen(self) -> None:
        while True:
            try:
                self._connect()
                while True:
                    self._hear(self._connection.read_response())
            except (RedisError, OSError) as error:
                self._disconnect(error)
                time.sleep(RECONNECT_SECONDS)

    def _connect(self) -> None:
        pool = redis.ConnectionPool.from_url(
            settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=None, protocol=2
        )
        connection = pool.make_connection()
        connection.connect()
        with self._lock:
            self._connection = connection
            if self._watches:
                self._send("SUBSCRIBE", *self._watches)

    def _hear(self, reply: Any) -> None:
        """`[kind, channel, ...]` as RESP sends it to a subscriber."""
        kind, channel = (part.decode() if isinstance(part, bytes) else part for part in reply[:2])
        with self._lock:
            watches = self._watches.get(channel, set())
            if kind == "message":
                self._ring(watches, connected=True)
            elif kind == "subscribe" and channel in self._confirmed:
                self._confirmed[channel].set()
                # Those that were watching before an outage may have missed something; new ones have yet to read.
                self._ring([watch for watch in watches if not watch.connected], connected=True)

    def _disconnect(self, error: Exception) -> None:
        log.warning("Wake-ups are away: %s", error)
        with self._lock:
            if self._connection is not None:
                self._connection.disconnect()
            self._connection = None
            for confirmed in self._confirmed.values():
                confirmed.clear()
            for watches in self._watches.values():
                self._ring(watches, connected=False)

    @staticmethod
    def _ring(watches: Any, *, connected: bool) -> None:
        for watch in watches:
            watch.connected = connected
            watch.ring()


_hub = ProcessLocal(Hub)
_publisher = ProcessLocal(Publisher)


def publish(topic: Any, message: str = "") -> None:
    _publisher.get().publish(topic, message)


def watch(topic: Any) -> Any:
    return _hub.get().watch(topic)
