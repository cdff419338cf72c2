"""The values of queries and forms: texts by name, of which each has one, or several where a list is taken."""

from collections.abc import Collection
from typing import Any

from django.http import QueryDict
from rest_framework import serializers

from taskhub.errors import Rejected
from taskhub.jsontools.field_types import parse_timestamp
from taskhub.jsontools.strict_json import escape_pointer

NAMES_MAX = 20
TWICE = "This is given twice."
FLAG_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "integer", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|1|[Yy][Ee][Ss]|[Ff][Aa][Ll][Ss][Ee]|0|[Nn][Oo])$"},
    ]
}
FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}  # in any case


def refuse_repeated(values: QueryDict, lists: Collection[str] = ()) -> None:
    """Raises `Rejected` that names what is given several times, but for `lists`: who says two things says nothing."""
    repeated = [name for name, texts in values.lists() if len(texts) > 1 and name not in lists]
    if repeated:
        places = [{"pointer": f"/{escape_pointer(name[:100])}", "detail": TWICE} for name in repeated[:NAMES_MAX]]
        raise Rejected(f"{repeated[0][:100]} is given twice.", errors=places)


LIST_MAX = 100  # values of one parameter


class RepeatedFilter(serializers.ListField):
    """Several values: the parameter is repeated. `list_parameters` of the view names the parameter, too."""

    def to_internal_value(self, data: Any) -> list[Any]:
        words = self.words_of([data] if isinstance(data, str) else data)
        if len(words) > LIST_MAX:
            raise serializers.ValidationError(f"These are more than {LIST_MAX} values.")
        return [self.child.run_validation(word) for word in words]

    def words_of(self, texts: list[str]) -> list[str]:
        return texts


class ListFilter(RepeatedFilter):
    """Several values: the parameter is repeated, or has them separated by commas."""

    def words_of(self, texts: list[str]) -> list[str]:
        return [word.strip() for text in texts for word in text.split(",")]


class AnyCaseChoice(serializers.ChoiceField):
    """One of several words in capitals, in any case."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(str(data).upper())


class TimeFilter(serializers.DateTimeField):
    """A time as RFC 3339 writes it; or a date, which is its first moment in UTC."""

    def to_internal_value(self, value: Any) -> Any:
        try:
            return parse_timestamp(value)
        except ValueError:
            return super().to_internal_value(value)


class FlagFilter(serializers.BooleanField):
    """Yes or no, in the spellings that all calls take."""

    def to_internal_value(self, data: Any) -> bool:
        if (flag := FLAGS.get(str(data).lower())) is None:
            self.fail("invalid", input=data)
        return flag


def query_values(query: QueryDict, lists: Collection[str] = ()) -> dict[str, Any]:
    """What a serializer of a query reads: the text of each name; of a list all its texts."""
    return {name: texts if name in lists else texts[-1] for name, texts in query.lists() if texts}
