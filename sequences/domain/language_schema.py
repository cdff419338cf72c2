"""The language of sequences as a JSON Schema (2020-12), for editors, from the keys and limits that its readers know.

It accepts whatever the validator accepts. What it cannot say, such as the syntax of an expression, the validator tells.
"""

import re
from collections.abc import Iterable
from typing import Any

from sequences.domain.bodies import PART_KEYS
from sequences.domain.conditions import COMPARISONS
from sequences.domain.headers import NAME_PATTERN
from sequences.domain.language_meanings import meanings_of
from sequences.domain.policy_reader import (
    ATTEMPTS_MAX,
    BACKOFFS,
    COUNT_MAX,
    POLLS_MAX,
    REASONS,
    RESPONSES,
    RETRY_KEYS,
    SECONDS_MAX,
    TIMEOUT_KEYS,
)
from sequences.domain.program import CONTAINER_KEYS, PROGRAM_KEYS
from sequences.domain.request_reader import DEFAULTS_KEYS, PAGES_MAX
from sequences.domain.step_reader import (
    ACTIONS,
    AT_ONCE_MAX,
    BRANCHES_MAX,
    DESCRIPTION_MAX,
    LOOP_KEYS,
    SHARED_KEYS,
    SLEEP_KEYS,
    STEP_KEYS,
    STEPS_MAX,
    TITLE_MAX,
)
from sequences.domain.steps import JAC, METHODS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "minLength": 1}
_SWITCH: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_EXPRESSION: Schema = {"type": "string", "pattern": r"\{\{"}
_SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": SECONDS_MAX}
_TIME_LIMIT: Schema = {"type": "number", "minimum": 0.001, "maximum": SECONDS_MAX}
_NULL: Schema = {"type": "null"}


def language_schema() -> Schema:
    """The schema of the arguments of a sequence."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A sequence",
        "description": "A program of HTTP requests. Null counts as absent for every optional key.",
        **_object(
            PROGRAM_KEYS,
            "sequence",
            required=("requests",),
            persistence=_OBJECT,
            container=_object(
                CONTAINER_KEYS,
                "container",
                current={},
                parent_current={},
                index={"type": ["string", "integer", "object"]},
            ),
            defaults=_object(
                DEFAULTS_KEYS,
                "defaults",
                **{key: _ref(key) for key in ("timeout", "retry", "headers", "auth")},
                follow_redirects=_SWITCH,
            ),
            requests=_ref("steps"),
            on_failure=_ref("steps"),
            **{"finally": _ref("steps")},
        ),
        "$defs": {
            "steps": {"type": "array", "items": _ref("step"), "maxItems": STEPS_MAX},
            "step": _step(),
            "filter": {"type": "array", "items": _ref("filter_part")},
            "filter_part": _filter_part(),
            "condition": {
                "type": "object",
                "properties": {name: {} for name in COMPARISONS},
                "additionalProperties": False,
            },
            "headers": _headers(),
            "timeout": {
                "anyOf": [_TIME_LIMIT, _object(TIMEOUT_KEYS, "timeout", **dict.fromkeys(TIMEOUT_KEYS, _TIME_LIMIT))]
            },
            "retry": _object(
                RETRY_KEYS,
                "retry",
                attempts=_count(ATTEMPTS_MAX),
                delay=_SECONDS,
                backoff={"enum": list(BACKOFFS)},
                max_delay=_SECONDS,
                on=_statuses(REASONS),
                unsafe=_SWITCH,
            ),
            "auth": _object(
                ("basic", "bearer"),
                "auth",
                basic=_object(
                    ("username", "password"), required=("username", "password"), username=_TEXT, password=_TEXT
                ),
                bearer=_TEXT,
            ),
        },
    }


def _step() -> Schema:
    fields = {**_request_fields(), **_shared_fields(), **_action_fields()}
    return {**_object(STEP_KEYS, "step", **fields), "anyOf": [_request_kind(), *map(_action_kind, ACTIONS)]}


def _request_fields() -> dict[str, Schema]:
    address = {"type": "string", "pattern": r"\S"}
    fields = {"anyOf": [_OBJECT, _EXPRESSION]}
    return {
        "method": {"type": "string", "pattern": _in_any_case([*METHODS, JAC])},
        "url": address,
        "api": address,
        "header": _ref("headers"),
        "headers": _ref("headers"),
        "query": fields,
        "body": {},
        "form": fields,
        "multipart": {"anyOf": [_parts(), _EXPRESSION]},
        "text": _TEXT,
        "file": _TEXT,
        "auth": _ref("auth"),
        "master": _TEXT,
        "timeout": _ref("timeout"),
        "retry": _ref("retry"),
        "until": _object(
            ("filter", "delay", "attempts"),
            "until",
            required=("filter",),
            filter=_ref("filter"),
            delay=_SECONDS,
            attempts=_count(POLLS_MAX),
        ),
        "expect": _object(
            ("status", "headers", "filter", "schema"),
            "expect",
            status=_statuses(()),
            headers={"type": "object", "additionalProperties": _ref("condition")},
            filter=_ref("filter"),
            schema={"type": ["object", "boolean"]},
        ),
        "paginate": _paginate(),
        "follow_redirects": _SWITCH,
        "response": {"enum": [*RESPONSES, ""]},
        "save_req_to": _NAME,
    }


def _shared_fields() -> dict[str, Schema]:
    loop = _object(
        LOOP_KEYS,
        "loop",
        required=("by", "requests"),
        by=_TEXT,
        filter=_ref("filter"),
        requests=_ref("steps"),
        parallel=_count(AT_ONCE_MAX),
        max_items=_count(COUNT_MAX),
        collect=_NAME,
    )
    return {
        "name": {"type": "string", "maxLength": TITLE_MAX},
        "description": {"type": "string", "maxLength": DESCRIPTION_MAX},
        "when": _ref("filter"),
        "save_to": _NAME,
        "assign": {"type": "object", "propertyNames": {"minLength": 1}},
        "sensitive": _SWITCH,
        "ignore_error": _SWITCH,
        "catch": _ref("steps"),
        "break": _ref("filter"),
        "__def_loop__": loop,
        "__def_loop": loop,
    }


def _action_fields() -> dict[str, Schema]:
    branches = {"type": "array", "items": _ref("steps"), "minItems": 1, "maxItems": BRANCHES_MAX}
    return {
        "sleep": {"anyOf": [_SECONDS, _EXPRESSION]},
        "parallel": _object(
            ("branches", "limit"), "parallel", required=("branches",), branches=branches, limit=_count(AT_ONCE_MAX)
        ),
        "call": _object(
            ("sequence", "version", "inputs"),
            "call",
            required=("sequence",),
            sequence=_NAME,
            version=_count(COUNT_MAX),
            inputs={"anyOf": [_OBJECT, _EXPRESSION]},
        ),
    }


def _request_kind() -> Schema:
    return {
        **_having("method"),
        "properties": {"method": _TEXT, **dict.fromkeys(ACTIONS, _NULL)},
        "anyOf": [_having("url"), _having("api")],
    }


def _action_kind(key: str) -> Schema:
    """A step with this action, which has no key of a request but what is null."""
    allowed = SLEEP_KEYS if key == "sleep" else (key, *SHARED_KEYS)
    return {**_having(key), "properties": {other: _NULL for other in STEP_KEYS if other not in allowed} | {key: _SET}}


_SET: Schema = {"not": _NULL}


def _having(key: str) -> Schema:
    return {"required": [key], "properties": {key: _SET}}


def _paginate() -> Schema:
    counted = _object(
        ("param", "start"),
        required=("param",),
        param={"type": "string", "minLength": 1, "maxLength": 200},
        start=_count(COUNT_MAX, 0),
    )
    return _object(
        ("next", "items", "max_pages"),
        "paginate",
        required=("next", "items"),
        next={"anyOf": [_TEXT, counted]},
        items=_TEXT,
        max_pages=_count(PAGES_MAX),
    )


def _parts() -> Schema:
    """The parts of a multipart body; several of one name are a list."""
    part: Schema = _object(PART_KEYS, filename=_TEXT, content={}, file=_TEXT, content_type=_TEXT)
    part |= {"oneOf": [{"required": [key]} for key in ("content", "file")]}
    single = {"anyOf": [{"not": _OBJECT}, part]}
    several = {"if": {"type": "array"}, "then": {"items": single}, "else": single}
    return {"type": "object", "additionalProperties": several}


def _filter_part() -> Schema:
    single = {"by": _TEXT, "condition": _ref("condition")}
    forms = [single, {"or": _ref("filter")}, {"and": _ref("filter")}]
    return {
        "type": "object",
        "anyOf": [{"properties": form, "required": list(form), "additionalProperties": False} for form in forms],
    }


def _headers() -> Schema:
    values = {"type": ["string", "number", "boolean", "null"]}
    named = {
        "type": "object",
        "propertyNames": {"pattern": rf"^{NAME_PATTERN}$|\{{\{{"},
        "additionalProperties": values,
        "patternProperties": {r"\{\{": {}},
    }
    return {"anyOf": [named, _EXPRESSION]}


def _statuses(words: Iterable[str]) -> Schema:
    """A status, a class of them or a word, or a list of these."""
    status = {
        "anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5][xX][xX]$"},
            *({"const": word} for word in words),
        ]
    }
    return {"anyOf": [status, {"type": "array", "items": status}]}


def _object(keys: Iterable[str], kind: str = "", *, required: Iterable[str] = (), **fields: Schema) -> Schema:
    """An object with exactly these keys; those that are not required may be null. `kind` says what they mean."""
    required, meanings = list(required), meanings_of(kind)
    assert set(keys) == set(fields), set(keys) ^ set(fields)
    assert not meanings or set(keys) == set(meanings), set(keys) ^ set(meanings)
    properties = {
        key: {
            **({"description": meanings[key]} if meanings else {}),
            **(field if key in required else _optional(field)),
        }
        for key, field in fields.items()
    }
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, _NULL]} if schema else {}


def _count(most: int, least: int = 1) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _in_any_case(words: Iterable[str]) -> str:
    """A pattern of these words, in capitals or not, and of texts with an expression."""
    either = "|".join("".join(f"[{letter}{letter.lower()}]" for letter in re.escape(word)) for word in words)
    return rf"^({either})$|\{{\{{"
