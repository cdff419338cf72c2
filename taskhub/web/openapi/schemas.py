"""Parts of the OpenAPI document that views name: pages of lists, headers, schemas made from examples."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter

from taskhub.web.cursor_pagination import NewestFirstPagination

MULTIPART = "multipart/form-data"
PAGE = [  # of lists that are asked for by POST, too; for those by GET `HubAutoSchema` derives it
    OpenApiParameter(
        "limit",
        {
            "type": "integer",
            "minimum": 1,
            "maximum": NewestFirstPagination.max_page_size,
            "default": NewestFirstPagination.page_size,
        },
        description="How many at most.",
    ),
    OpenApiParameter("cursor", str, description="As in `next` or `previous` of another page."),
]


def response_header(name: str, description: str, *statuses: int, kind: type = str) -> OpenApiParameter:
    """A header that answers with these statuses carry, for `parameters` of `extend_schema`."""
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, response=list(statuses))


def page_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a page of a list, titled after what it lists."""
    page = NewestFirstPagination().get_paginated_response_schema({"type": "array", "items": item})
    return page | ({"title": f"{item['title']}Page"} if "title" in item else {})


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def object_of(title: str, example: Mapping[str, Any], **special: Any) -> dict[str, Any]:
    """The schema of an object that looks like the example; `special` says what one alone does not show.

    What has a title is shared: it stands in the document once, under that name.
    """
    return {"title": title, **_object_of(example, **special)}


def _object_of(example: Mapping[str, Any], **special: Any) -> dict[str, Any]:
    properties = {name: special.get(name, _schema_of(value)) for name, value in example.items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _schema_of(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array", "items": _schema_of(value[0]) if value else {}}
        case dict():
            return _object_of(value) if value else {"type": "object"}
    return {}
