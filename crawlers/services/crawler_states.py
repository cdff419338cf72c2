"""States of crawlers: a JSON value of a crawler's own, for those that go on where they stopped."""

import json
from collections.abc import Callable
from typing import Any

from django.db import transaction

from crawlers.models import Crawler, CrawlerState
from taskhub.errors import NotFound, TooLarge

STATE_MAX = 1024 * 1024  # bytes of JSON


def state_of(crawler: Crawler) -> CrawlerState:
    """The crawler's state; null in version 0, which is not stored, where it has none."""
    return CrawlerState.objects.filter(crawler=crawler).first() or CrawlerState(crawler=crawler, version=0)


def save_state(*, crawler: Crawler, value: Any, check: Callable[[CrawlerState], None]) -> CrawlerState:
    """Replaces the state of a crawler, after `check` of the present one, which nobody else replaces meanwhile.

    Raises `TooLarge`, and `NotFound` for a crawler that is deleted meanwhile.
    """
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > STATE_MAX:
        raise TooLarge(f"The state has {size} bytes; {STATE_MAX} are allowed.", limit=STATE_MAX)
    with transaction.atomic():
        rows = Crawler.objects.select_for_update(of=("self",), no_key=True).filter(pk=crawler.pk, removed_at=None)
        if rows.only("pk").first() is None:
            raise NotFound("The crawler was deleted meanwhile.")
        state = state_of(crawler)
        check(state)
        state.value, state.version = value, state.version + 1
        state.save()
    return state
