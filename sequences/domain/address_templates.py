"""Addresses of requests: texts with expressions, each of which gives what can stand at its place.

At the beginning it is taken as it is; in the authority (RFC 3986, section 3.2) it gives a host, or a host and a port;
everywhere else it is percent-encoded.
"""

import re
from collections.abc import Callable
from ipaddress import IPv6Address
from itertools import product
from typing import Any
from urllib.parse import quote

from sequences.domain.expressions import Expression
from sequences.domain.json_values import as_text, kind
from sequences.domain.scope import Scope
from sequences.domain.templates import Template, TemplateReader, constant
from sequences.domain.validation_errors import Location, StepFailure, ValidationFaults

LENGTH_MAX = 65_536  # characters

_ADDRESS = re.compile(r"https?://([^/?#]*)([/?#][^\x00-\x1f\x7f]*)?", re.IGNORECASE)
_WITH_HOST = re.compile(r"https?://[^/?#]+[/?#]", re.IGNORECASE)
_IN_AUTHORITY = re.compile(r"[A-Za-z]+://[^/?#]*")
_FOR_AUTHORITY = re.compile(r"[^\s/?#@\\]+")
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]\\]+))(?::([0-9]{0,5}))?")
_ASCII_NAME = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")

# Values with which an address is tried that no values may make one.
_AT_BEGINNING = ("http://1/?", "http://1/", "http://1", "http://", "http", "")
_IN_SCHEME = sorted({"https"[start:end] for start in range(6) for end in range(start, 6)})
_ELSEWHERE = ("1", "")

Parts = list[str | Expression]


def read_address(text: str, location: Location, templates: TemplateReader, faults: ValidationFaults) -> Template:
    """Adds a fault for what can never be an address."""
    parts = templates.parts(text, location)
    if not any(isinstance(part, Expression) for part in parts):
        if fault := address_fault(text):
            faults.add(location, fault)
        return constant(text)
    if not any(_is_address(parts, *values) for values in product(_AT_BEGINNING, _ELSEWHERE, _IN_SCHEME)):
        faults.add(location, "No values make an address of this: it begins with http:// or https:// and a host.")
    if isinstance(parts[0], str) and _WITH_HOST.match(parts[0]) and not address_fault(parts[0]):
        return Template(lambda scope: _join_behind_host(parts, scope), False)
    return Template(lambda scope: _join(parts, lambda part: _counted(part.evaluate(scope), scope)), False)


def _counted(value: Any, scope: Scope) -> Any:
    scope.count_text(as_text(value))
    return value


def _join_behind_host(parts: Parts, scope: Scope) -> str:
    """The usual case, an address that begins with its host, which was checked when it was read."""
    address = "".join(
        part if isinstance(part, str) else quote(scope.count_text(as_text(part.evaluate(scope))), safe="")
        for part in parts
    )
    _refuse_length(address)
    _refuse_dot_segments(address, "")
    return address


def _is_address(parts: Parts, at_beginning: str, elsewhere: str, in_scheme: str) -> bool:
    """Whether these values make an address. Of several expressions before `://` the last gets `in_scheme`."""
    scheme_ends = next((index for index, part in enumerate(parts) if isinstance(part, str) and "://" in part), 0)
    expressions = [index for index, part in enumerate(parts) if isinstance(part, Expression)]
    within = [index for index in expressions if index < scheme_ends]
    chosen = dict.fromkeys(expressions, elsewhere) | dict.fromkeys(within, "") | dict.fromkeys(within[-1:], in_scheme)
    values = iter((chosen | ({0: at_beginning} if 0 in chosen else {})).values())
    try:
        _join(parts, lambda part: next(values))
    except StepFailure:
        return False
    return True


def _join(parts: Parts, value_of: Callable[[Expression], Any]) -> str:
    """The address. Raises `StepFailure` where the values make none."""
    address = beginning = ""
    for index, part in enumerate(parts):
        if isinstance(part, str):
            address += part
        elif index == 0:
            address = beginning = _beginning(value_of(part))
        elif _IN_AUTHORITY.fullmatch(address):
            address += _part_of_authority(as_text(value_of(part)))
        else:
            address += quote(as_text(value_of(part)), safe="")
        _refuse_length(address)
    if fault := address_fault(address):
        raise StepFailure(fault)
    _refuse_dot_segments(address, beginning)
    return address


def _refuse_length(address: str) -> None:
    if len(address) > LENGTH_MAX:
        raise StepFailure(f"The address would be longer than {LENGTH_MAX} characters.")


def _beginning(value: Any) -> str:
    if not isinstance(value, str):
        raise StepFailure(f"The address is not text: what it begins with is {kind(value)}.")
    return value


def _part_of_authority(text: str) -> str:
    if not _FOR_AUTHORITY.fullmatch(text):
        raise StepFailure("What the address has in its host's place is no host, and no host and port.")
    return text


def address_fault(address: str) -> str | None:
    """Why a text is no address that can be called, such as having no host."""
    if not (match := _ADDRESS.fullmatch(address)):
        return "An address begins with http:// or https:// and a host, and has no control characters."
    if "@" in match[1]:
        return "An address has no user name and no password; send them in a header."
    authority = _HOST_AND_PORT.fullmatch(match[1])
    if not authority or not (_is_ipv6(authority[1]) if authority[1] else _is_name(authority[2])):
        return "An address begins with http:// or https:// and a host; this host is none."
    if authority[3] and not 0 < int(authority[3]) < 65536:
        return "The address has a port that does not exist."
    return None


def _is_name(host: str) -> bool:
    return not host.isascii() or _ASCII_NAME.fullmatch(host) is not None


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _refuse_dot_segments(address: str, beginning: str) -> None:
    """Refuses `.` or `..` in a path of which parts were substituted: clients resolve these, even percent-encoded.

    What the `beginning` has of them is its own.
    """
    if "/." not in address:
        return
    path = re.split("[?#]", address, maxsplit=1)[0]
    substituted = path[len(beginning) :]
    if beginning and not substituted.startswith("/"):
        substituted = beginning.rpartition("/")[2] + substituted
    if len(path) > len(beginning) and not {".", ".."}.isdisjoint(substituted.split("/")):
        raise StepFailure("With these values the address would lead elsewhere: a part of its path is '.' or '..'.")
