"""Pages of lists: `{results, next, previous}`, newest first by an id that grows."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from pydantic import Field

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
    backwards = cursor is not None and cursor[0] == ">"
    if cursor is not None:
        rows = rows.filter(**{"pk__gt" if backwards else "pk__lt": key(UUID(cursor[1:]))})
    page = list(rows.order_by("pk" if backwards else "-pk")[: limit + 1])
    has_more, page = len(page) > limit, page[:limit]
    if backwards:
        page.reverse()

    def address(direction: str, row: Any) -> str:
        query = urlencode({**arguments, "limit": limit, "cursor": f"{direction}{int(row.pk):032x}"})
        return f"{settings.PUBLIC_URL}/js/{call}?{query}"

    has_next, has_previous = (True, has_more) if backwards else (has_more, cursor is not None)
    return {
        "results": [serialize(row) for row in page],
        "next": address("<", page[-1]) if page and has_next else None,
        "previous": address(">", page[0]) if page and has_previous else None,
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
    """The same for who counts rows: those behind the first `offset`, oldest first with `asc`; a limit of 0 is all."""
    page = list(rows.order_by("pk" if asc else "-pk")[offset : offset + limit + 1 if limit else None])

    def address(start: int) -> str:
        query = urlencode({**arguments, **({"asc": "true"} if asc else {}), "limit": limit, "offset": start})
        return f"{settings.PUBLIC_URL}/js/{call}?{query}"

    return {
        "results": [serialize(row) for row in (page[:limit] if limit else page)],
        "next": address(offset + limit) if limit and len(page) > limit else None,
        "previous": address(max(0, offset - limit)) if offset else None,
    }
