"""Which type the texts of a slot have: numbers and prices, dates, or none. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from extraction.domain.record_field import DATE, NUMBER
from extraction.domain.typed_values import parse_date

LONG = 60  # characters: longer texts have no type
SHARE = 0.8  # of texts that have it
_MONEY = re.compile(
    r"[$€£¥₹₽₩₺₴฿]|\b(?:EUR|USD|GBP|CHF|PLN|SEK|NOK|DKK|CZK|HUF|RON|BGN|JPY|CNY|INR|RUB|UAH|TRY|BRL|AUD|CAD|NZD|MXN)\b"
    r"|(?<=\d)\s?(?:zł|kr|Kč|Ft|lei|лв|руб|грн|元|円|원|kn|R\$)(?!\w)",  # noqa: RUF001
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,'\s\u2019]\d+)*+")
_DATE = re.compile(
    r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z]{2} \d{4} [\d:]{5,8}(?: [+-]\d{4}| [A-Z]{1,3})?"  # of feeds
    r"|\b\d{4}-\d{2}-\d{2}|\b\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})\b|\b\d{1,2}\.? ?[^\W\d]{3,9}\.?,? \d{4}\b"
    r"|\b[^\W\d]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}\b|\b\d{1,2}\.? (?:de )?[^\W\d]{3,9}\.? (?:de )?\d{4}\b"
    r"|\b\d+ ?[^\W\d]{1,8} ago\b|\bvor \d+|\bil y a \d+|\bhace \d+|\b\d{4}[年/]\d{1,2}[月/]\d{1,2}"
)


def type_of(values: Sequence[str]) -> str:
    """The type that most of some texts have, which are short: number or date; or none."""
    if not values or sum(map(len, values)) / len(values) > LONG:
        return ""
    if sum(map(is_date, values)) >= SHARE * len(values):
        return DATE if any(parse_date(value) for value in values[:3]) else ""
    words = Counter(_words_beside_number(value) for value in values).most_common(1)[0]
    usual = words[0] if words[1] > 2 and words[1] >= SHARE * len(values) else ""
    numbers = sum(is_money(value) or is_number(value, usual) for value in values)
    return NUMBER if numbers >= SHARE * len(values) else ""


def is_money(text: str) -> bool:
    """Whether a text is one price."""
    return len(text) <= 40 and _MONEY.search(text) is not None and len(_NUMBER.findall(text)) == 1


def is_number(text: str, usual: str = "") -> bool:
    """Whether a text is a number, and a unit of two or three letters at most, or what is `usual` behind it."""
    match = _NUMBER.search(text)
    if match is None or len(_NUMBER.findall(text)) > 1 or any(map(str.isalnum, text[: match.start()])):
        return False
    words = _words_beside_number(text)
    return (len(words) <= 3 or words == usual) and not (
        text.startswith("0") and match[0].isdigit() and len(match[0]) > 1
    )


def _words_beside_number(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def is_date(text: str) -> bool:
    """Whether a text has the form of a date, and little else."""
    match = _DATE.search(text)
    return match is not None and len(text) - len(match[0]) <= 16
