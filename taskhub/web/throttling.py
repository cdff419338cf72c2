"""Rate limits."""

from typing import Any, cast

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework import throttling
from rest_framework.request import Request


class RouteThrottle(throttling.SimpleRateThrottle):
    """Counts calls in fixed windows, such as a minute, per user (or address) and route class.

    The route class is the view's `throttle_scope`, else `read` or `submit`. One number per window, incremented in
    Redis: the same cost for 60 and for 60,000 calls, and calls at the same moment are all counted.
    """

    def __init__(self) -> None:
        """The rate depends on the view, which is known when it is called."""

    def allow_request(self, request: Request | HttpRequest, view: Any) -> bool:
        scope = getattr(view, "throttle_scope", None) or ("read" if request.method == "GET" else "submit")
        rate = settings.THROTTLE_RATES[scope]
        if rate is None:
            return True
        calls, duration = cast(tuple[int, int], self.parse_rate(rate))
        window, elapsed = divmod(self.timer(), duration)
        self._seconds_left = duration - elapsed
        ident = request.user.pk or self.get_ident(request)  # type: ignore[arg-type]  # both have META
        return self._count(f"throttle:{scope}:{ident}:{window:.0f}", duration) <= calls

    def wait(self) -> float:
        return self._seconds_left

    @staticmethod
    def _count(key: str, duration: int) -> int:
        try:
            return _increment(caches["default"], key, duration)
        except RedisError:
            # Redis is away: this process counts alone, rather than letting everybody in or nobody.
            return _increment(caches["local"], key, duration)


def _increment(cache: BaseCache, key: str, duration: int) -> int:
    cache.add(key, 0, timeout=duration + 1)
    return cache.incr(key)
