"""Values of fields that have a type: numbers and dates as people write them, and what is true or false. Pure.

A text that is no value of its type gives None.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from unicodedata import numeric

TEXT_MAX = 1_000  # characters of a text that are looked at
INTEGER_MAX = 2**63 - 1  # of what JSON is written by here

_SPACE = r"[\s'\u2019\u066c]"
# What multiplies a number: signs and words behind it. Those of East Asia stand behind each part of a number.
_SIGNS = {"k": 1_000, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}
_WORDS = {
    **dict.fromkeys("thousand tsd тыс тис tys tis".split(), 1_000),  # noqa: SIM905
    "lakh": 100_000,
    "crore": 10_000_000,
    **dict.fromkeys("million millions mio mln млн millionen millones milhões milioni".split(), 1_000_000),  # noqa: SIM905
    **dict.fromkeys("billion billions bn mrd mld млрд milliarden milliards miliardi".split(), 1_000_000_000),  # noqa: SIM905
}
_MYRIADS = {"万": 10_000, "萬": 10_000, "만": 10_000, "億": 10**8, "亿": 10**8, "억": 10**8, "兆": 10**12, "조": 10**12}
_UNITS = _SIGNS | _WORDS | _MYRIADS
_FRACTION = "[¼½¾⅓⅔⅛⅜⅝⅞]"
_NUMBER = re.compile(
    rf"(?P<amount>\d{{1,3}}(?:{_SPACE}\d{{3}})+(?!\d)(?:[.,\u066b]\d+)?|\d+(?:[.,\u066b€]\d+)*|(?<!\w)[.,]\d+|(?={_FRACTION}))"
    rf"(?:\s?(?P<fraction>{_FRACTION}))?"
    rf"(?P<exponent>[eE][+-]?\d{{1,3}}(?!\w))?"
    rf"(?:(?P<sign>[kKMB](?!\w))|\s?(?i:(?P<word>{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?!\w))"
    rf"|(?P<myriad>[{''.join(_MYRIADS)}]))?"
)
_WIDE = str.maketrans("，．", ",.")  # noqa: RUF001
_SIGN = re.compile(r"(?:^|\W)([-\u2212\u2013])\s?[^\w\s]{0,3}\s?$")
_MINUS_BEHIND = re.compile(r"-\s?(?:[^\w\s]|[A-Z]{3})?\s*$")
_HUNDREDTHS = re.compile(r"[.,]\d\d$")
_UNGROUPED = re.compile(r"\d{4,}[.,]\d+")
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
_NO_DATE = re.compile(r"\d{1,3}|\d{5,9}|[^\w\s]*\s?\d+[.,]\d{0,3}\s?[^\w\s]*|[Qq][1-4]\b.*")
_COMPACT = re.compile(
    r"([12]\d{3})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})(Z|[+-]\d{4})?", re.ASCII
)  # as calendars have it
_EPOCH = re.compile(r"(\d{10})(\d{3})?", re.ASCII)  # seconds or milliseconds
_HOURS = re.compile(r"\b(\d{1,2}) ?h ?(\d{2})\b")
_ORDINAL = re.compile(r"(?<=\d)[º°ª]")
_BUDDHIST = re.compile(r"\b2[45]\d\d\b(?!\d)")  # years, in Thai
_THAI = re.compile(r"[\u0e00-\u0e7f]")
# A text with a date in it begins with other words: `Posted on January 12, 2026`.
_DATED = re.compile(
    r"(?<!\d)(?:19|20)\d\d(?!\d)|\b\d{1,2}[./-]\d{1,2}[./-]\d\d"
    r"|\b(?:ago|vor|il y a|hace|fa|há|atrás|geleden|sedan|siden|temu|před|назад|тому|önce|sitten)\b",
    re.IGNORECASE,
)
_DAY_FIRST = re.compile(r"\d{1,4}[./-]\d|\d{1,2}(?:st|nd|rd|th|er|\.)? [^\W\d]|\d{4}年")
_WORDS_MAX = 3  # before the first digit, which may be of the date
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
    text = text[:TEXT_MAX].strip().translate(_WIDE)
    match = _NUMBER.search(text)
    if match is None:
        return None
    amount, end, myriad = _amount_of(match), match.end(), match["myriad"]
    while myriad:
        part = _NUMBER.match(text, end + text[end : end + 1].isspace())
        if part is None or (further := _amount_of(part)) >= _MYRIADS[myriad]:
            break
        amount, end, myriad = amount + further, part.end(), part["myriad"]
    in_parentheses = text[:1] == "(" and text[-1:] == ")" and not re.search(r"[^\W\d]", text)
    minus_behind = _HUNDREDTHS.search(match["amount"]) and _MINUS_BEHIND.match(text, end)
    if in_parentheses or minus_behind or _SIGN.search(text[: match.start()]):
        amount = -amount
    if not amount.is_finite() or abs(amount.adjusted()) > 300:
        return None
    return int(amount) if amount == amount.to_integral_value() and abs(amount) <= INTEGER_MAX else float(amount)


def _amount_of(match: re.Match[str]) -> Decimal:
    """The number that `_NUMBER` found, with what stands behind it."""
    from price_parser.parser import parse_number as parse_decimal

    written = match["amount"].replace("\u066b", ",")
    amount: Decimal = parse_decimal(_GROUPED.sub("", written), _decimal_separator(written)) or Decimal(0)
    if match["fraction"]:
        amount += Decimal(round(numeric(match["fraction"]), 6)).quantize(Decimal("0.000001"))
    if match["exponent"]:
        amount = amount.scaleb(int(match["exponent"][1:]))
    unit = match["sign"] or (match["word"] or "").lower() or match["myriad"] or ""
    return amount * _UNITS.get(unit, 1)


def _decimal_separator(written: str) -> str | None:
    """The separator of decimals where it is plain; None where the number of digits behind it has to tell."""
    separators = [character for character in written if character in ".,€"]
    last = separators[-1] if separators else None
    if last is None or separators.count(last) > 1:
        return None
    others = set(separators) - {last} or _GROUPED.search(written)
    return last if others or written.startswith((f"0{last}", last)) or _UNGROUPED.fullmatch(written) else None


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
    text = _ORDINAL.sub("", _HOURS.sub(r"\1:\2", text))
    if _THAI.search(text):
        text = _BUDDHIST.sub(lambda year: str(int(year[0]) - 543), text)
    found = _parse_whole(text, language)
    return found or next(filter(None, (_parse_whole(rest, language) for rest in _behind_words(text))), None)


def _parse_whole(text: str, language: str) -> str | None:
    """The date that a text is."""
    if match := _ISO.fullmatch(text) or _BASIC.fullmatch(text):
        try:
            return _iso(*match.groups())
        except ValueError:
            return None
    if match := _COMPACT.fullmatch(text):
        year, month, day, hour, minute, second, zone = match.groups()
        try:
            return _iso(year, month, day, f"{hour}:{minute}:{second}", zone)
        except ValueError:
            return None
    if match := _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(int(match[1]), UTC).isoformat()
    if _MAIL.fullmatch(text):
        return parsedate_to_datetime(text).isoformat()
    return None if _NO_DATE.fullmatch(text) else _parse_words(text, language)


def _behind_words(text: str) -> Iterator[str]:
    """What may be the date in a text that begins with words that are none of it: the longest first."""
    words = text.replace("\uff1a", ": ").split()
    first = next((place for place, word in enumerate(words) if word[0].isdigit()), 0)
    if not first or not _DATED.search(text):
        return
    for place in range(max(1, first - _WORDS_MAX), first + 1):
        rest = " ".join(words[place:])
        if (place < first and len(words[first - 1]) > 2) or _DAY_FIRST.match(rest):
            yield rest


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
