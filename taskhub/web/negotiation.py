"""Which representation an answer has."""

from typing import Any

from rest_framework import exceptions, negotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request


class JsonByDefaultNegotiation(negotiation.DefaultContentNegotiation):
    """Answers with JSON, rather than 406, where nothing fits the `Accept` header."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except exceptions.NotAcceptable:
            renderer: BaseRenderer = next((one for one in renderers if isinstance(one, JSONRenderer)), renderers[0])
            return renderer, renderer.media_type
