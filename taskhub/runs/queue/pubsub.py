"""Wake-ups between processes, through Redis pub/sub. Hints only: whoever is woken reads the run from the database.

One connection and one thread serve every wait of a process. No wake-up is lost to the order of things:

1. A waiter subscribes, and waits until Redis has confirmed it.
2. It reads the run.
3. It waits. A change that was committed before step 2 was read there; one after it is published after its commit, so
   Redis sends it to this subscription, and the event stays set until the waiter looks.

When the connection breaks, and again when it is back, all waiters are woken to read anew: what was published meanwhile
is lost.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
PUBLISH_SECONDS = 0.3  # a caller whose walk is made at once waits for it: see `broker.ANSWER_SECONDS`


def channel_of(topic: Any) -> str:
    return f"{settings.CHANNEL_PREFIX}:{topic}"


class Publisher:
    """Publishes without ever raising or waiting long; what Redis did not take is sent with the next wake-up."""

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=PUBLISH_SECONDS, socket_timeout=PUBLISH_SECONDS
        )
        self._pause_until = 0.0
        self._missed: deque[tuple[str, str]] = deque(maxlen=MISSED_MAX)

    def publish(self, topic: Any, message: str = "") -> None:
        if time.monotonic() < self._pause_until:
            self._missed.append((channel_of(topic), message))
            return
        try:
            self._client.publish(channel_of(topic), message)
            self._publish_missed()
        except RedisError as error:
            self._missed.append((channel_of(topic), message))
            self._pause_until = time.monotonic() + 1
            log.warning("No wake-up was sent: %s", error)

    def _publish_missed(self) -> None:
        """Publishes what was missed. Several threads may do this at once; each takes what the others have not."""
        with suppress(IndexError):
            while missed := self._missed.popleft():
                try:
                    self._client.publish(*missed)
                except RedisError:
                    self._missed.appendleft(missed)
                    raise


class Subscription:
    """One waiter's registration for one topic."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.connected = True

    def wake(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Waits for the topic to be published, at most `seconds`, less while wake-ups may be lost; whether it was."""
        woken = self._event.wait(min(seconds, SAFETY_SECONDS if self.connected else RECONNECT_SECONDS))
        self._event.clear()
        return woken


class Subscriptions:
    """All subscriptions of this process, and the thread that listens to Redis for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_channel: dict[str, set[Subscription]] = defaultdict(set)
        self._confirmed: dict[str, threading.Event] = {}
        self._connection: Any = None  # redis-py's connections are hardly typed
        threading.Thread(target=self._listen, name="subscriptions", daemon=True).start()

    @contextmanager
    def subscribe(self, topic: Any) -> Iterator[Subscription]:
        """Subscribes to `topic`: the subscription is woken when it is published from now on."""
        channel, subscription = channel_of(topic), Subscription()
        confirmed = self._add(channel, subscription)
        try:
            # A waiter that read the run before Redis knows of it would miss what is published between the two.
            subscription.connected = confirmed.wait(CONFIRM_SECONDS)
            yield subscription
        finally:
            self._remove(channel, subscription)

    def _add(self, channel: str, subscription: Subscription) -> threading.Event:
        """The event that is set when Redis has confirmed the channel."""
        with self._lock:
            self._by_channel[channel].add(subscription)
            if channel not in self._confirmed:
                self._confirmed[channel] = threading.Event()
                self._send("SUBSCRIBE", channel)
            return self._confirmed[channel]

    def _remove(self, channel: str, subscription: Subscription) -> None:
        with self._lock:
            self._by_channel[channel].discard(subscription)
            if not self._by_channel[channel]:
                del self._by_channel[channel], self._confirmed[channel]
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
                    self._receive(self._connection.read_response())
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
            if self._by_channel:
                self._send("SUBSCRIBE", *self._by_channel)

    def _receive(self, reply: Any) -> None:
        """Handles a reply of Redis, `[kind, channel, ...]`, as RESP sends it to a subscriber."""
        kind, channel = (part.decode() if isinstance(part, bytes) else part for part in reply[:2])
        with self._lock:
            subscriptions = self._by_channel.get(channel, set())
            if kind == "message":
                self._wake(subscriptions, connected=True)
            elif kind == "subscribe" and channel in self._confirmed:
                self._confirmed[channel].set()
                # Those that were there before an outage may have missed something; new ones have yet to read.
                before = [subscription for subscription in subscriptions if not subscription.connected]
                self._wake(before, connected=True)

    def _disconnect(self, error: Exception) -> None:
        log.warning("Wake-ups are away: %s", error)
        with self._lock:
            if self._connection is not None:
                self._connection.disconnect()
            self._connection = None
            for confirmed in self._confirmed.values():
                confirmed.clear()
            for subscriptions in self._by_channel.values():
                self._wake(subscriptions, connected=False)

    @staticmethod
    def _wake(subscriptions: Iterable[Subscription], *, connected: bool) -> None:
        for subscription in subscriptions:
            subscription.connected = connected
            subscription.wake()


_publisher = ProcessLocal(Publisher)
_subscriptions = ProcessLocal(Subscriptions)


def publish(topic: Any, message: str = "") -> None:
    _publisher.get().publish(topic, message)


def subscribe(topic: Any) -> AbstractContextManager[Subscription]:
    """A subscription as a context manager, to be entered before what is waited for is read; see above."""
    return _subscriptions.get().subscribe(topic)
