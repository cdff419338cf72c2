"""Lists in pages, by cursors. A page ends by its number of rows, and by what these weigh."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Model, QuerySet
from rest_framework import exceptions, pagination
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param

from taskhub.errors import invalid

NO_PAGE = "The page cannot be given."
PAGE_BYTES = 16 * 1024 * 1024  # then a page ends, with fewer rows than were asked for
FIRST_ROWS = 20  # that are read before it is known what a row weighs


class RowPage(NamedTuple):
    """Rows of a list in its order, and whether there are more on either side.

    `reached` is the column of the row to which the list was looked through, where that is none of the page.
    """

    rows: list[Any]
    has_next: bool
    has_previous: bool
    reached: Any = None


def read_page(rows: QuerySet[Any], order: str, limit: int, *, after: Any = None, backwards: bool = False) -> RowPage:
    """One page of a list, ordered by a unique column such as `-id`: up to `limit` rows, of up to `PAGE_BYTES`.

    It begins behind the row whose column is `after`; `backwards` it ends before that. A page has at least one row.
    Rows are read some at a time, so that no more of large ones is ever held.
    """
    column, descending = order.lstrip("-"), order.startswith("-") != backwards
    ordered = rows.order_by(f"-{column}" if descending else column)
    behind = f"{column}__{'lt' if descending else 'gt'}"
    page: list[Any] = []
    position, weight, is_full = after, 0, False
    while not is_full:
        wanted = min(limit + 1 - len(page), max(FIRST_ROWS, (PAGE_BYTES - weight) * len(page) // max(1, weight)))
        batch = list((ordered if position is None else ordered.filter(**{behind: position}))[:wanted])
        for row in batch:
            added = weight_of(row)
            is_full = len(page) == limit or (bool(page) and weight + added > PAGE_BYTES)
            if is_full:
                break
            page.append(row)
            weight, position = weight + added, getattr(row, column)
        if len(batch) < wanted:
            break
    if backwards:
        return RowPage(page[::-1], True, is_full)
    return RowPage(page, is_full, after is not None)


def weight_of(row: Model) -> int:
    """About how many bytes a row has, with the rows that were read along with it."""
    along = [related for related in row._state.fields_cache.values() if related is not None]
    return sum(_size(value) for one in (row, *along) for value in vars(one).values())


def _size(value: Any) -> int:
    if isinstance(value, dict | list):
        return len(json.dumps(value, default=str))
    return len(value) if hasattr(value, "__len__") else 8


class NewestFirstPagination(pagination.CursorPagination):
    """Pages of `{results, next, previous}`, newest first by an id that sorts by time; `?limit=` up to 1,000."""

    ordering = "-id"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000
    row_page = RowPage([], False, False)
    is_backwards = False

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.page_size))
        if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= self.max_page_size:
            detail = f"Must be a whole number from 1 to {self.max_page_size}."
            raise invalid("/limit", detail, NO_PAGE)
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        limit = self.get_page_size(request)
        try:
            cursor = self.decode_cursor(request)
            after, backwards = (cursor.position, cursor.reverse) if cursor else (None, False)
            self.is_backwards = backwards
            self.row_page = self.read_rows(queryset, limit, after=after, backwards=backwards)
        except (exceptions.NotFound, ValidationError, ValueError, DataError):
            if self.cursor_query_param not in request.query_params:
                raise
            raise invalid("/cursor", "This is no cursor of this list.", NO_PAGE) from None
        # Absolute links have one source, and never carry the key they were asked for with.
        self.base_url = remove_query_param(settings.PUBLIC_URL + request.get_full_path(), "api_key")
        return self.row_page.rows

    def read_rows(self, queryset: Any, limit: int, *, after: Any, backwards: bool) -> RowPage:
        return read_page(queryset, self.ordering, limit, after=after, backwards=backwards)

    def get_next_link(self) -> str | None:
        reached = None if self.is_backwards else self.row_page.reached
        return self._link(self.row_page.rows[-1:], reached, reverse=False) if self.row_page.has_next else None

    def get_previous_link(self) -> str | None:
        reached = self.row_page.reached if self.is_backwards else None
        return self._link(self.row_page.rows[:1], reached, reverse=True) if self.row_page.has_previous else None

    def _link(self, rows: Sequence[Any], reached: Any, *, reverse: bool) -> str | None:
        """The address of the page on the one side of a row; None for an empty page, which has no sides."""
        positions: list[Any] = [getattr(row, self.ordering.lstrip("-")) for row in rows]
        position: Any = reached or next(iter(positions), None)
        text: Any = str(position)
        return self.encode_cursor(pagination.Cursor(0, reverse, text)) if position else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """For the OpenAPI document."""
        link = {"type": ["string", "null"], "format": "uri", "description": "An address, or null at the end."}
        properties = {"results": schema, "next": {**link, "example": None}, "previous": {**link, "example": None}}
        return {"type": "object", "required": list(properties), "properties": properties}


class OldestFirstPagination(NewestFirstPagination):
    """The same, oldest first."""

    ordering = "id"
