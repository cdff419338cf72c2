"""`/openapi.json` and its page `/docs/`."""

import json
from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub.web.problems import as_problem, problem_response

_making = Lock()


def document() -> bytes:
    """The OpenAPI document as JSON, made once: it takes a good part of a second, and many may ask for it at once."""
    with _making:
        return make_document()


@cache
def make_document() -> bytes:
    generator: Any = SchemaGenerator
    return json.dumps(generator().get_schema(public=True), ensure_ascii=False).encode()


class DocumentView(APIView):
    authentication_classes = ()
    permission_classes = ()
    schema = None

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(document(), content_type="application/json")


class DocsView(SpectacularSwaggerView):
    """The document to browse. The browser is told to fetch nothing from elsewhere, and the page asks for nothing."""

    authentication_classes = ()
    permission_classes = ()
    schema = None
    metadata_class = None
    url_name = "openapi"

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response["Content-Security-Policy"] = (
            "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; frame-ancestors 'none'"
        )
        return response

    def handle_exception(self, exc: Exception) -> JsonResponse:  # type: ignore[override]
        return problem_response(as_problem(exc))  # this view has no renderer of its own for JSON
