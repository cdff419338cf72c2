"""The answer to OPTIONS."""

from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request


class ViewMetadata(SimpleMetadata):
    """Describes a view by its name, its text and its media types, and by its fields where a serializer has them."""

    def determine_actions(self, request: Request, view: Any) -> dict[str, Any]:
        """The fields by method. A list view whose bodies are checked without a serializer has none to tell."""
        if getattr(view, "serializer_class", None) is None:
            return {}
        return super().determine_actions(request, view)
