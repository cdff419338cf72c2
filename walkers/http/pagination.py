"""Pages of lists: `{results, next, previous}`, newest first by an id that grows."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from walkers.http.response_types import Page


def page(
    call: str,
    rows: QuerySet[Any],
    show: Callable[[Any], Any],
    limit: int,
    cursor: str | None,
    *,
    key: Callable[[UUID], Any] = lambda id: id,
    **arguments: Any,
) -> Page[Any]:
    """One page; `next` and `previous` are addresses of the call with its other `arguments`, or null.

    `key` makes a row's key of a UUID, where that is another number.
    """
    back = cursor is not None and cursor[0] == ">"
    if cursor is not None:
        rows = rows.filter(**{"pk__gt" if back else "pk__lt": key(UUID(cursor[1:]))})
    found = list(rows.order_by("pk" if back else "-pk")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    if back:
        found.reverse()

    def address(side: str, row: Any) -> str:
        query = urlencode({**arguments, "limit": limit, "cursor": f"{side}{int(row.pk):032x}"})
        return f"{settings.PUBLIC_URL}/js/{call}?{query}"

    follows, precedes = (True, more) if back else (more, cursor is not None)
    return {
        "results": [show(row) for row in found],
        "next": address("<", found[-1]) if found and follows else None,
        "previous": address(">", found[0]) if found and precedes else None,
    }
