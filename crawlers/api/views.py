"""What the views of crawlers have in common: the envelope of answers, and its description in OpenAPI."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.models import CrawlerState, FidModel
from taskhub.errors import invalid
from taskhub.jsontools.schema import ObjectSchema
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import page_of
from taskhub.web.preconditions import check_if_match, etag_of
from taskhub.web.problems import problem_handler
from taskhub.web.views import CheckedView

EXAMPLE_FID = "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
FID = OpenApiParameter(
    "fid",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="Its id.",
    examples=[OpenApiExample("An id", EXAMPLE_FID, parameter_only=("fid", OpenApiParameter.PATH))],
)


def enveloped(payload: Any, version: int = 0, status: int = 200, headers: Any = None) -> Response:
    """An answer. `version` is the object's; 0 for a list."""
    return Response({"success": True, "payload": payload, "version": version}, status, headers=headers)


def versioned_response(
    row: FidModel | CrawlerState, payload: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that shows an object; its `ETag` is the version, as `If-Match` takes it."""
    return enveloped(payload, row.version, status, headers={**etag_of(row.version), **(headers or {})})


@contextmanager
def locked_row(request: Request, rows: Any, fid: UUID) -> Iterator[Any]:
    """A row, of the version that the call names, which nobody else changes until the block's transaction is over.

    Raises `NotFound` and `PreconditionFailed`.
    """
    with transaction.atomic():
        row = rows.select_for_update(of=("self",), no_key=True).get_visible(request.user, fid)
        check_if_match(request, row.version)
        yield row


def refuse_paging(request: Request) -> None:
    """Refuses what asks for a page, in a call whose answer has all rows."""
    for name in ("limit", "cursor"):
        if name in request.query_params:
            raise invalid(f"/{name}", "Only pages have it; this format has all.")


class EnvelopeView(CheckedView):
    """Problems carry their faults as sentences, too: `messages`."""

    path_parameters: ClassVar[tuple[OpenApiParameter, ...]] = (FID,)

    def get_exception_handler(self) -> Callable[..., Response]:
        return _problem_with_messages


def _problem_with_messages(exc: Exception, context: Mapping[str, Any]) -> Response:
    response = problem_handler(exc, context)
    problem = cast(dict[str, Any], response.data)
    problem["messages"] = [_message(error) for error in problem.get("errors", [])] or [str(problem.get("detail", ""))]
    return response


def _message(error: Mapping[str, Any]) -> str:
    place = error.get("pointer") or (f"line {error['line']}" if "line" in error else "")
    return f"{place}: {error['detail']}" if place else str(error["detail"])


def created_response(row: Any, payload: Any, folder: str) -> Response:
    """The answer to a call that made an object; `folder` is the path of its kind, such as `streams`."""
    location = f"{settings.PUBLIC_URL}/{folder}/{row.fid}"
    return versioned_response(row, payload, 201, {"Location": location})


class EnvelopeListView(EnvelopeView, GenericAPIView[Any]):
    """A list in an envelope, newest first."""

    pagination_class = NewestFirstPagination

    def page(self, rows: QuerySet[Any], serialize: Callable[[list[Any]], list[Any]]) -> Response:
        page = self.paginate_queryset(rows)
        return enveloped(self.get_paginated_response(serialize(list(page or []))).data)


# OpenAPI


def payload_response(
    description: str, payload: dict[str, Any], example: Any, *, more: Any = None, version: int = 1
) -> Any:
    """An entry of `responses`: the envelope around a payload, titled after that."""
    properties = {
        "success": {"const": True},
        "payload": payload,
        "version": {"type": "integer"},
        **(more or {}),
    }
    schema = {
        "title": f"{payload['title']}Envelope",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    whole = {"success": True, "payload": example, "version": version}
    if more:
        whole |= {name: example[name] for name in more}
    return OpenApiResponse(schema, description, [OpenApiExample(description[:60], whole, response_only=True)])


def list_response(description: str, payload: dict[str, Any], example: Any) -> Any:
    page = {"results": [example], "next": None, "previous": None}
    return payload_response(description, page_of(payload), page, version=0)


def json_body(schema: ObjectSchema) -> dict[str, Any]:
    return {"application/json": schema.schema()}


IS_VERSIONED: dict[Any, Any] = problems(412)
EMPTIED = payload_response("It is deleted.", {"title": "Empty", "type": "null"}, None)
DELETED: dict[Any, Any] = {200: EMPTIED, **IS_VERSIONED}
