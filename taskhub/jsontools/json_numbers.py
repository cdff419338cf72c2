"""Numbers of JSON, which has one sort of them: which can be kept, and one text for all spellings of a value."""

import json
import math
from decimal import Context, Decimal
from typing import Any

import orjson

# What PostgreSQL's `numeric`, and so its jsonb, takes: digits behind the point, and exponents at all.
FRACTION_MAX, EXPONENT_MAX = 16_383, 10**9
_PLAIN_BETWEEN = (-20, 40)  # powers of ten that are written out; others have an exponent


def number_fault(number: str) -> str | None:
    """Why a number of a JSON text cannot be kept: it is beyond a double, which readers have, or beyond jsonb."""
    if math.isinf(float(number)):
        return "a number is out of range"
    mantissa, _, written = number.lower().partition("e")
    digits = written.lstrip("+-0") or "0"
    exponent = EXPONENT_MAX if len(digits) > 10 else int(digits)
    if exponent >= EXPONENT_MAX:
        return "a number is out of range"
    fraction = len(mantissa.partition(".")[2])
    if fraction - (-exponent if written.startswith("-") else exponent) > FRACTION_MAX:
        return f"a number has more than {FRACTION_MAX} digits behind its point"
    return None


def underflows(number: str) -> bool:
    """Whether a double would hold 0 for a number that is not 0."""
    return float(number) == 0 and any(digit in "123456789" for digit in number.lower().partition("e")[0])


def canonical_json(text: bytes) -> bytes:
    """The same bytes for all texts of a value: members in order, no white space, 1.0 and 1e0 as 1, no digit lost.

    The text must be valid, and its numbers such as `number_fault` lets pass.
    """
    return orjson.dumps(_exact(text), option=orjson.OPT_SORT_KEYS)


def canonical_member(text: bytes, name: str) -> bytes:
    """The same for one member of an object."""
    return orjson.dumps(_exact(text)[name], option=orjson.OPT_SORT_KEYS)


def exact_value(text: bytes) -> Any:
    """The value of a valid JSON text, in which each number is a fragment that `orjson` writes as it was."""
    return json.loads(text, parse_int=_as_written, parse_float=_as_written)


def _as_written(number: str) -> orjson.Fragment:
    return orjson.Fragment(number.encode())


def _exact(text: bytes) -> dict[str, object]:
    value: dict[str, object] = json.loads(text, parse_int=_fragment, parse_float=_fragment)
    return value


def _fragment(number: str) -> orjson.Fragment:
    value = Decimal(number)
    if not value:
        return orjson.Fragment(b"0")
    value = value.normalize(Context(prec=len(number)))
    least, most = _PLAIN_BETWEEN
    return orjson.Fragment((f"{value:f}" if least < value.adjusted() < most else f"{value}").encode())
