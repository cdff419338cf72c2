"""Reads how a request is sent and what its answer must be: time limits, credentials, retries, expectations."""

import re
from typing import Any

from sequences.domain.conditions import FilterReader
from sequences.domain.exchange import ExchangeOptions
from sequences.domain.field_reader import FieldReader, Fields
from sequences.domain.json_values import kind, weigh
from sequences.domain.steps import REPEATABLE, Expect, Retry, Statuses, Until
from sequences.domain.templates import Template, TemplateReader
from sequences.domain.validation_errors import Location, dotted
from taskhub.jsontools.document_schemas import DocumentSchema, InvalidSchema

SECONDS_MAX = 86_400.0
ATTEMPTS_MAX = 100
POLLS_MAX = 10_000
COUNT_MAX = 10**9
SCHEMA_WORK_MAX = 50_000_000  # characters of an answer times what each is checked against: about half a second
REASONS = ("connection", "timeout")
RETRIED = [408, 429, "5xx", *REASONS]
BACKOFFS = ("constant", "exponential")
RESPONSES = ("json", "text", "bytes")
TIMEOUT_KEYS = ("connect", "read", "total")
RETRY_KEYS = ("attempts", "delay", "backoff", "max_delay", "on", "unsafe")
_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
_STATUS = "a status from 100 to 599, or a class such as '5xx'"


def _mismatch(schema: DocumentSchema, value: Any) -> str | None:
    """Why a value does not match a schema, or None where it does."""
    cost = max(schema.cost.checks, schema.cost.states)
    if weigh(value, SCHEMA_WORK_MAX, "The answer") * cost > SCHEMA_WORK_MAX:
        return "The answer is too large for what the schema checks of each value."
    return None if schema.is_valid(value) else schema.explain(value)


class PolicyReader:
    """Reads single keys of a step's fields, or of `defaults`."""

    def __init__(self, reader: FieldReader, templates: TemplateReader, filters: FilterReader) -> None:
        self.faults = reader.faults
        self._reader, self._templates, self._filters = reader, templates, filters

    def options(self, fields: Fields, location: Location, format_: str = "") -> ExchangeOptions:
        timeout = fields.get("timeout")
        place = (location, "timeout")
        times: dict[str, float] = {}
        if isinstance(timeout, dict):
            limits = self._reader.object(timeout, place, TIMEOUT_KEYS)
            times = {key: self._reader.seconds(limits, place, key, 1, SECONDS_MAX, 0.001) for key in limits}
        elif timeout is not None:
            times = {"total": self._reader.seconds(fields, location, "timeout", 1, SECONDS_MAX, 0.001)}
        return ExchangeOptions(
            format=format_,
            connect_timeout=times.get("connect"),
            read_timeout=times.get("read"),
            total_timeout=times.get("total"),
            follow_redirects=self._reader.boolean(fields, location, "follow_redirects", True),
            response=self._reader.choice(fields, location, "response", RESPONSES, ""),
        )

    def auth(self, fields: Fields, location: Location) -> Template | None:
        """Gives `{"basic": {username, password}}` or `{"bearer": text}`."""
        auth = fields.get("auth")
        if auth is None:
            return None
        location = (location, "auth")
        known = self._reader.object(auth, location, ("basic", "bearer"))
        if len(known) != 1:
            self.faults.add(location, 'Credentials are {"basic": {username, password}} or {"bearer": "..."}.')
        if "basic" in known:
            place = (location, "basic")
            pair = self._reader.object(known["basic"], place, ("username", "password"))
            for key in ("username", "password"):
                if not isinstance(pair.get(key), str):
                    self.faults.add((place, key), "This is required, and text.")
        elif "bearer" in known and not isinstance(known["bearer"], str):
            self.faults.add((location, "bearer"), f"This is text, not {kind(known['bearer'])}.")
        headers = fields.get("headers", fields.get("header"))
        if isinstance(headers, dict) and any(name.lower() == "authorization" for name in headers):
            self.faults.add(location, "There is a header Authorization already: give one of them.")
        return self._templates.json(known, location)

    def retry(self, fields: Fields, location: Location, method: str = "") -> Retry | None:
        """`method` is that of the step whose own retry it is."""
        if fields.get("retry") is None:
            return None
        location = (location, "retry")
        retry = self._reader.object(fields["retry"], location, RETRY_KEYS)
        unsafe = self._reader.boolean(retry, location, "unsafe", False)
        if method and method not in REPEATABLE and not unsafe:
            self.faults.add(location, f'To send a {method} request again may do it twice: say "unsafe": true.')
        backoff = self._reader.choice(retry, location, "backoff", BACKOFFS, "exponential")
        on = retry.get("on", RETRIED)
        reasons = [entry for entry in on if entry in REASONS] if isinstance(on, list) else []
        return Retry(
            self._reader.count(retry, location, "attempts", 3, ATTEMPTS_MAX),
            self._reader.seconds(retry, location, "delay", 1, SECONDS_MAX),
            backoff == "exponential",
            self._reader.seconds(retry, location, "max_delay", 60, SECONDS_MAX),
            self._statuses(on, (location, "on"), REASONS),
            frozenset(reasons),
            unsafe,
        )

    def until(self, fields: Fields, location: Location) -> Until | None:
        if fields.get("until") is None:
            return None
        location = (location, "until")
        until = self._reader.object(fields["until"], location, ("filter", "delay", "attempts"))
        return Until(
            self._filters.filter(until.get("filter"), (location, "filter")),
            self._reader.seconds(until, location, "delay", 1, SECONDS_MAX),
            self._reader.count(until, location, "attempts", 60, POLLS_MAX),
        )

    def expect(self, fields: Fields, location: Location) -> Expect | None:
        if fields.get("expect") is None:
            return None
        location = (location, "expect")
        expect = self._reader.object(fields["expect"], location, ("status", "headers", "filter", "schema"))
        status, filter_ = expect.get("status"), expect.get("filter", [])
        headers = self._reader.object(expect.get("headers", {}), (location, "headers"))
        if not isinstance(filter_, list):
            self.faults.add((location, "filter"), "A filter is a list.")
            filter_ = []
        place = (location, "filter")
        return Expect(
            None if status is None else self._statuses(status, (location, "status"), ()),
            tuple(
                (
                    dotted((((None, "expect"), "headers"), name)),
                    name.lower(),
                    tuple(self._filters.comparisons(condition, ((location, "headers"), name))),
                )
                for name, condition in headers.items()
            ),
            tuple(
                (f"expect.filter[{index}]", self._filters.part(part, (place, index)))
                for index, part in enumerate(filter_)
            ),
            self._schema(expect.get("schema"), (location, "schema")),
        )

    def _schema(self, schema: Any, location: Location) -> Any:
        """A function that gives why a value does not match, or None."""
        if schema is None:
            return None
        if not isinstance(schema, dict | bool):
            self.faults.add(location, f"A JSON Schema is an object, not {kind(schema)}.")
            return None
        try:
            compiled = DocumentSchema(schema)
        except InvalidSchema as error:
            self.faults.add(location, str(error))
            return None
        return lambda value: _mismatch(compiled, value)

    def _statuses(self, value: Any, location: Location, words: tuple[str, ...]) -> Statuses:
        entries = value if isinstance(value, list) else [value]
        single, classes = set(), set()
        for index, entry in enumerate(entries):
            if isinstance(entry, int) and not isinstance(entry, bool) and 100 <= entry <= 599:
                single.add(entry)
            elif isinstance(entry, str) and (matched := _CLASS.fullmatch(entry)):
                classes.add(int(matched[1]))
            elif entry not in words:
                place = (location, index) if isinstance(value, list) else location
                self.faults.add(place, f"This is {_STATUS}" + (f", or {' or '.join(words)}." if words else "."))
        return Statuses(frozenset(single), frozenset(classes))
