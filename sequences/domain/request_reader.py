"""Reads what a step sends: its method, address, headers and body, and all that the request is beyond that."""

from collections.abc import Mapping
from typing import Any

from sequences.domain.address_templates import read_address
from sequences.domain.bodies import BODY_KEYS, body_fault, part_fault
from sequences.domain.conditions import FilterReader
from sequences.domain.field_reader import FieldReader, Fields
from sequences.domain.headers import read_headers
from sequences.domain.json_values import kind
from sequences.domain.policy_reader import COUNT_MAX, PolicyReader
from sequences.domain.steps import JAC, METHODS, Paginate, RequestPlan
from sequences.domain.templates import Template, TemplateReader, constant
from sequences.domain.validation_errors import Location, ValidationFaults

PAGES_MAX, PAGES_DEFAULT = 10_000, 100
DEFAULTS_KEYS = ("timeout", "retry", "headers", "auth", "follow_redirects")
_HTTP_ONLY = (
    "query", "form", "multipart", "text", "file", "auth", "timeout", "follow_redirects", "response", "paginate"
)  # fmt: skip
_NO_HEADERS = Template(lambda scope: {}, True)


class RequestReader:
    """`defaults` are the fields of the top that count where a step has none of its own."""

    def __init__(self, reader: FieldReader, templates: TemplateReader, filters: FilterReader) -> None:
        self.faults = reader.faults
        self._reader, self._templates, self._filters = reader, templates, filters
        self._policies = PolicyReader(reader, templates, filters)
        self.defaults: Fields = {}

    def read_defaults(self, value: Any, location: Location) -> None:
        """Checks `defaults` at their own place; they are then read again with each step."""
        fields = self._reader.object(value, location, DEFAULTS_KEYS)
        if "headers" in fields:
            read_headers(fields["headers"], (location, "headers"), self._templates, self.faults)
        self._policies.options(fields, location)
        self._policies.auth(fields, location)
        self._policies.retry(fields, location)
        self.defaults = fields if not self.faults.errors else {}

    def request(self, fields: Fields, location: Location) -> dict[str, Any]:
        """The fields of a `Step` that concern its request."""
        method = self._method(fields, location)
        is_call = _is_call(method)
        if is_call:
            for key in _HTTP_ONLY:
                if key in fields:
                    self.faults.add((location, key), "A JAC request has none of this: it is no request of HTTP.")
        if fields.get("response") == "bytes" and fields.get("sensitive") is True:
            self.faults.add((location, "response"), "What a sensitive step gets is not kept as a file.")
        given = fields if is_call else _with_defaults(fields, self.defaults)
        key, template = self._body(given, location, method)
        headers = self._headers(given, location)
        if fault := body_fault(key, template, headers):
            self.faults.add((location, key), fault)
        return {
            "method": method,
            **self._address(fields, location, method),
            "headers": headers,
            "body": template,
            "master": self._master(fields, location, method),
            "plan": self._plan(given, location, method, key),
        }

    def _plan(self, fields: Fields, location: Location, method: Template, body_key: str) -> RequestPlan | None:
        own_retry = "retry" in fields and fields["retry"] is not self.defaults.get("retry")
        name = str(method.value) if method.constant else ""
        plan = RequestPlan(
            options=self._policies.options(fields, location, body_key if body_key != "body" else ""),
            query=self._query(fields, location),
            auth=self._policies.auth(fields, location),
            retry=self._policies.retry(fields, location, name if own_retry else ""),
            until=self._policies.until(fields, location),
            expect=self._policies.expect(fields, location),
            paginate=self._paginate(fields, location),
        )
        return None if plan == RequestPlan() and not _may_state_type(fields) else plan

    def _method(self, fields: Fields, location: Location) -> Template:
        """The method in capitals, or the template of one."""
        method = fields.get("method")
        if isinstance(method, str) and "{{" in method:
            return self._templates.text(method, (location, "method"))
        if isinstance(method, str) and method.upper() in (*METHODS, JAC):
            return constant(method.upper())
        self.faults.add((location, "method"), f"This is required, and one of {', '.join((*METHODS, JAC))}.")
        return Template(lambda scope: "", False)

    def _address(self, fields: Fields, location: Location, method: Template) -> dict[str, Template]:
        """The address of HTTP, the name of a call, or both readings where an expression gives the method."""
        key, address = self._reader.either(fields, location, "url", "api")
        location = (location, key)
        if not isinstance(address, str) or not address.strip():
            self.faults.add(location, "This is required: an address, in 'url' or 'api'.")
            return {"address": constant(""), "call": constant("")}
        is_call = _is_call(method)
        call = self._templates.text(address, location) if is_call or not method.constant else constant("")
        if is_call:
            return {"address": constant(""), "call": call}
        faults = self.faults if method.constant else ValidationFaults()  # it may be the name of a call
        return {"address": read_address(address, location, self._templates, faults), "call": call}

    def _headers(self, fields: Fields, location: Location) -> Template:
        """They are of no effect on a JAC request, and checked all the same."""
        key, headers = self._reader.either(fields, location, "header", "headers")
        if headers is None:
            return _NO_HEADERS
        return read_headers(headers, (location, key), self._templates, self.faults)

    def _body(self, fields: Fields, location: Location, method: Template) -> tuple[str, Template]:
        """The key under which the body stands, and its template."""
        given = [key for key in BODY_KEYS if fields.get(key) is not None]
        key = given[0] if given else "body"
        for other in given[1:]:
            self.faults.add((location, other), f"A request has one body: '{key}' or '{other}'.")
        body = fields.get(key)
        if _is_call(method) and not (
            isinstance(body, dict) or body is None or (isinstance(body, str) and "{{" in body)
        ):
            self.faults.add((location, "body"), f"The body of a JAC request is an object, not {kind(body)}.")
        if key in ("text", "file") and not isinstance(body, str):
            self.faults.add((location, key), f"This is text, not {kind(body)}.")
        elif key in ("form", "multipart") and not isinstance(body, dict) and not _is_expression(body):
            self.faults.add((location, key), f"These are fields, an object, not {kind(body)}.")
        elif key == "multipart" and isinstance(body, dict):
            for name, parts in body.items():
                for part in parts if isinstance(parts, list) else [parts]:
                    if fault := part_fault(part):
                        self.faults.add(((location, key), name), fault)
        return key, self._templates.json(body, (location, key))

    def _query(self, fields: Fields, location: Location) -> Template | None:
        query = fields.get("query")
        if query is None:
            return None
        if not isinstance(query, dict) and not _is_expression(query):
            self.faults.add((location, "query"), f"A query is an object, not {kind(query)}.")
        return self._templates.json(query, (location, "query"))

    def _master(self, fields: Fields, location: Location, method: Template) -> Template:
        master = fields.get("master")
        if master is None:
            return constant(None)
        if method.constant and not _is_call(method):
            self.faults.add((location, "master"), "Only a JAC request has a master.")
        elif not isinstance(master, str):
            self.faults.add((location, "master"), f"A master is a user's id, not {kind(master)}.")
        return self._templates.json(master, (location, "master"))

    def _paginate(self, fields: Fields, location: Location) -> Paginate | None:
        if fields.get("paginate") is None:
            return None
        location = (location, "paginate")
        paginate = self._reader.object(fields["paginate"], location, ("next", "items", "max_pages"))
        next_, param, start = paginate.get("next"), "", 1
        expression = None
        if isinstance(next_, dict):
            counted = self._reader.object(next_, (location, "next"), ("param", "start"))
            param = self._reader.text(counted, (location, "next"), "param", 200)
            start = self._reader.count(counted, (location, "next"), "start", 1, COUNT_MAX, 0)
            if not param:
                self.faults.add(((location, "next"), "param"), "This is required: the name that counts pages.")
        elif next_ != "link":
            expression = self._filters.by(next_, (location, "next")).evaluate
        return Paginate(
            expression,
            param,
            start,
            self._filters.by(paginate.get("items"), (location, "items")).evaluate,
            self._reader.count(paginate, location, "max_pages", PAGES_DEFAULT, PAGES_MAX),
        )


def _with_defaults(fields: Fields, defaults: Mapping[str, Any]) -> Fields:
    """The step's fields, and those of `defaults` that it has none of; headers are put together by their names.

    Credentials of the step, in `auth` or as a header, take the place of those of `defaults`.
    """
    if not defaults:
        return fields
    key = "header" if "header" in fields and "headers" not in fields else "headers"
    given = {**{name: value for name, value in defaults.items() if name != "headers"}, **fields}
    own, others = fields.get(key), defaults.get("headers")
    if own is None and others is not None:
        own = {}
    if isinstance(own, dict) and isinstance(others, dict):
        names = {name.lower() for name in own} | ({"authorization"} if "auth" in fields else set())
        given[key] = {**{name: value for name, value in others.items() if name.lower() not in names}, **own}
    elif own == {}:
        given[key] = others
    if isinstance(own, dict) and "auth" not in fields and any(name.lower() == "authorization" for name in own):
        given.pop("auth", None)
    return given


def _may_state_type(fields: Fields) -> bool:
    """Whether the headers may have a Content-Type, under which not every body can be written."""
    headers = fields.get("headers", fields.get("header", {}))
    return not isinstance(headers, dict) or any(
        name.lower() == "content-type" or _is_expression(name) for name in headers
    )


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _is_call(method: Template) -> bool:
    """Whether the method is known to be JAC."""
    return method.constant and method.value == JAC
