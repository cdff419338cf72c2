"""What the views of several apps have in common: bodies and queries, checked before anything is done."""

from collections.abc import Mapping
from typing import Any, cast

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from taskhub.errors import Rejected
from taskhub.jsontools.schema import Shape
from taskhub.jsontools.strict_json import check_storable


class Query(serializers.Serializer[Any]):
    """Names that are not known are refused: a filter that is left out would show what was not asked for."""

    def to_internal_value(self, data: Any) -> Any:
        always = {"limit", "cursor", "api_key"}
        if unknown := [name for name in data if name not in always and name not in self.fields]:
            raise serializers.ValidationError({name[:100]: ["There is no such name here."] for name in unknown[:100]})
        return super().to_internal_value(data)


class NoQuery(Query):
    """Nothing to ask for."""


class CheckedView(APIView):
    def query(self, request: Request, kind: type[Query] = NoQuery) -> dict[str, Any]:
        asked = kind(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        return cast(dict[str, Any], asked.validated_data)

    def given(self, request: Request) -> dict[str, Any]:
        """The body, which must be an object; a form is one of texts."""
        data: Any = request.data
        if not isinstance(data, Mapping):
            raise Rejected("The body must be an object.", errors=[{"pointer": "", "detail": "Must be an object."}])
        if not isinstance(data, QueryDict):
            return dict(data)
        form = dict(data.dict())
        check_storable(form)  # what JSON was asked for when it was read
        return form

    def sent(self, request: Request, shape: Shape) -> dict[str, Any]:
        """The checked body."""
        return shape.check(self.given(request))
