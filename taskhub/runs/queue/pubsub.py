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
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import redis
from django.conf import settings
from redis.exceptions import RedisError

from taskhub.db.process_local import ProcessLocal
from taskhub.interruption import waiting

log = logging.getLogger(__name__)

# A wake-up that was lost on the way (the publisher could not reach Redis) costs a waiter this long at the most.
SAFETY_SECONDS = 20.0
MISSED_MAX = 10_000
CONFIRM_SECONDS = 1.0
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
    """One waiter's registration for some topics.

    Until Redis has confirmed all of them, wake-ups may be lost; the waiter is woken when it has, to read anew.
    """

    def __init__(self, channels: Iterable[str]) -> None:
        self._event = threading.Event()
        self._callback: Callable[[], Any] = lambda: None
        self.channels = frozenset(channels)
        self.unconfirmed = set(self.channels)
        self.confirmed = threading.Event()

    @property
    def connected(self) -> bool:
        return not self.unconfirmed

    def wake(self) -> None:
        self._event.set()
        self._callback()

    def call_on_wake(self, callback: Callable[[], Any]) -> None:
        """`callback` is called, in the thread that listens, at each wake-up from now on."""
        self._callback = callback

    @property
    def longest_wait(self) -> float:
        """Seconds after which a waiter must read anew, since a wake-up may have been lost."""
        return SAFETY_SECONDS if self.connected else RECONNECT_SECONDS

    def wait(self, seconds: float) -> bool:
        """Waits for a wake-up, at most `seconds`, less while wake-ups may be lost; whether there was one."""
        with waiting(self._event.set):
            woken = self._event.wait(min(seconds, self.longest_wait))
        self._event.clear()
        return woken


class Subscriptions:
    """All subscriptions of this process, and the thread that listens to Redis for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_channel: dict[str, set[Subscription]] = defaultdict(set)
        self._confirmed: dict[str, bool] = {}
        self._connection: Any = None  # redis-py's connections are hardly typed
        threading.Thread(target=self._listen, name="subscriptions", daemon=True).start()

    @contextmanager
    def subscribe(self, *topics: Any, confirmed: bool) -> Iterator[Subscription]:
        """Subscribes to `topics`: the subscription is woken when one of them is published from now on."""
        subscription = Subscription(channel_of(topic) for topic in topics)
        with self._lock:
            for channel in subscription.channels:
                self._add(channel, subscription)
            if subscription.connected:
                subscription.confirmed.set()
        try:
            if confirmed and subscription.confirmed.wait(CONFIRM_SECONDS):
                subscription.wait(0)  # nothing was read before the confirmation, so it wakes nobody
            yield subscription
        finally:
            with self._lock:
                for channel in subscription.channels:
                    self._remove(channel, subscription)

    def _add(self, channel: str, subscription: Subscription) -> None:
        self._by_channel[channel].add(subscription)
        if channel not in self._confirmed:
            self._confirmed[channel] = False
            self._send("SUBSCRIBE", channel)
        elif self._confirmed[channel]:
            subscription.unconfirmed.discard(channel)

    def _remove(self, channel: str, subscription: Subscription) -> None:
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
            except Exception as error:  # whatever it was: nobody in this process would be woken any more
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
                for subscription in subscriptions:
                    subscription.wake()
            elif kind == "subscribe" and channel in self._confirmed:
                self._confirmed[channel] = True
                for subscription in subscriptions:
                    self._confirm(subscription, channel)

    def _disconnect(self, error: Exception) -> None:
        log.warning("Wake-ups are away: %r", error)
        with self._lock:
            if self._connection is not None:
                self._connection.disconnect()
            self._connection = None
            self._confirmed = dict.fromkeys(self._confirmed, False)
            for channel, subscriptions in self._by_channel.items():
                for subscription in subscriptions:
                    subscription.unconfirmed.add(channel)
                    subscription.wake()

    @staticmethod
    def _confirm(subscription: Subscription, channel: str) -> None:
        """Wakes a waiter whose last topic is confirmed: what it read before may have changed without a wake-up."""
        waited = bool(subscription.unconfirmed)
        subscription.unconfirmed.discard(channel)
        if waited and not subscription.unconfirmed:
            subscription.wake()
            subscription.confirmed.set()


_publisher = ProcessLocal(Publisher)
_subscriptions = ProcessLocal(Subscriptions)


def publish(topic: Any, message: str = "") -> None:
    _publisher.get().publish(topic, message)


def subscribe(*topics: Any, confirmed: bool = True) -> AbstractContextManager[Subscription]:
    """A subscription as a context manager, to be entered before what is waited for is read; see above.

    It blocks until Redis has confirmed it, at most CONFIRM_SECONDS. Without `confirmed` it does not: then the
    confirmation wakes it, to read anew.
    """
    return _subscriptions.get().subscribe(*topics, confirmed=confirmed)
