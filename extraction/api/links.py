"""The call that makes links to results."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import HttpResponseBase, QueryDict
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.views import ExtractionView, answer_when_written
from extraction.services.signed_links import file_named, link_to
from taskhub.errors import Rejected, invalid
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.rest_policies import FormParser, JsonParser, plain_body
from taskhub.web.views import QuerySerializer

LINK = f"http://127.0.0.1:8000/v1/files/signed/{examples.PROCESS_ID}.csv"


class TextRenderer(BaseRenderer):
    media_type = "text/plain"
    format = "txt"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if isinstance(data, Mapping) and data.keys() == {"link"}:
            return str(data["link"]).encode()
        return json.dumps(data).encode()  # a problem


class TextParser(BaseParser):
    media_type = "text/plain"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return plain_body(stream, parser_context).decode()
        except UnicodeDecodeError:
            raise Rejected("The body is no text in UTF-8.") from None


class LinkQuery(QuerySerializer):
    name = serializers.CharField(required=False, max_length=200, help_text="The name of the results")


TEXT = {"type": "string", "minLength": 1, "pattern": "[^ ]"}
NAME = OpenApiParameter(
    "name",
    {"type": "string", "minLength": 1, "maxLength": 200},
    OpenApiParameter.QUERY,
    description="The name of the results.",
    examples=[
        OpenApiExample("A name", f"{examples.PROCESS_ID}.csv", parameter_only=("name", OpenApiParameter.QUERY)),
    ],
)

LINKED: dict[Any, Any] = {
    (200, "text/plain"): OpenApiResponse(
        str, "The link", [OpenApiExample("The link", LINK, media_type="text/plain", response_only=True)]
    ),
    (200, "application/json"): OpenApiResponse(
        {"type": "object", "properties": {"link": {"type": "string", "format": "uri"}}, "required": ["link"]},
        "The link",
        [OpenApiExample("The link as JSON", {"link": LINK}, response_only=True)],
    ),
}


class LinkView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}
    renderer_classes = (TextRenderer, JSONRenderer)
    parser_classes = (JsonParser, FormParser, TextParser)
    reads_any_body = True

    @extend_schema(operation_id="extraction_link", parameters=[NAME], responses={**LINKED, **problems(404)})
    def get(self, request: Request) -> Response | HttpResponseBase:
        """Get a link to results.

        The name of the results, as a process tells it, or of a file that it downloaded, as its records tell it, is in
        the query, or in the body: alone, or as `{"name": ...}`.
        The link is good for an hour, and needs no other authentication. It is plain text unless JSON is asked for.
        Where the file of a process that has just ended is still being written, the answer waits for it.
        """
        name_in_query = self.check_query(request, LinkQuery).get("name", "")
        name_in_body = _name_in(request.data) if request.META.get("CONTENT_LENGTH", "0") not in {"", "0"} else ""
        if not (name := name_in_query or name_in_body):
            raise invalid("/name", "The name of the results is required.")
        linked = file_named(name=name, user=request.user)

        def respond() -> Response:
            linked = file_named(name=name, user=request.user)
            return Response({"link": link_to(process=linked.process, content=linked.content)})

        return respond() if linked.is_download else answer_when_written(request, linked.process, respond)

    @extend_schema(
        operation_id="extraction_link_by_post",
        parameters=[NAME],
        request={
            "application/json": {
                "anyOf": [TEXT, {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}]
            }
        },
        responses={**LINKED, **problems(404)},
        examples=[OpenApiExample("A name", {"name": f"{examples.PROCESS_ID}.csv"}, request_only=True)],
    )
    def post(self, request: Request) -> Response | HttpResponseBase:
        """Get a link to results, by POST.

        As by GET.
        """
        return self.get(request)


def _name_in(data: Any) -> str:
    """The name in a body: a text, an object with `name`, or what `curl -d` makes of a text."""
    if isinstance(data, QueryDict) and "name" not in data:
        data = next(iter(data), "")
    name = data.get("name") if isinstance(data, Mapping) else data
    if not isinstance(name, str) or not name.strip() or "\x00" in name:
        raise invalid("/name", "The name of the results is required.")
    return name.strip()
