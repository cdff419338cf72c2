"""Values of fields that have a type: numbers and dates as people write them, and what is true or false. Pure.

A text that is no value of its type gives None.
"""

import re
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

TEXT_MAX = 1_000  # characters of a text that are looked at
INTEGER_MAX = 2**63 - 1  # of what JSON is written by here

_SPACE = r"[\s'\u2019\u066c]"
_NUMBER = re.compile(
    rf"(?P<amount>\d{{1,3}}(?:{_SPACE}\d{{3}})+(?!\d)(?:[.,\u066b]\d+)?|\d+(?:[.,\u066b€]\d+)*|[.,]\d+)"
    r"(?P<exponent>[eE][+-]?\d{1,3}(?!\w))?(?P<unit>[kKMB](?!\w))?"
)
_SIGN = re.compile(r"(?:^|\W)([-\u2212\u2013])\s?[^\w\s]{0,3}\s?$")
_UNITS = {"k": 1_000, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}
_GROUPED = re.compile(_SPACE)
_TRUE = frozenset("true yes y on 1 t ✓ ✔ ☑ ja oui si sí sì sim tak ano да igen evet kyllä".split())  # noqa: SIM905
_FALSE = frozenset("false no n off 0 f ✗ ✘ ☐ nein non não nie ne нет nem ei nej".split())  # noqa: SIM905
_ISO = re.compile(
    r"(\d{4})-(\d{2})(?:-(\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?) ?(Z|[+-]\d{2}:?\d{2})?)?)?", re.ASCII
)
_BASIC = re.compile(r"([12]\d{3})(\d{2})(\d{2})", re.ASCII)
_MAIL = re.compile(  # RFC 5322
    r"(?:[A-Z][a-z]{2}, ?)?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d(?::\d\d)? (?:[+-]\d{4}|GMT|UTC?|Z)"
)
_NO_DATE = re.compile(r"\d{1,3}|\d{5,9}|\d+[.,]\d{0,3}")
# The languages of dates where the page does not tell its own, in the order in which they are tried.
LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "sv", "da", "nb", "fi", "hu", "ro", "bg", "hr", "el"),
    *("ru", "uk", "tr", "ar", "he", "fa", "hi", "zh", "ja", "ko", "vi", "id", "th"),
)
_PRECISIONS = {"year": "%Y", "month": "%Y-%m"}


@lru_cache(maxsize=4096)
def parse_number(text: str) -> int | float | None:
    """The first number in a text: `9 900,00 zł` is 9900.

    Of two different separators the last one is that of decimals; one that stands before three digits is one of
    thousands, but for `0.125`. A minus before the number, or parentheses around it, as in accounts, make it negative.
    """
    from price_parser.parser import parse_number as parse_decimal

    text = text[:TEXT_MAX].strip()
    match = _NUMBER.search(text)
    if match is None:
        return None
    written = match["amount"].replace("\u066b", ",")
    amount = parse_decimal(_GROUPED.sub("", written), _decimal_separator(written))
    if amount is None:
        return None
    if match["exponent"]:
        amount = amount.scaleb(int(match["exponent"][1:]))
    amount *= _UNITS.get(match["unit"] or "", 1)
    in_parentheses = text[:1] == "(" and text[-1:] == ")" and not re.search(r"[^\W\d]", text)
    if in_parentheses or _SIGN.search(text[: match.start()]):
        amount = -amount
    if not amount.is_finite() or abs(amount.adjusted()) > 300:
        return None
    return int(amount) if amount == amount.to_integral_value() and abs(amount) <= INTEGER_MAX else float(amount)


def _decimal_separator(written: str) -> str | None:
    """The separator of decimals where it is plain; None where the number of digits behind it has to tell."""
    separators = [character for character in written if character in ".,€"]
    last = separators[-1] if separators else None
    if last is None or separators.count(last) > 1:
        return None
    others = set(separators) - {last} or _GROUPED.search(written)
    return last if others or written.startswith((f"0{last}", last)) else None


def parse_integer(text: str) -> int | None:
    """The first number in a text, where it is a whole one."""
    number = parse_number(text)
    return number if isinstance(number, int) else None


def parse_boolean(text: str) -> bool | None:
    """True or false, as words of several languages and signs say it."""
    word = text[:TEXT_MAX].strip().strip(".!").casefold()
    return True if word in _TRUE else False if word in _FALSE else None


@lru_cache(maxsize=4096)
def parse_date(text: str, language: str = "") -> str | None:
    """A date or a time in ISO 8601, as precise as the text is: `January 2026` is `2026-01`.

    `language` is that of the page, which decides what `01/02/2026` means. `3 days ago` is before the time of reading.
    """
    text = " ".join(text[:TEXT_MAX].split())
    if not any(character.isalnum() for character in text) or len(text) > 200:
        return None
    if match := _ISO.fullmatch(text) or _BASIC.fullmatch(text):
        try:
            return _iso(*match.groups())
        except ValueError:
            return None
    if _MAIL.fullmatch(text):
        return parsedate_to_datetime(text).isoformat()
    return None if _NO_DATE.fullmatch(text) else _parse_words(text, language)


def _iso(year: str, month: str, day: str | None, time: str | None = None, zone: str | None = None) -> str:
    if day is None:
        return datetime(int(year), int(month), 1).strftime("%Y-%m")
    if time is None:
        return datetime(int(year), int(month), int(day)).date().isoformat()
    return datetime.fromisoformat(f"{year}-{month}-{day}T{time.replace(',', '.')}{zone or ''}").isoformat()


def _parse_words(text: str, language: str) -> str | None:
    found = next((found for parser in _parsers(language) if (found := parser(text))), None)
    if found is None:
        return None
    if found.period == "time":
        return str(found.date_obj.isoformat(timespec="seconds"))
    if pattern := _PRECISIONS.get(found.period):
        return str(found.date_obj.strftime(pattern))
    return str(found.date_obj.date().isoformat())


@lru_cache(maxsize=64)
def _parsers(language: str) -> tuple[Callable[[str], Any], ...]:
    """Parsers of dates in words: of the page's language as its country writes it, of the language, and of any."""
    from dateparser.date import DateDataParser

    settings = {"RETURN_TIME_AS_PERIOD": True, "PREFER_DAY_OF_MONTH": "first", "TIMEZONE": "UTC"}

    def parser_of(**known: Any) -> Callable[[str], Any]:
        parser = DateDataParser(**known, settings=settings)

        def parse(text: str) -> Any:
            try:
                found = parser.get_date_data(text)
            except (ValueError, OverflowError):  # it has no such language, or no such year
                return None
            return found if found.date_obj else None

        return parse

    name, _, country = language.lower().replace("_", "-").partition("-")
    parsers = [parser_of(languages=[name])] if name else []
    if country:
        parsers.insert(0, parser_of(locales=[f"{name}-{country.upper()}"]))
    return (*parsers, parser_of(languages=list(LANGUAGES), use_given_order=True))


def load_date_words(language: str = "") -> None:
    """Loads the words of dates, which takes as long as reading several pages."""
    _parse_words("-", language)
