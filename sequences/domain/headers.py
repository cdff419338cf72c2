"""Headers of a request, from JSON: names that are tokens, values on one line."""

import re
from typing import Any

from sequences.domain.json_values import as_text, kind
from sequences.domain.scope import Scope
from sequences.domain.templates import Template, TemplateReader
from sequences.domain.validation_errors import Location, StepFailure, ValidationFaults

NAME_PATTERN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_NAME = re.compile(NAME_PATTERN)
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def read_headers(value: Any, location: Location, templates: TemplateReader, faults: ValidationFaults) -> Template:
    """Gives `{name: text}`. Numbers and booleans become text; a header that is null is not sent."""
    if not isinstance(value, dict) and not (isinstance(value, str) and "{{" in value):
        faults.add(location, f"Headers are an object, not {kind(value)}.")
        return Template(lambda scope: {}, True)
    template = templates.json(value, location)
    if isinstance(value, dict):
        _check_constants(value, location, faults)
    return Template(lambda scope: _render(template, scope), template.constant)


def _check_constants(headers: dict[str, Any], location: Location, faults: ValidationFaults) -> None:
    """Adds the faults of names and values that are no templates."""
    for name, value in headers.items():
        if "{{" in name or (isinstance(value, str) and "{{" in value):
            continue
        if fault := _fault(name, value):
            faults.add((location, name), fault)


def _render(template: Template, scope: Scope) -> dict[str, str]:
    headers = template.render(scope)
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise StepFailure(f"Headers are an object, not {kind(headers)}.")
    for name, value in headers.items():
        if fault := _fault(name, value):
            raise StepFailure(f"The header {name[:100]!r}: {fault}")
    return {name: as_text(value) for name, value in headers.items() if value is not None}


def _fault(name: str, value: Any) -> str | None:
    if not _NAME.fullmatch(name):
        return "This is no name of a header."
    if isinstance(value, dict | list):
        return f"A header is text, not {kind(value)}."
    return None if _VALUE.fullmatch(as_text(value)) else "A header is one line of Latin-1 characters."
