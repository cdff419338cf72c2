"""Forms made from JSON Schemas of objects: a field a property, and the object that is sent with them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django import forms

from taskhub.errors import Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from walkers.http.form_values import parse_text

LEFT_OUT: Any = object()
REST = "other-fields"  # the field for what is no property, where the schema allows that
INPUT_TYPES = {"date": "date", "password": "password", "email": "email"}  # of an `input`, by the format of a text
SHORT_TEXT = 200  # characters; texts that may be longer, or have lines, get an area
ROWS_MAX = 12  # of an area, at first


class PropertyField(forms.Field):
    """A field for one property: `read` makes its value of the text, `empty` is its value where nothing is written."""

    def __init__(self, read: Callable[[Any], Any], *, empty: Any = LEFT_OUT, **options: Any) -> None:
        super().__init__(**options)
        self._read, self._empty = read, empty

    def clean(self, value: Any) -> Any:
        if value in (None, ""):
            if self.required:
                raise forms.ValidationError("This is required.")
            return self._empty
        try:
            return self._read(value)
        except Rejected as refusal:
            raise forms.ValidationError(refusal.detail) from None

    def prepare_value(self, value: Any) -> Any:
        """The text that stands for a value; texts of the field itself stay."""
        if value in (None, [], {}):
            return ""
        if isinstance(value, str | bool):
            return value
        if self._read is _read_lines:
            return "\n".join(value)
        return _written(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return _with_plain_ends(str(self.prepare_value(initial) or "")) != _with_plain_ends(str(data or ""))


class SchemaForm(forms.Form):
    """A form for an object that `schema` describes; `names` chooses properties of it, `labels` calls them otherwise.

    Of values it checks no more than that they can be read: whoever takes the object says what else is wrong with it,
    and `add_fault` shows that at its field.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *args: Any,
        names: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        properties, required = schema.get("properties", {}), schema.get("required", [])
        definitions = schema.get("$defs")  # which older drafts do not know: it may be anything
        definitions = definitions if isinstance(definitions, Mapping) else {}
        for name in names or properties:
            described, is_nullable = _resolved(properties[name], definitions)
            label = (labels or {}).get(name) or _label(name, described)
            self.fields[name] = _field(name, described, label, name in required, is_nullable)
        self._has_rest = schema.get("additionalProperties") is True and REST not in self.fields
        if self._has_rest:
            self.fields[REST] = PropertyField(
                self._read_rest,
                label="Other fields",
                required=False,
                help_text="An object in JSON.",
                widget=_json_area(""),
            )

    def _read_rest(self, text: str) -> dict[str, Any]:
        rest = parse_text(text, "object", REST, parse_jsonc)
        if not isinstance(rest, dict):
            raise Rejected("This must be an object.")
        if twice := [name for name in rest if name in self.fields]:
            raise Rejected(f"{twice[0]} has a field of its own.")
        return rest

    @property
    def values(self) -> dict[str, Any]:
        """The object that was sent, once `is_valid` has said that it can be read."""
        values = {name: value for name, value in self.cleaned_data.items() if value is not LEFT_OUT}
        rest = values.pop(REST, {}) if self._has_rest else {}
        return {**rest, **values}

    def add_fault(self, pointer: str, detail: str) -> None:
        """Shows at its field what is wrong with a value; `pointer` leads to it through the object."""
        name, _, place = pointer.removeprefix("/").partition("/")
        name = name.replace("~1", "/").replace("~0", "~")
        if name in self.fields:
            self.add_error(name, f"/{place}: {detail}" if place else detail)
        else:
            self.add_error(REST if self._has_rest and name else None, f"{pointer}: {detail}".removeprefix(": "))


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A schema with what it refers to in its place, without the alternative null; and whether it has that."""
    described = dict(schema) if isinstance(schema, Mapping) else {}
    alternatives = described.pop("anyOf", [])
    if isinstance(described.get("type"), list):
        alternatives = [{"type": name} for name in described.pop("type")]
    if reference := described.pop("$ref", ""):
        referred = reference.rpartition("/")[2]
        alternatives = [definitions.get(referred)]
        definitions = {name: one for name, one in definitions.items() if name != referred}  # it may refer to itself
    others = [alternative for alternative in alternatives if alternative != {"type": "null"}]
    inner, is_nullable = _resolved(others[0], definitions) if len(others) == 1 else ({}, False)
    inner.pop("title", None)  # of the type, not of the property
    return {**inner, **described}, is_nullable or len(others) < len(alternatives)


def _label(name: str, schema: Mapping[str, Any]) -> str:
    """The title that an author gave; pydantic makes one of each name, which has every word begin with a capital."""
    title = schema.get("title", "")
    own = re.sub(r"[\W_]", "", title).casefold() != re.sub(r"[\W_]", "", name).casefold()
    return title if title and own else name.replace("_", " ").strip().capitalize() or name


def _field(name: str, schema: Mapping[str, Any], label: str, is_required: bool, is_nullable: bool) -> PropertyField:
    default = schema.get("default")
    options: dict[str, Any] = {
        "label": label,
        "help_text": schema.get("description", ""),
        "required": is_required and not is_nullable,
        # What is emptied is not the default any more.
        "empty": None if is_nullable and (is_required or default is not None) else LEFT_OUT,
    }
    kind = schema.get("type")
    if kind == "boolean" and not is_nullable:
        options |= {"required": False, "initial": bool(default), "widget": forms.CheckboxInput()}
        return PropertyField(bool, **options)
    if listed := _listed(schema):
        return _choice(listed, schema, is_nullable, options)
    if kind in {"integer", "number"}:
        return _number(name, schema, options)
    if kind == "string":
        return _text(schema, is_nullable, options)
    if kind == "array" and _has_texts(schema.get("items")) and _are_lines(default or []):
        return _lines(schema, options)
    return _json(name, schema, options)


def _listed(schema: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """The values that a schema lists, each with what it is called; none for one that lists no values."""
    listed = schema.get("oneOf") or [{"const": value} for value in schema.get("enum", [])]
    if "const" in schema:
        listed = [{"const": schema["const"]}]
    elif not listed and schema.get("type") == "boolean":
        listed = [{"const": True}, {"const": False}]
    if not all(isinstance(one, Mapping) and "const" in one for one in listed):
        return []
    return [(one["const"], one.get("title") or _as_choice(one["const"])) for one in listed]


def _as_choice(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _choice(
    listed: Sequence[tuple[Any, str]], schema: Mapping[str, Any], is_nullable: bool, options: dict[str, Any]
) -> PropertyField:
    by_text = {json.dumps(value): value for value, _ in listed}
    choices = [(json.dumps(value), title) for value, title in listed]
    is_preset = "default" in schema and json.dumps(schema["default"]) in by_text
    initial = json.dumps(schema["default"]) if is_preset else ""
    if is_nullable or not is_preset:
        choices.insert(0, ("", ""))
    return PropertyField(
        lambda text: by_text.get(text, text), initial=initial, widget=forms.Select(choices=choices), **options
    )


def _number(name: str, schema: Mapping[str, Any], options: dict[str, Any]) -> PropertyField:
    limits = {side: schema[word] for side, word in (("min", "minimum"), ("max", "maximum")) if word in schema}
    step = "1" if schema["type"] == "integer" else "any"
    widget = forms.NumberInput(attrs={"step": step, **limits, **_placeholder(schema)})
    read = partial(parse_text, json_type=schema["type"], name=name)
    return PropertyField(read, initial=_written(schema.get("default")), widget=widget, **options)


def _text(schema: Mapping[str, Any], is_nullable: bool, options: dict[str, Any]) -> PropertyField:
    default = schema["default"] if isinstance(schema.get("default"), str) else ""
    format_name = "password" if schema.get("writeOnly") else schema.get("format", "")
    if default and not is_nullable and not format_name:
        options["empty"] = ""
    is_short = format_name or "pattern" in schema or schema.get("maxLength", SHORT_TEXT + 1) <= SHORT_TEXT
    widget: Any
    if is_short and "\n" not in default:
        widget = forms.PasswordInput() if format_name == "password" else forms.TextInput()
        widget.input_type = INPUT_TYPES.get(format_name, "text")
    else:
        widget = forms.Textarea(attrs={"rows": min(1 + default.count("\n"), ROWS_MAX), "class": "text"})
    widget.attrs |= _placeholder(schema)
    return PropertyField(_with_plain_ends, initial=default, widget=widget, **options)


def _with_plain_ends(text: str) -> str:
    """A text whose lines end as they did before a browser sent them (HTML, "multipart form data" and "urlencoded")."""
    return text.replace("\r\n", "\n")


def _has_texts(items: Any) -> bool:
    return isinstance(items, Mapping) and items.get("type") == "string"


def _are_lines(texts: Any) -> bool:
    return isinstance(texts, list) and all(
        isinstance(text, str) and text.strip() and "\n" not in text for text in texts
    )


def _lines(schema: Mapping[str, Any], options: dict[str, Any]) -> PropertyField:
    default = schema.get("default") or []
    options["help_text"] = f"{options['help_text']} One a line.".strip()
    widget = forms.Textarea(attrs={"rows": min(2 + len(default), ROWS_MAX), "class": "text"})
    return PropertyField(_read_lines, initial="\n".join(default), widget=widget, **options)


def _read_lines(text: str) -> list[str]:
    return [line for line in _with_plain_ends(text).split("\n") if line.strip()]


def _json(name: str, schema: Mapping[str, Any], options: dict[str, Any]) -> PropertyField:
    default = schema.get("default")
    initial = _written(default) if default not in (None, [], {}) else ""
    options["help_text"] = f"{options['help_text']} JSON: a text stands in quotes.".strip()
    read = partial(parse_text, json_type="object", name=name, read=parse_jsonc)
    return PropertyField(read, initial=initial, widget=_json_area(initial, **_placeholder(schema)), **options)


def _json_area(text: str, **attributes: str) -> forms.Textarea:
    rows = min(2 + text.count("\n"), ROWS_MAX)
    return forms.Textarea(attrs={"rows": rows, "spellcheck": "false", **attributes})


def _placeholder(schema: Mapping[str, Any]) -> dict[str, str]:
    """The first example that the schema gives."""
    examples = schema.get("examples")
    if not isinstance(examples, list) or not examples:
        return {}
    plain = isinstance(examples[0], str) and schema.get("type") == "string"
    return {"placeholder": examples[0] if plain else _written(examples[0])}


def _written(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
