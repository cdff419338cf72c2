"""Which runs are meant: a filter, as a query or a body says it. `narrow()` leaves the runs that it lets pass.

Whoever reads some of many runs reads them by `run_pages`, in bounded time.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Self
from uuid import UUID

from django.db import connection
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from pydantic import BeforeValidator, Field, WithJsonSchema
from rest_framework import serializers

from taskhub.errors import invalid
from taskhub.jsontools.field_types import NO_CONTROLS, Text, parse_timestamp
from taskhub.jsontools.schema import ObjectSchema
from taskhub.runs.domain import State, oldest_id
from taskhub.runs.models import Run
from taskhub.runs.models.run import TAG_MAX
from taskhub.runs.run_options import METADATA, METADATA_KEY_MAX, METADATA_MAX, METADATA_TEXT_MAX, Metadata
from taskhub.web.query_values import AnyCaseChoice, ListFilter, RepeatedFilter, TimeFilter
from taskhub.web.views import QuerySerializer

VALUES_MAX = 100  # of one name
KIND_MAX, NAME_MAX, ERROR_MAX, PART_MAX = 40, 200, 200, 200
ID_DIGITS_MIN = 4  # of what may be the beginning of an id
NAMES_LOOKED_AT = 1000  # of which those with a part in them are found; where there are more, each run is looked at

_ID_WRITTEN = re.compile(r"(urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}", re.IGNORECASE)  # what begins so is nothing else

# From one name to the next by the index of names, however many runs each has.
_NAMES = """
WITH RECURSIVE names (name) AS (
    (SELECT name FROM runs_run ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT name FROM runs_run WHERE name > names.name ORDER BY name LIMIT 1) FROM names
    WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL LIMIT %s
"""


@dataclass(frozen=True)
class RunFilter:
    """Lets runs pass that fulfil all that is said; of several values of one name any, but all tags.

    `owner` is for staff: see `check_viewer`. A text in `metadata` finds the number, true, false or null that reads the
    same, too. Of what is secret in metadata nothing is found. `since` and `until` say when runs were accepted; what is
    at `until` is left out. `q` is a part of a name, a tag or an error, or the beginning of an id, in any case; what is
    written as an id, to its first hyphen and on, is looked for among ids alone.
    """

    state: tuple[State, ...] = ()
    kind: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    owner: tuple[UUID, ...] = ()
    tag: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    error: tuple[str, ...] = ()
    parent: UUID | None = None
    retry_of: UUID | None = None
    schedule: str = ""
    since: datetime | None = None
    until: datetime | None = None
    finished_since: datetime | None = None
    finished_until: datetime | None = None
    q: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The filter of checked values; names of others are passed over."""
        said: dict[str, Any] = {one.name: values[one.name] for one in fields(cls) if values.get(one.name) is not None}
        for name, value in said.items():
            said[name] = tuple(value) if isinstance(value, list) else value
        return cls(**said)

    @classmethod
    def read(cls, values: Mapping[str, Any], *, at: str = "") -> Self:
        """The filter that a JSON object says, which stands at the pointer `at`. Raises `Rejected` with each place."""
        return cls.of(FILTER.check_json(values, at=at))

    @property
    def is_empty(self) -> bool:
        """Whether it lets every run pass."""
        return self == RunFilter()

    def check_viewer(self, user: Any, *, at: str = "") -> None:
        """Raises `Rejected` where a user asks for the runs of others, who may not see them."""
        if not user.reaches_all and set(self.owner) - {user.pk}:
            raise invalid(f"{at}/owner", "Only staff may ask for the runs of others.")

    def narrow(self, runs: QuerySet[Run]) -> QuerySet[Run]:
        """Those of the runs that it lets pass."""
        several = {"state": self.state, "kind": self.kind, "name": self.name, "owner": self.owner}
        conditions = {f"{name}__in": values for name, values in several.items() if values}
        single = {
            "parent": self.parent,
            "retry_of": self.retry_of,
            "schedule": self.schedule,
            # Ids sort by time.
            "id__gte": self.since and oldest_id(self.since),
            "id__lt": self.until and oldest_id(self.until),
            "finished_at__gte": self.finished_since,
            "finished_at__lt": self.finished_until,
        }
        runs = runs.filter(**conditions, **{name: value for name, value in single.items() if value})
        # Beside each condition stands that of the index which serves it.
        if self.tag:
            runs = runs.filter(~Q(tags=[]), tags__contains=list(self.tag))
        for key, value in self.metadata.items():
            readings = (Q(metadata__contains={key: reading}) for reading in _readings(value))
            runs = runs.filter(~Q(metadata={}), reduce(or_, readings))
        if self.error:
            runs = runs.alias(error_type=_error("type")).filter(error__isnull=False, error_type__in=self.error)
        return self._narrow_to_part(runs) if self.q else runs

    def _narrow_to_part(self, runs: QuerySet[Run]) -> QuerySet[Run]:
        if (ids := _ids_from(self.q)) and _ID_WRITTEN.match(self.q):
            return runs.filter(id__range=ids)
        names = _names_with(self.q)
        found = Q(name__icontains=self.q) if names is None else Q(name__in=names)
        found |= ~Q(tags=[]) & Q(all_tags__icontains=self.q)
        found |= Q(error__isnull=False) & (Q(error_type__icontains=self.q) | Q(error_message__icontains=self.q))
        if ids:
            found |= Q(id__range=ids)
        all_tags = Func(F("tags"), Value(" "), function="array_to_string", output_field=TextField())
        return runs.alias(all_tags=all_tags, error_type=_error("type"), error_message=_error("message")).filter(found)


def _error(member: str) -> KeyTextTransform:
    return KeyTextTransform(member, "error")


def _readings(value: Any) -> list[Any]:
    """A value of metadata, and of a text what else it may stand for."""
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except ValueError:
            return [value]
        if read is None or isinstance(read, int) or (isinstance(read, float) and math.isfinite(read)):
            return [value, read]
    return [value]


def _ids_from(part: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that begin so; None where none does."""
    digits = part.lower().removeprefix("urn:uuid:").replace("-", "")
    if not ID_DIGITS_MIN <= len(digits) <= 32 or not set(digits) <= set("0123456789abcdef"):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _names_with(part: str) -> list[str] | None:
    """The names of runs that have a part in them, in any case; None where there are too many names to look at."""
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, [NAMES_LOOKED_AT + 1])
        names = [name for (name,) in cursor.fetchall()]
    return None if len(names) > NAMES_LOOKED_AT else [name for name in names if part.upper() in name.upper()]


# As a body says it


def _in_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _time(value: Any) -> Any:
    return parse_timestamp(value) if isinstance(value, str) else value


def _one_or_several(item: Any, schema: Mapping[str, Any], words: str) -> tuple[Any, None]:
    several = {"type": "array", "items": schema, "minItems": 1, "maxItems": VALUES_MAX}
    length = Field(min_length=1, max_length=VALUES_MAX, description=words)
    return Annotated[list[item], length, BeforeValidator(_in_list), WithJsonSchema({"anyOf": [schema, several]})], None


def _texts(most: int, words: str) -> tuple[Any, None]:
    schema = {"type": "string", "minLength": 1, "maxLength": most, "pattern": NO_CONTROLS}
    return _one_or_several(Annotated[Text, Field(min_length=1, max_length=most)], schema, words)


def _text(most: int, words: str) -> tuple[Any, str]:
    return Annotated[Text, Field(min_length=1, max_length=most, description=words)], ""


def _moment(words: str) -> tuple[Any, None]:
    schema = WithJsonSchema({"type": "string", "format": "date-time"})
    return Annotated[datetime, BeforeValidator(_time), schema, Field(description=words)], None


_ID = {"type": "string", "format": "uuid"}
_STATES = [str(state) for state in State]
_State = Annotated[State, BeforeValidator(_upper)]

FIELDS: dict[str, tuple[Any, Any]] = {
    "state": _one_or_several(_State, {"type": "string", "enum": _STATES}, "Of these states."),
    "kind": _texts(KIND_MAX, "Of these kinds, such as `walker`."),
    "name": _texts(NAME_MAX, "Of these names, such as a walker's."),
    "owner": _one_or_several(UUID, _ID, "Of these users; for staff."),
    "tag": _texts(TAG_MAX, "With all of these tags."),
    "metadata": (Metadata, {}),
    "error": _texts(ERROR_MAX, "With an error of these types, such as `KeyError`."),
    "parent": (Annotated[UUID, Field(description="Only what this run started.")], None),
    "retry_of": (Annotated[UUID, Field(description="Only what tried this run again.")], None),
    "schedule": _text(NAME_MAX, "Only what this schedule started, by name."),
    "since": _moment("Accepted at this time or later."),
    "until": _moment("Accepted before this time."),
    "finished_since": _moment("Ended at this time or later."),
    "finished_until": _moment("Ended before this time."),
    "q": _text(PART_MAX, "A part of a name, a tag or an error, or the beginning of an id."),
}
FILTER = ObjectSchema("RunFilter", FIELDS)


# As a query says it

_SEVERAL = ": repeated, or separated by commas"


class RunFilters(QuerySerializer):
    """The filters of `GET /runs`."""

    state = ListFilter(child=AnyCaseChoice(_STATES), required=False, help_text=f"These states only{_SEVERAL}")
    kind = ListFilter(
        child=serializers.CharField(max_length=KIND_MAX),
        required=False,
        help_text=f"These kinds only, such as `walker`{_SEVERAL}",
    )
    name = RepeatedFilter(
        child=serializers.CharField(max_length=NAME_MAX),
        required=False,
        help_text="This name only, such as a walker's; several are repeated",
    )
    owner = ListFilter(
        child=serializers.UUIDField(), required=False, help_text=f"The runs of these users only, for staff{_SEVERAL}"
    )
    tag = ListFilter(
        child=serializers.CharField(max_length=TAG_MAX),
        required=False,
        help_text=f"Only those with all of these tags{_SEVERAL}",
    )
    error = ListFilter(
        child=serializers.CharField(max_length=ERROR_MAX),
        required=False,
        help_text=f"Only those with an error of these types, such as `KeyError`{_SEVERAL}",
    )
    parent = serializers.UUIDField(required=False, help_text="Only what this run started")  # type: ignore[assignment]
    retry_of = serializers.UUIDField(required=False, help_text="Only what tried this run again")
    schedule = serializers.CharField(
        required=False, max_length=NAME_MAX, help_text="Only what this schedule started, by name"
    )
    since = TimeFilter(required=False, help_text="Accepted at this time or later (RFC 3339)")
    until = TimeFilter(required=False, help_text="Accepted before this time (RFC 3339)")
    finished_since = TimeFilter(required=False, help_text="Ended at this time or later (RFC 3339)")
    finished_until = TimeFilter(required=False, help_text="Ended before this time (RFC 3339)")
    q = serializers.CharField(
        required=False,
        max_length=PART_MAX,
        help_text="A part of a name, a tag or an error, or the beginning of an id; in any case",
    )

    takes_metadata = True

    def get_fields(self) -> dict[str, Any]:
        """With that whose name has a dot."""
        value = serializers.CharField(
            required=False,
            allow_blank=True,
            max_length=METADATA_TEXT_MAX,
            help_text="Only those with this value in their `metadata`, for any KEY",
        )
        return {**super().get_fields(), **({f"{METADATA}KEY": value} if self.takes_metadata else {})}

    def to_internal_value(self, data: Any) -> Any:
        sent = {name: text for name, text in data.items() if self.takes_metadata and name.startswith(METADATA)}
        if len(sent) > METADATA_MAX:
            raise serializers.ValidationError({METADATA.rstrip("."): [f"At most {METADATA_MAX} keys are asked for."]})
        values = super().to_internal_value({name: text for name, text in data.items() if name not in sent})
        return values | {
            "metadata": {name.removeprefix(METADATA): self._metadata_of(name, sent[name]) for name in sent}
        }

    def _metadata_of(self, name: str, text: str) -> str:
        try:
            if not 0 < len(name.removeprefix(METADATA)) <= METADATA_KEY_MAX:
                raise serializers.ValidationError(f"A key has up to {METADATA_KEY_MAX} characters.")
            return str(self.fields[f"{METADATA}KEY"].run_validation(text))
        except serializers.ValidationError as error:
            raise serializers.ValidationError({name[:100]: error.detail}) from None

    @property
    def filter(self) -> RunFilter:
        return RunFilter.of(self.validated_data)
