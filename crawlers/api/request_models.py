"""What is sent: bodies and queries, checked before anything is done."""

from typing import Annotated, Any, Literal

from pydantic import Field
from rest_framework import serializers

from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.web.parameter_types import Text
from taskhub.web.views import QuerySerializer

OBJECT = dict[str, Any]
Name = Annotated[Text, Field(max_length=200)]
META = Annotated[OBJECT, Field(description="`name`, and whatever else is to be told, such as image, description.")]
PARAMS = Annotated[OBJECT, Field(description="Values by the names of the external's parameters.")]
CREDENTIAL = Annotated[Any, Field(description="As the external's `credential` says; it is shown to nobody.")]
SCHEDULE = Annotated[
    OBJECT | None,
    Field(description="`{type: interval, crontab or clocked, conf, one_off?}`, or null for none."),
]
DESCRIPTIONS = Annotated[
    list[Any],
    Field(
        description=(
            "Each with `name` and `type` (string, password, bool, date, location, multi_bool, list, multi_search, "
            "integer), and `required`, `default`, `min`, `max`, `regex`, `options`, `restrictions` where they apply."
        )
    ),
]

EXTERNAL = ObjectSchema(
    "ExternalSent",
    {
        "meta": (META, REQUIRED),
        "endpoint": (Annotated[Text, Field(min_length=1, max_length=2000)], REQUIRED),
        "credential": (Literal["none", "ignore", "basic", "oauth"] | None, None),
        "parameters": (DESCRIPTIONS, []),
        "schema": (Annotated[OBJECT | bool | None, Field(description="JSON Schema of one document.")], None),
        "docIdField": (Annotated[Text | None, Field(max_length=200)], None),
        "headers": (Annotated[dict[str, str], Field(description="Sent to the crawler, to its origin only.")], {}),
        "timeout": (Annotated[int, Field(ge=1, le=30 * 86400, description="Seconds without a sign of life.")], 3600),
    },
)
STREAM = ObjectSchema("StreamSent", {"meta": (META, {}), "name": (Name | None, None)})
CRAWLER = ObjectSchema(
    "CrawlerSent",
    {
        "meta": (META, {}),
        "params": (PARAMS, {}),
        "credential": (CREDENTIAL, None),
        "schedule": (SCHEDULE, None),
    },
)
START = ObjectSchema("StartSent", {"params": (PARAMS, {})})
STATUS = ObjectSchema(
    "StatusSent",
    {
        "code": (Annotated[int, Field(ge=0, le=999)], REQUIRED),
        "message": (Annotated[str | None, Field(max_length=10_000, description="For people.")], None),
        "detail": (Annotated[Any, Field(description="For debugging, such as an exception; any JSON.")], None),
    },
)


class CrawlerQuery(QuerySerializer):
    external = serializers.UUIDField(required=False, help_text="Only those of this external")
    stream = serializers.UUIDField(required=False, help_text="Only that of this stream")


class TaskQuery(CrawlerQuery):
    crawler = serializers.UUIDField(required=False, help_text="Only those of this crawler")
    code = serializers.IntegerField(required=False, min_value=0, max_value=999, help_text="Only those of this status")
    running = serializers.BooleanField(required=False, help_text="Only those that have not ended, or that have")


class DocsQuery(QuerySerializer):
    task = serializers.UUIDField(required=False, help_text="Only this task's change set, in the order of writing")
    since = serializers.DateTimeField(required=False, help_text="Written at this time or later (RFC 3339)")
    until = serializers.DateTimeField(required=False, help_text="Written before this time (RFC 3339)")
    where = serializers.CharField(
        required=False, max_length=2000, help_text="A SQL/JSON path that must be true of a document, or find something"
    )
    wrapped = serializers.BooleanField(
        required=False, default=False, help_text="Each document in an object that tells its id, task and time"
    )


class UploadQuery(QuerySerializer):
    on_invalid = serializers.ChoiceField(
        ["fail", "skip"], default="fail", help_text="`skip` puts lines aside that are no documents of the stream"
    )
