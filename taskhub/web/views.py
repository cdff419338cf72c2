"""What the views of several apps have in common: bodies and queries, checked before anything is done."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from taskhub.errors import invalid
from taskhub.jsontools.schema import ObjectSchema
from taskhub.jsontools.strict_json import check_storable
from taskhub.web.described_calls import ALWAYS_ALLOWED, refuse_unknown_names
from taskhub.web.query_values import query_values, refuse_repeated

Query = TypeVar("Query", bound="QuerySerializer")


class QuerySerializer(serializers.Serializer[Any]):
    """A query. Unknown names are an error: a filter that is overlooked would show what was not asked for."""

    def to_internal_value(self, data: Any) -> Any:
        if unknown := [name for name in data if name not in ALWAYS_ALLOWED and name not in self.fields]:
            raise serializers.ValidationError({name[:100]: ["There is no such name here."] for name in unknown[:100]})
        return super().to_internal_value(data)


class EmptyQuery(QuerySerializer):
    """The query of a call that takes none."""


class CheckedView(APIView):
    """A view whose calls take what their descriptions say, and refuse what else is sent with them.

    `list_parameters` names parameters of its queries that may be given several times; each is a `ListFilter`.
    """

    list_parameters: ClassVar[frozenset[str]] = frozenset()

    def initial(self, request: Request, *args: Any, **options: Any) -> None:
        super().initial(request, *args, **options)
        refuse_unknown_names(self, request)

    def check_query(self, request: Request, kind: type[QuerySerializer] = EmptyQuery) -> dict[str, Any]:
        """The validated query. Raises REST framework's `ValidationError`."""
        values: dict[str, Any] = self.read_query(request, kind).validated_data
        return values

    def read_query(self, request: Request, kind: type[Query]) -> Query:
        """The query's serializer, validated. Raises REST framework's `ValidationError`."""
        query = kind(data=query_values(request.query_params, self.list_parameters))
        query.is_valid(raise_exception=True)
        return query

    def read_object(self, request: Request) -> dict[str, Any]:
        """The body, which must be an object; a form is an object of texts. Raises `Rejected`."""
        body: Any = request.data
        if not isinstance(body, Mapping):
            raise invalid("", "Must be an object.", "The body must be an object.")
        if not isinstance(body, QueryDict):
            return dict(body)
        refuse_repeated(body)
        form = dict(body.dict())
        check_storable(form)  # a JSON body was checked when it was parsed
        return form

    def check_body(self, request: Request, schema: ObjectSchema) -> dict[str, Any]:
        """The validated body. Raises `Rejected`."""
        return schema.check(self.read_object(request))
