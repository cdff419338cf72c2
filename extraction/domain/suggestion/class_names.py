"""What classes of elements tell: whether somebody named a thing by them, and which words name it. Pure."""

import re
from functools import lru_cache

WORDS_MAX = 2  # of a name
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,60}")
# What build tools make up: `css-1x2y3z`, `sc-bdVaJa`, `_3fKx9`, `title__2kXbA`, digests.
_MADE_UP = re.compile(
    r"(?:css|sc|jss|jsx|styled|emotion|svelte|astro|ember)-[A-Za-z0-9_-]+"
    r"|_.*"
    r"|(?:.*[-_])?(?=[A-Za-z0-9]*(?:\d[A-Za-z]|[A-Z]\d|[a-z]\d+[a-z]))[A-Za-z0-9]{5,}"
    r"|(?:.*[-_])?(?=[a-f]*\d)[0-9a-f]{6,}"
    r"|.*__(?![A-Z][a-z]+$)(?=[a-z]*[A-Z])(?=[A-Z]*[a-z])[A-Za-z0-9]{5,6}"
    r"|[a-z]{1,2}|[A-Za-z]{1,3}\d{1,4}"
)
# What says how a thing looks, or in which state or place it is, and not what it is.
_LOOKS = re.compile(
    r"(?:[a-z0-9]+[:_])?-?(?:"
    r"(?:m|p|mt|mb|ml|mr|mx|my|ms|me|pt|pb|pl|pr|px|py|ps|pe|w|h|z|g|gx|gy|gap|top|left|right|bottom|inset|order|min|max"
    r"|basis|size|space|opacity|duration|delay|scale|rotate|translate|columns|span|offset|fs|fw|lh)-.+"
    r"|(?:text|font|bg|border|rounded|shadow|flex|grid|items|justify|self|leading|tracking|overflow|cursor|align|float"
    r"|pull|whitespace|break|divide|ring|stroke|pointer|transition|animate|ease|transform|outline|decoration|aspect|d"
    r"|hidden|visible|is|has|clear|display|hover|focus)-.+"
    r"|(?:col|column|row|grid|flex|container|wrapper?|inner|outer|clearfix|clear|block|inline|hidden|visible|relative"
    r"|absolute|fixed|static|sticky|truncate|uppercase|lowercase|capitalize|italic|underline|bold|small|large|big|left"
    r"|right|center|middle|top|bottom|first|last|odd|even|alt|active|current|selected|open|closed|cf|fl|fr|antialiased"
    r"|border|rounded|shadow|transition|lazy|lazyload|lazyloaded|muted|dark|light|img)"
    r"(?:-(?:xs|sm|md|lg|xl|xxl|\d+|auto|fluid|none|start|end))*"
    r")",
    re.IGNORECASE,
)
# What stays of a class to which a tool adds a digest: `Card_title__x8Kd2`.
_STEM = re.compile(r"([A-Za-z][A-Za-z0-9_-]*?(?:__|--|_))(?=[A-Za-z0-9_-]*(?:\d|[a-z][A-Z]))[A-Za-z0-9+_-]{4,10}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Words of classes that stand around what a thing is called.
_EMPTY_WORDS_TEXT = """
js wrapper wrap container inner outer box block element elem component module item list row cell col
column field value val text txt label info data the of my ui div span link anchor a section area
part view content body url href fn main img html root
"""
_EMPTY_WORDS = frozenset(_EMPTY_WORDS_TEXT.split())
_CONTENT_WORDS = frozenset({"text", "content", "body", "value", "label", "info"})
# What a thing is called, whatever its template puts before it; but for words that tell it from others of the kind.
_CORE_WORDS_TEXT = """
title name headline price date time author description summary rating company location city address
category brand image thumbnail avatar logo amount salary phone email score rank
"""
_CORE_WORDS = frozenset(_CORE_WORDS_TEXT.split())
_QUALIFIERS_TEXT = """
old new sale regular special original current former previous last first start end sub short full
total net gross unit min max published updated user
"""
_QUALIFIERS = frozenset(_QUALIFIERS_TEXT.split())


@lru_cache(maxsize=4096)
def is_made_up(name: str) -> bool:
    """Whether a class, or an id, seems to be made by a tool, and may be another one tomorrow."""
    return _PLAIN.fullmatch(name) is None or _MADE_UP.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def is_of_looks(name: str) -> bool:
    """Whether a class says how an element looks or where it stands, as those of utility frameworks do."""
    return _LOOKS.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def is_telling(name: str) -> bool:
    """Whether a class says what an element is."""
    return not (is_made_up(name) or is_of_looks(name))


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a class, in lower case: `productCard__old-price` has four."""
    return tuple(word.lower() for word in _WORD.findall(name))


@lru_cache(maxsize=4096)
def stem_of(name: str) -> str:
    """What of a class stays when a tool makes its digest anew; empty where it has none."""
    match = _STEM.fullmatch(name) if is_made_up(name) else None
    return match[1] if match and len(match[1]) > 3 else ""


def name_of(classes: tuple[str, ...], around: tuple[str, ...] = ()) -> str:
    """The name that the classes of an element give it; empty where they give none. `around` are those of its block."""
    known = {word for name in around for word in words_of(name)}
    for name in classes:
        words = [word for word in words_of(name) if not word.isdigit()]
        own = [word for word in words if word not in known and word not in _EMPTY_WORDS and len(word) > 1]
        if own and own[-1] in _CORE_WORDS:
            own = own[-2:] if own[-2:-1] and own[-2] in _QUALIFIERS else own[-1:]
        if own:
            return "_".join(own[-WORDS_MAX:])
    words = [word for name in classes for word in words_of(name)]
    return next((word for word in words if word in _CONTENT_WORDS), "")
