"""What the views of crawlers have in common."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from crawlers.api.serializers import enveloped, messages_of
from crawlers.models import Crawler, External, Stream, Task
from taskhub.errors import NotFound
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.problems import problem_handler
from taskhub.web.views import CheckedView

Row = TypeVar("Row", External, Stream, Crawler, Task)

EXAMPLE_FID = "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
FID = OpenApiParameter(
    "fid",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="Its id.",
    examples=[OpenApiExample("An id", EXAMPLE_FID, parameter_only=("fid", OpenApiParameter.PATH))],
)


class CrawlersView(CheckedView):
    """Problems say their faults as `messages`, too."""

    path_parameters = (FID,)

    def get_exception_handler(self) -> Callable[..., Response]:
        return _with_messages


class CrawlersList(CrawlersView, GenericAPIView[Any]):
    """A list in an envelope, newest first."""

    pagination_class = NewestFirstPagination

    def listed(self, rows: QuerySet[Any], show: Callable[[list[Any]], list[Any]]) -> Response:
        found = self.paginate_queryset(rows)
        page = self.get_paginated_response(show(list(found or [])))
        return enveloped(page.data)


def found(model: type[Row], user: Any, fid: UUID, *related: str) -> Row:
    """Raises `NotFound` for what never was, is deleted, or is another's."""
    rows = model.objects.visible_to(user).select_related("owner", *related)
    row: Row | None = rows.filter(fid=fid).first()
    if row is None:
        raise NotFound(f"There is no {model._meta.verbose_name} {fid}, or it is not yours.")
    return row


def _with_messages(exc: Exception, context: Mapping[str, Any]) -> Response:
    response = problem_handler(exc, context)
    data = cast(dict[str, Any], response.data)
    data["messages"] = messages_of(data)
    return response


def answer(description: str, payload: dict[str, Any], example: Any, *, more: Any = None, version: int = 1) -> Any:
    """An entry of `responses`: the envelope around a payload."""
    properties = {
        "success": {"const": True},
        "payload": payload,
        "version": {"type": "integer"},
        **(more or {}),
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    whole = {"success": True, "payload": example, "version": version}
    if more:
        whole |= {name: example[name] for name in more}
    return OpenApiResponse(schema, description, [OpenApiExample(description[:60], whole, response_only=True)])


def page_of(payload: dict[str, Any]) -> dict[str, Any]:
    link = {"type": ["string", "null"], "format": "uri"}
    properties = {"results": {"type": "array", "items": payload}, "next": link, "previous": link}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def listing(description: str, payload: dict[str, Any], example: Any) -> Any:
    page = {"results": [example], "next": None, "previous": None}
    return answer(description, page_of(payload), page, version=0)


def body(shape: Any) -> dict[str, Any]:
    return {"application/json": shape.schema()}


def created(row: Any, payload: Any, folder: str) -> Response:
    location = f"{settings.PUBLIC_URL}/{folder}/{row.fid}"
    return enveloped(payload, row.version, 201, headers={"Location": location})


GONE = answer("It is deleted.", {"type": "null"}, None)
