"""Pages of lists: `{results, next, previous}`, newest first by an id that grows."""

import sys
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet, Subquery
from pydantic import Field

from taskhub.web.cursor_pagination import read_page
from walkers.http.response_types import ResultPage

Limit = Annotated[int, Field(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[
    str | None, Field(pattern="^[<>][0-9a-f]{32}$", description="As in `next` or `previous` of another page.")
]


def paginate(
    call: str,
    rows: QuerySet[Any],
    serialize: Callable[[Any], Any],
    limit: int,
    cursor: str | None,
    *,
    key: Callable[[UUID], Any] = lambda id: id,
    **arguments: Any,
) -> ResultPage[Any]:
    """One page of `rows`; `next` and `previous` are addresses of the call with its other `arguments`, or null.

    `key` makes a row's primary key of the UUID in a cursor, where that is a number.
    """
    after = key(UUID(cursor[1:])) if cursor else None
    page = read_page(rows, "-pk", limit, after=after, backwards=cursor is not None and cursor[0] == ">")

    def address(direction: str, row: Any) -> str:
        query = urlencode({**arguments, "limit": limit, "cursor": f"{direction}{int(row.pk):032x}"})
        return f"{settings.PUBLIC_URL}/js/{call}?{query}"

    return {
        "results": [serialize(row) for row in page.rows],
        "next": address("<", page.rows[-1]) if page.rows and page.has_next else None,
        "previous": address(">", page.rows[0]) if page.rows and page.has_previous else None,
    }


def paginate_by_offset(
    call: str,
    rows: QuerySet[Any],
    serialize: Callable[[Any], Any],
    limit: int,
    offset: int,
    *,
    asc: bool,
    **arguments: Any,
) -> ResultPage[Any]:
    """The same for who counts rows: those behind the first `offset`, oldest first with `asc`; a limit of 0 is all.

    Such a page, too, ends by what its rows weigh.
    """
    order, onwards = ("pk", "pk__gte") if asc else ("-pk", "pk__lte")
    first = rows.order_by(order).values("pk")[offset : offset + 1]
    page = read_page(rows.filter(**{onwards: Subquery(first)}), order, limit or sys.maxsize)

    def address(start: int) -> str:
        query = urlencode({**arguments, **({"asc": "true"} if asc else {}), "limit": limit, "offset": start})
        return f"{settings.PUBLIC_URL}/js/{call}?{query}"

    return {
        "results": [serialize(row) for row in page.rows],
        "next": address(offset + len(page.rows)) if page.has_next else None,
        "previous": address(max(0, offset - limit)) if offset else None,
    }
