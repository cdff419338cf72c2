"""What may be said of a run besides its work, by every call that accepts one: checked, as it stands in a body or in a
query, and as it is shown."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from rest_framework import serializers
from typing_extensions import TypedDict

from taskhub.jsontools.field_types import NO_CONTROLS, Text, Timestamp
from taskhub.jsontools.schema import ObjectSchema, invalid_value
from taskhub.runs.domain import PRIORITY_HIGHEST, PRIORITY_LOWEST, Concurrency, ConcurrencyPolicy
from taskhub.runs.models.run import CONCURRENCY_KEY_MAX, TAG_MAX, Run
from taskhub.security.masking import mask_all
from taskhub.web.views import QuerySerializer

TAGS_MAX = 20
METADATA_MAX = 50
METADATA_KEY_MAX = 50
METADATA_TEXT_MAX = 500
CONCURRENCY_LIMIT_MAX = 10_000
METADATA = "metadata."
CONCURRENCY = "concurrency."
_CONCURRENCY_NAMES = ("key", "limit", "policy")


def _without_commas(tag: str) -> str:
    if "," in tag or tag != tag.strip():
        raise invalid_value("A tag has no comma, and no space at its ends.")
    return tag


def _policy(value: Any) -> Any:
    return ConcurrencyPolicy(value) if value in list(ConcurrencyPolicy) else value


Tag = Annotated[Text, Field(min_length=1, max_length=TAG_MAX), AfterValidator(_without_commas)]
MetadataKey = Annotated[Text, Field(min_length=1, max_length=METADATA_KEY_MAX)]
MetadataValue = bool | int | float | Annotated[str, Field(max_length=METADATA_TEXT_MAX)] | None
Policy = Annotated[ConcurrencyPolicy, BeforeValidator(_policy)]


class ConcurrencySent(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # as pydantic documents it

    key: Annotated[Text, Field(min_length=1, max_length=CONCURRENCY_KEY_MAX)]
    limit: NotRequired[Annotated[int, Field(ge=1, le=CONCURRENCY_LIMIT_MAX)]]
    policy: NotRequired[Policy]


Tags = Annotated[list[Tag], Field(max_length=TAGS_MAX, description="Short texts by which runs are found.")]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Field(max_length=METADATA_MAX, description="Texts, numbers, true or false, by name."),
]
Priority = Annotated[
    int | None,
    Field(
        ge=PRIORITY_LOWEST,
        le=PRIORITY_HIGHEST,
        description="1 to 9: of an owner's runs the higher is first. 5 unless the walker says otherwise.",
    ),
]
ExpiresAt = Annotated[
    Timestamp, Field(description="What has not begun by then never begins: REVOKED, with the error `Expired`.")
]
_CONCURRENCY_SCHEMA = {
    "type": "object",
    "properties": {
        "key": {"type": "string", "minLength": 1, "maxLength": CONCURRENCY_KEY_MAX, "pattern": NO_CONTROLS},
        "limit": {"type": "integer", "minimum": 1, "maximum": CONCURRENCY_LIMIT_MAX},
        "policy": {"type": "string", "enum": [str(policy) for policy in ConcurrencyPolicy]},
    },
    "required": ["key"],
    "additionalProperties": False,
}
ConcurrencyField = Annotated[
    ConcurrencySent | None,
    WithJsonSchema({"anyOf": [_CONCURRENCY_SCHEMA, {"type": "null"}]}),
    Field(
        description="Of the owner's runs with the same `key` so many (`limit`, 1) go on at once. `policy`: `wait`; "
        "`skip`, REVOKED with the error `Skipped`; or `cancel`, of the oldest other."
    ),
]

Webhook = Annotated[Text, Field(max_length=2_000, description="An address that is told of the end.")]

FIELDS: dict[str, tuple[Any, Any]] = {
    "tags": (Tags, []),
    "metadata": (Metadata, {}),
    "priority": (Priority, None),
    "expires_at": (ExpiresAt, None),
    "concurrency": (ConcurrencyField, None),
    "webhook": (Webhook, ""),
}
# A schedule's runs expire at no time of their own, and it keeps their webhook apart.
LASTING_FIELDS = {name: field for name, field in FIELDS.items() if name not in {"expires_at", "webhook"}}
_SCHEMA = ObjectSchema("RunOptionsSent", FIELDS)


def run_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run among checked values; those that are said, but for none. For `create_run`."""
    options = {name: values[name] for name in FIELDS if values.get(name) not in (None, "", [], {})}
    if "tags" in options:
        options["tags"] = list(dict.fromkeys(options["tags"]))
    if sent := options.get("concurrency"):
        options["concurrency"] = Concurrency(**sent)
    return options


def checked_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run. Raises `Rejected` that names each wrong place."""
    return run_options(_SCHEMA.check(values))


def without_options(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of a body that are none of a run's options, and these, checked. Raises `Rejected`."""
    options = {name: value for name, value in values.items() if name in FIELDS}
    return {name: value for name, value in values.items() if name not in FIELDS}, checked_options(options)


def unfolded(texts: Mapping[str, str]) -> dict[str, Any]:
    """Options as a query has them, as a body would: `tags=a,b`, `metadata.KEY=value`, `concurrency.key=...`.

    Values that are given at once as JSON, and names of others, stay as they are.
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name.startswith(METADATA):
            values.setdefault("metadata", {})[name.removeprefix(METADATA)] = text
        elif name.startswith(CONCURRENCY) and name.removeprefix(CONCURRENCY) in _CONCURRENCY_NAMES:
            field = name.removeprefix(CONCURRENCY)
            values.setdefault("concurrency", {})[field] = _number_or_text(text) if field == "limit" else text
        elif name == "tags" and not text.lstrip().startswith("["):
            values["tags"] = [word.strip() for word in text.split(",") if word.strip()]
        elif name == "priority":
            values["priority"] = _number_or_text(text)
        else:
            values[name] = text
    return values


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


class RunOptionsQuery(QuerySerializer):
    """A query that takes a run's options: `options` of its validated data, for `create_run`."""

    tags = serializers.CharField(required=False, help_text="Short texts, separated by commas")
    priority = serializers.IntegerField(
        required=False, min_value=PRIORITY_LOWEST, max_value=PRIORITY_HIGHEST, help_text="1 to 9: the higher is first"
    )
    expires_at = serializers.CharField(required=False, help_text="By when it must have begun (RFC 3339)")
    webhook = serializers.CharField(
        required=False, allow_blank=True, max_length=2_000, help_text="An address that is told of the end"
    )

    def get_fields(self) -> dict[str, Any]:
        """With those whose names have a dot."""
        return {
            **super().get_fields(),
            f"{METADATA}KEY": serializers.CharField(
                required=False, max_length=METADATA_TEXT_MAX, help_text="A value of `metadata`, for any KEY"
            ),
            f"{CONCURRENCY}key": serializers.CharField(
                required=False,
                max_length=CONCURRENCY_KEY_MAX,
                help_text="Of the owner's runs with it so many go on at once",
            ),
            f"{CONCURRENCY}limit": serializers.IntegerField(
                required=False, min_value=1, max_value=CONCURRENCY_LIMIT_MAX, help_text="How many; 1"
            ),
            f"{CONCURRENCY}policy": serializers.ChoiceField(
                choices=[str(policy) for policy in ConcurrencyPolicy], required=False, help_text="Else `wait`"
            ),
        }

    def to_internal_value(self, data: Any) -> Any:
        sent = {name: text for name, text in data.items() if _is_option(name)}
        values = super().to_internal_value({name: text for name, text in data.items() if name not in sent})
        return {**values, "options": checked_options(unfolded(sent))}


def _is_option(name: str) -> bool:
    return name in FIELDS or name.startswith((METADATA, CONCURRENCY))


def shown_concurrency(run: Run) -> dict[str, Any] | None:
    """The concurrency of a run on the wire."""
    concurrency = run.concurrency
    if concurrency is None:
        return None
    return {"key": concurrency.key, "limit": concurrency.limit, "policy": str(concurrency.policy)}


def stored_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a schedule's runs as they are kept, among checked values."""
    return {name: values[name] for name in LASTING_FIELDS if values.get(name) not in (None, [], {})}


def shown_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a schedule's runs on the wire, secrets masked."""
    defaults: dict[str, Any] = {"tags": [], "metadata": {}, "priority": None, "concurrency": None}
    return {**defaults, **options, "metadata": mask_all(options.get("metadata", {}))}
