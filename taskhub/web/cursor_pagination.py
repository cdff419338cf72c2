"""Lists in pages, by cursors."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework import exceptions, pagination
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param

from taskhub.errors import invalid

NO_PAGE = "The page cannot be given."


class NewestFirstPagination(pagination.CursorPagination):
    """Pages of `{results, next, previous}`, newest first by an id that sorts by time; `?limit=` up to 1,000."""

    ordering = "-id"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1000

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.page_size))
        if not text.isascii() or not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= self.max_page_size:
            detail = f"Must be a whole number from 1 to {self.max_page_size}."
            raise invalid("/limit", detail, NO_PAGE)
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        except (exceptions.NotFound, ValidationError, ValueError, DataError):
            if self.cursor_query_param not in request.query_params:
                raise
            raise invalid("/cursor", "This is no cursor of this list.", NO_PAGE) from None
        # Absolute links have one source, and never carry the key they were asked for with.
        self.base_url = remove_query_param(settings.PUBLIC_URL + request.get_full_path(), "api_key")
        return page

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """For the OpenAPI document."""
        link = {"type": ["string", "null"], "format": "uri", "description": "An address, or null at the end."}
        properties = {"results": schema, "next": {**link, "example": None}, "previous": {**link, "example": None}}
        return {"type": "object", "required": list(properties), "properties": properties}
