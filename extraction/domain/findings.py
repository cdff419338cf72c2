"""What the rules of a payload have found in pages, and the warnings that follow from it. Pure.

Each rule has two sets of bits: one for its selectors, and one for its columns, in the order of `selectors_of` and
`column_places`. A bit is set once the selector has found something, or a record has a value in the column.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple, Self

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.paginator import NEXT
from extraction.domain.selectors import BLOCK

NOTHING_FOUND, ALWAYS_NULL, NO_RECORDS = "nothing-found", "always-null", "no-records"
LEFT_OUT = "records-left-out"
FILES_MISSING = "files-missing"
NOT_USED = "not-used"  # something that was sent has no effect
ANY_PAGE = "any page"
NO_RECORDS_WORDS = "No page gives a record."

FindingsByRule = MutableMapping[str, str]  # by the number of the rule, as JSON has it


class Findings(NamedTuple):
    """What one rule found: bits of selectors and of columns."""

    selectors: int = 0
    columns: int = 0

    def __or__(self, other: "Findings") -> "Findings":
        return Findings(self.selectors | other.selectors, self.columns | other.columns)

    def encode(self) -> str:
        return f"{self.selectors:x}.{self.columns:x}"

    @classmethod
    def decode(cls, text: str) -> Self:
        return cls(*(int(part, 16) for part in text.split(".")))


class ExtractionWarning(NamedTuple):
    """What somebody would want to know of a process that went on all the same. `place` is a JSON pointer, or empty."""

    code: str
    place: str
    detail: str


def add_findings(known: FindingsByRule, rule: int, found: str) -> bool:
    """Adds what a page of a rule showed, as `Findings.encode` writes it; whether it is more than was known."""
    before = known.get(str(rule))
    if found == before:
        return False
    merged = (Findings.decode(found) | Findings.decode(before)).encode() if before else found
    known[str(rule)] = merged
    return merged != before


def selectors_of(rule: ExtractionRule) -> list[tuple[str, str]]:
    """The selectors of a rule with their places: those of its fields, of its blocks, and of the next page."""
    places = [(f"/fields/{index}/selector", field.selector) for index, field in enumerate(rule.fields)]
    if rule.parent:
        places.append(("/commonParent", rule.parent))
    if rule.paginator and rule.paginator.type == NEXT:
        places.append(("/paginator", rule.paginator.selector))
    return places


def column_places(rule: ExtractionRule) -> list[tuple[str, int]]:
    """The names in a record of a rule, each with the place of its field."""
    places: list[tuple[str, int]] = []
    for index, field in enumerate(rule.fields):
        if not rule.path:
            places += [(name, index) for _, name in field.columns]
        if field.details:
            places.append((field.nest, index))
    return places


def found_columns(records: Sequence[Mapping[str, Any]], rule: ExtractionRule) -> int:
    """The bits of columns that have a value in some record. It ends when each has one, as a rule after the first."""
    bits = 0
    left = [(1 << place, name) for place, (name, _) in enumerate(column_places(rule))]
    for record in records:
        if not left:
            break
        found = [bit for bit, name in left if has_value(record[name])]
        if found:
            bits |= sum(found)
            left = [(bit, name) for bit, name in left if not bits & bit]
    return bits


def has_value(value: Any) -> bool:
    """Whether a value of a record is more than null, or a list of nulls."""
    return value is not None if not isinstance(value, list) else any(one is not None for one in value)


def find_warnings(
    rule: ExtractionRule, known: Mapping[str, str], at: str = "", *, where: str = ANY_PAGE
) -> Iterator[ExtractionWarning]:
    """Finds what a rule and those behind it have missed on all pages; of rules none of whose pages was read, nothing.

    `at` is the rule's place, and `where` says which pages were looked at.
    """
    if (text := known.get(str(rule.number))) is None:
        return
    findings = Findings.decode(text)
    missed: set[int] = set()
    for index, (place, selector) in enumerate(selectors_of(rule)):
        if selector != BLOCK and not findings.selectors >> index & 1:
            missed.add(index)
            yield ExtractionWarning(NOTHING_FOUND, f"{at}{place}", f"The selector finds nothing on {where}.")
    if findings.columns:
        for bit, (name, index) in enumerate(column_places(rule)):
            if index not in missed and not findings.columns >> bit & 1:
                detail = f"{name} is null in all records."
                yield ExtractionWarning(ALWAYS_NULL, f"{at}/fields/{index}", detail)
    else:
        yield ExtractionWarning(NO_RECORDS, at, NO_RECORDS_WORDS if where == ANY_PAGE else f"No record is on {where}.")
    for index, field in enumerate(rule.fields):
        if field.details:
            yield from find_warnings(field.details, known, f"{at}/fields/{index}/details", where=where)
