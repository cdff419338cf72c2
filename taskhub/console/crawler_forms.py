"""Forms of crawlers: of their parameters, as an external describes them, and of what else is said of one.

Secrets are not shown in a form: a field that is left empty leaves the one that is stored.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Exists, OuterRef

from crawlers.api.request_models import NEW_CRAWLER
from crawlers.domain.parameters import SECRET_TYPES, ParameterDescription, load_descriptions
from crawlers.models import Crawler, External, Stream
from taskhub.console.schema_form import SchemaForm

LINE_MAX = 200  # characters; longer texts get an area
STREAMS_MAX = 200  # that can be chosen
SEVERAL = {"multi_bool", "multi_search"}  # values that are lists of texts
SCHEDULE_EXAMPLE = {"type": "interval", "conf": {"every": 6, "period": "hours"}}
CREDENTIAL_FIELDS = {  # by what an external asks for
    External.Credential.BASIC: {"username": "User name", "password": "Password"},
    External.Credential.OAUTH: {"token": "Token"},
}


class ParametersForm(SchemaForm):
    """A field for each parameter of an external, with the values that there are."""

    def __init__(self, external: External, present: Mapping[str, Any], *args: Any, **options: Any) -> None:
        self._present = present
        descriptions = load_descriptions(external.parameters)
        schema = {
            "type": "object",
            "properties": {one.name: _property(one, present.get(one.name)) for one in descriptions},
            "required": [
                one.name
                for one in descriptions
                if one.required and not (one.type in SECRET_TYPES and one.name in present)
            ],
        }
        labels = {one.name: one.label for one in descriptions if one.label}
        super().__init__(schema, *args, prefix="params", labels=labels, **options)

    @property
    def changes(self) -> dict[str, Any]:
        """What was sent and differs from the values that there are; None stands for one that is taken away."""
        return {name: value for name, value in self.values.items() if value != self._present.get(name)}


def _property(one: ParameterDescription, value: Any) -> dict[str, Any]:
    """The JSON Schema of a parameter, with the value that there is as its default."""
    default = None if one.type in SECRET_TYPES else one.default if value is None else value
    options = [option if isinstance(option, Mapping) else {"value": option} for option in one.options or []]
    schema: dict[str, Any] = {"description": one.description, "default": default}
    if one.placeholder:
        schema["examples"] = [one.placeholder]
    if options and one.type in SEVERAL:
        schema["description"] += f" Of {', '.join(str(option['value']) for option in options[:50])}."
    elif options and one.type != "list":
        listed = [{"const": option["value"], "title": str(option.get("label", option["value"]))} for option in options]
        return schema | ({"oneOf": listed} if one.required else {"anyOf": [{"oneOf": listed}, {"type": "null"}]})
    return schema | ({} if isinstance(default, Mapping) else _type_of(one, default))


def _type_of(one: ParameterDescription, default: Any) -> dict[str, Any]:
    """The part of a parameter's JSON Schema by which its field is chosen; empty for any JSON."""
    or_null = [] if one.required else ["null"]
    match one.type:
        case "bool":
            return {"type": "boolean" if one.required or default is not None else ["boolean", "null"]}
        case "integer":
            limits = {word: bound for word, bound in (("minimum", one.min), ("maximum", one.max)) if bound is not None}
            return {"type": ["integer", *or_null], **limits}
        case "date" if default is None or "T" not in str(default).replace(" ", "T"):
            return {"type": ["string", *or_null], "format": "date"}
        case "list":
            return {}
        case "multi_bool" | "multi_search":
            return {"type": ["array", *or_null], "items": {"type": "string"}}
    length = one.max if one.type == "string" and one.max else LINE_MAX
    return {"type": ["string", *or_null], "maxLength": length, "writeOnly": one.type in SECRET_TYPES}


class CrawlerForm(SchemaForm):
    """What is said of a crawler beside its parameters; of a new one also for which stream it is."""

    def __init__(
        self, external: External, present: Mapping[str, Any], *args: Any, is_new: bool, **options: Any
    ) -> None:
        self._credential = CREDENTIAL_FIELDS.get(External.Credential(external.credential), {})
        schema = NEW_CRAWLER.schema()["properties"]
        properties: dict[str, Any] = {"name": {"type": "string", "maxLength": LINE_MAX, "default": present.get("name")}}
        if is_new:
            free = [("", "a new one"), *free_streams(external)]
            properties["stream"] = {
                "oneOf": [{"const": fid, "title": title} for fid, title in free],
                "default": "",
                "description": "Which the crawler fills: a new one, or one that no other fills.",
            }
        secret = {"type": "string", "writeOnly": True, "maxLength": LINE_MAX}
        properties |= {
            name: {**secret, "title": title, "writeOnly": name != "username"}
            for name, title in self._credential.items()
        }
        properties["webhook"] = schema["webhook"] | {"default": present.get("webhook") or None}
        properties["schedule"] = {
            **schema["schedule"],
            "default": present.get("schedule"),
            "examples": [SCHEDULE_EXAMPLE],
        }
        if is_new:
            properties["start"] = schema["start"] | {"default": True, "title": "Start a task at once"}
        required = ["name", *(self._credential if is_new else ())]
        super().__init__({"properties": properties, "required": required}, *args, prefix="crawler", **options)

    @property
    def credential(self) -> Any:
        """The credential that was sent, as the external asks for it; None where its fields were left empty."""
        sent = {name: self.values[name] for name in self._credential if self.values.get(name)}
        return sent.get("token", sent) or None


def free_streams(external: External) -> list[tuple[str, str]]:
    """The newest streams of the external's owner that have no crawler: their ids and names."""
    filled = Crawler.objects.filter(stream=OuterRef("pk"), removed_at__isnull=True)
    free = Stream.objects.filter(~Exists(filled), owner=external.owner_id, removed_at__isnull=True)
    rows = free.only("fid", "meta").order_by("-pk")[:STREAMS_MAX]
    return [(str(stream.fid), stream.name or str(stream.fid)) for stream in rows]
