"""Bodies and queries of calls, but for that of an external: see `external_request`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, with_config
from rest_framework import serializers
from typing_extensions import TypedDict

from taskhub.errors import Problem
from taskhub.jsontools.field_types import Text
from taskhub.jsontools.schema import REQUIRED, ObjectSchema, invalid_value
from taskhub.outbound import check_url
from taskhub.outbound.policy import configured_policy
from taskhub.runs import run_options
from taskhub.runs.serializers import LOG_LEVELS
from taskhub.web.query_values import AnyCaseChoice, FlagFilter, ListFilter, TimeFilter
from taskhub.web.views import QuerySerializer

OBJECT = dict[str, Any]
Name = Annotated[Text, Field(max_length=200)]
META = Annotated[OBJECT, Field(description="`name`, and whatever else describes it, such as image, description.")]
PARAMS = Annotated[OBJECT, Field(description="Values by the names of the external's parameters.")]
CREDENTIAL = Annotated[Any, Field(description="As the external's `credential` says; it is shown to nobody.")]
SCHEDULE = Annotated[
    OBJECT | None,
    Field(description="`{type: interval, crontab or clocked, conf, one_off?}`, or null for none."),
]


def check_address(url: str) -> str:
    """An address that the gate calls, or an empty text. Raises what pydantic makes an error of."""
    try:
        if url:
            check_url(url, configured_policy())
    except Problem as problem:
        raise invalid_value(problem.detail) from None
    return url


WEBHOOK = Annotated[
    Annotated[Text, Field(max_length=2000), AfterValidator(check_address)] | None,
    Field(description="The address that is told of the end of each of its tasks; empty or null for none."),
]


def _check_uuid(text: str) -> str:
    try:
        UUID(text)
    except ValueError:
        raise invalid_value("Must be a UUID.") from None
    return text


class StreamReference(TypedDict):
    type: Literal["streams", "stream"]
    fid: Annotated[str, AfterValidator(_check_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]


StreamLink = TypedDict("StreamLink", {"from": StreamReference})


@with_config(ConfigDict(extra="allow"))
class NewCrawlerMeta(TypedDict):
    links: NotRequired[
        Annotated[list[StreamLink], Field(max_length=1, description="To the stream that the crawler is for.")]
    ]


@with_config(ConfigDict(extra="forbid"))
class Retention(TypedDict):
    """What a stream keeps of its documents; null is no limit."""

    days: NotRequired[Annotated[int, Field(ge=1, le=36_500)] | None]
    documents: NotRequired[Annotated[int, Field(ge=0, lt=2**63)] | None]


STREAM = ObjectSchema(
    "StreamSent", {"meta": (META, {}), "name": (Name | None, None), "retention": (Retention | None, None)}
)
_CRAWLER: dict[str, Any] = {
    "meta": (META, {}),
    "params": (PARAMS, {}),
    "credential": (CREDENTIAL, None),
    "schedule": (SCHEDULE, None),
    "webhook": (WEBHOOK, None),
}
CRAWLER = ObjectSchema("CrawlerSent", _CRAWLER)
START_AT_ONCE = Annotated[bool, Field(description="Its first task begins at once.")]
NEW_CRAWLER = ObjectSchema(
    "NewCrawlerSent", {**_CRAWLER, "meta": (NewCrawlerMeta, {}), "start": (START_AT_ONCE, False)}
)
START = ObjectSchema("StartSent", {"params": (PARAMS, {}), **run_options.FIELDS})
DETAIL_MAX = 20_000  # characters: a task shows its last hundred statuses
STATS_MAX = 100
LOG_LINES_MAX = 1_000
COUNT = Annotated[int, Field(ge=0, lt=2**63)]


def split_log(log: Any) -> Any:
    """The lines of a text, without empty ones; what is no text stays."""
    return [line for line in log.splitlines() if line.strip()] if isinstance(log, str) else log


_LOG_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": LOG_LINES_MAX}]}
LOG = Annotated[
    list[str],
    Field(max_length=LOG_LINES_MAX, description="Lines for the log of the task's run: a text, or a list."),
    BeforeValidator(split_log),
    WithJsonSchema(_LOG_SCHEMA),
]


@with_config(ConfigDict(extra="forbid"))
class Progress(TypedDict):
    done: COUNT
    total: NotRequired[COUNT | None]


STATUS = ObjectSchema(
    "StatusSent",
    {
        "code": (Annotated[int, Field(ge=0, le=999)], REQUIRED),
        "message": (Annotated[str | None, Field(max_length=10_000, description="For people.")], None),
        "detail": (
            Annotated[
                Any,
                Field(description=f"For debugging, such as an exception; any JSON of up to {DETAIL_MAX} characters."),
            ],
            None,
        ),
        "progress": (Progress | None, None),
        "stats": (
            Annotated[
                dict[str, int | float] | None,
                Field(max_length=STATS_MAX, description="Numbers of the crawler's own; they replace those before."),
            ],
            None,
        ),
        "log": (LOG | None, None),
    },
)


class LogQuery(QuerySerializer):
    level = AnyCaseChoice(list(LOG_LEVELS), required=False, default="INFO", help_text="Of all these lines")


class CrawlerQuery(QuerySerializer):
    external = serializers.UUIDField(required=False, help_text="Only those of this external")
    stream = serializers.UUIDField(required=False, help_text="Only that of this stream")


class TaskQuery(CrawlerQuery):
    crawler = serializers.UUIDField(required=False, help_text="Only those of this crawler")
    code = ListFilter(
        child=serializers.IntegerField(min_value=0, max_value=999),
        required=False,
        help_text="Only those of this status; several are repeated, or separated by commas",
    )
    running = FlagFilter(required=False, help_text="Only those that have not ended, or that have")


class DocumentQuery(QuerySerializer):
    fields = serializers.CharField(  # type: ignore[assignment]  # declared fields are taken out of the class
        required=False, max_length=10_000, help_text="Only these fields, such as `sku,seller.name`"
    )
    wrapped = FlagFilter(
        required=False, default=False, help_text="Each document in an object that tells its id, task and time"
    )


class DocsQuery(DocumentQuery):
    task = serializers.UUIDField(required=False, help_text="Only this task's change set, as it was written")
    since = TimeFilter(required=False, help_text="Written at this time or later (RFC 3339)")
    until = TimeFilter(required=False, help_text="Written before this time (RFC 3339)")
    where = serializers.CharField(
        required=False, max_length=2000, help_text="A SQL/JSON path that must be true of a document, or find something"
    )
    order = serializers.ChoiceField(
        ["id", "newest"], required=False, default="id", help_text="By ids, or the last that was written first"
    )
    format = serializers.ChoiceField(
        ["json", "ndjson", "array", "csv", "xlsx"], required=False, help_text="Instead of `Accept`; `json` is a page"
    )


class FormatQuery(QuerySerializer):
    format = serializers.ChoiceField(
        ["json", "ndjson"], required=False, help_text="Instead of `Accept`; `json` is a page"
    )


class UploadQuery(QuerySerializer):
    on_invalid = serializers.ChoiceField(
        ["fail", "skip"],
        default="fail",
        help_text="`skip` keeps lines that are no documents of the stream apart",
    )


_OLDER_NAMES = {"crendential": "credential"}  # as the examples of older documents print it


def modern_names(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A body with the names of today. A name that stands there in both spellings is left for the check to refuse."""
    return {name if _OLDER_NAMES.get(name) in sent else _OLDER_NAMES.get(name, name): sent[name] for name in sent}
