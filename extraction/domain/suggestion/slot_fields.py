"""Fields of a payload that take the slots of blocks, with names that the page gives them. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from extraction.domain.record_field import DATE, IMAGE, LINK, TEXT
from extraction.domain.suggestion.block_groups import BlockGroup
from extraction.domain.suggestion.block_slots import CELLS, Slot
from extraction.domain.suggestion.class_names import name_of, words_of
from extraction.domain.suggestion.page_outline import OutlineElement
from extraction.domain.suggestion.slot_selectors import SlotSelector, find_selector
from extraction.domain.visible_text import text_of

FIELDS_MAX = 16
NAME_MAX = 40  # characters
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
PICTURES = frozenset({"avatar", "logo", "icon", "favicon", "thumbnail", "cover", "photo", "flag", "poster"})
STRUCK = frozenset({"del", "s", "strike"})
TAG_NAMES = {"dt": "term", "dfn": "term", "dd": "description"}  # in blocks that go on
_NO_NAME = re.compile(r"[^\w]+")


def fields_of(group: BlockGroup, slots: Sequence[Slot], blocks: Sequence[OutlineElement]) -> list[dict[str, Any]]:
    """The fields of a payload for the slots of some blocks, in their order; without those that no selector finds."""
    inner = {element.index for element in group.elements}
    wanted = {id(slot) for slot in sorted(slots, key=lambda slot: slot.worth, reverse=True)[:FIELDS_MAX]}
    title = _title_of([slot for slot in slots if id(slot) in wanted])
    headings = _column_names(group.elements[0])
    found = [
        (slot, selector) for slot in slots if id(slot) in wanted and (selector := find_selector(slot, blocks, inner))
    ]
    fields: list[dict[str, Any]] = []
    names: set[str] = set()
    for slot, selector in _merged_prices(found):
        name = _unique(_name(slot, blocks[0], headings, is_title=slot is title), names)
        field: dict[str, Any] = {"name": name, "selector": selector.text, **_terms(slot)}
        if selector.first:
            field["first"] = True
        fields.append(field)
    return fields


def _title_of(slots: Sequence[Slot]) -> Slot | None:
    """The slot that is what a record is called: a heading, a link or what is set in bold, or else the longest text."""
    named = [slot for slot in slots if slot.kind != IMAGE and not slot.type and slot.values and not slot.attribute]
    set_off = [slot for slot in named if slot.kind == LINK or slot.first.tag in HEADINGS | {"b", "strong", "th"}]
    return max(set_off or named, key=lambda slot: slot.worth, default=None)


def _merged_prices(found: Sequence[tuple[Slot, SlotSelector]]) -> list[tuple[Slot, SlotSelector]]:
    """Slots with their selectors, in which prices that no block has both of are one: those with and without a sale."""
    merged: list[tuple[Slot, SlotSelector]] = []
    for slot, selector in found:
        place = next(
            (
                place
                for place, (other, _) in enumerate(merged)
                if _is_struck(slot) == _is_struck(other)
                and slot.is_price
                and other.is_price
                and not (slot.elements.keys() & other.elements.keys())
            ),
            None,
        )
        if place is None:
            merged.append((slot, selector))
        else:
            other, before = merged[place]
            whole = replace(other, elements={**other.elements, **slot.elements}, values=[*other.values, *slot.values])
            merged[place] = whole, SlotSelector(f"{before.text}, {selector.text}", before.first or selector.first)
    return merged


def _terms(slot: Slot) -> dict[str, Any]:
    """What is taken of a slot's elements."""
    if slot.kind == IMAGE:
        return {"attrs": [slot.attribute, "alt"]} if slot.attribute else {"type": "image"}
    if slot.kind == LINK:
        return {"type": "url"} if slot.attribute else {"type": "link", **_filters(slot)}
    if slot.attribute:
        return {"attrs": [slot.attribute]}
    return {"type": slot.type} if slot.type else _filters(slot)


def _filters(slot: Slot) -> dict[str, Any]:
    """A filter for white space, where texts have some that nobody sees."""
    texts = [text_of(found[0].node) for found in slot.elements.values() if found[0].node is not None]
    return {"filters": ["squeeze"]} if any(text != " ".join(text.split()) for text in texts) else {}


def _name(slot: Slot, block: OutlineElement, headings: dict[int, str], *, is_title: bool) -> str:
    """The name of a slot: as the page has it for machines, or as its column, its class or its label say."""
    first, within = slot.first, _within(slot.first, block)
    if first.name:
        return first.name
    cell = next((outer for outer in (first, *within) if outer.tag in CELLS), None)
    if cell is not None and (heading := headings.get(cell.column)) and slot.kind != IMAGE:
        return heading
    around = (*block.telling, *(block.children[0].telling if block.node is None else ()))
    step, modifier, _ = slot.key[-1].partition("--") if slot.key else ("", "", "")
    if modifier:  # which tells it from others with its class
        around = (*around, step)
    given = name_of((*first.telling, *first.stems), around)
    if slot.kind == IMAGE:
        return next((word for word in given.split("_") if word in PICTURES), IMAGE)
    if slot.kind == LINK and slot.attribute:
        return "link"
    if not given and slot.label and len(slot.label) <= NAME_MAX:
        given = _as_name(slot.label)
    if not given and any(element.tag in HEADINGS for element in (first, *within)):
        given = "title"
    if not given and block.node is None:
        given = next((name for element in (first, *within) if (name := TAG_NAMES.get(element.tag))), "")
    for outer in within:
        given = given or outer.name or name_of((*outer.telling, *outer.stems), around)
    given = given or _usual_name(slot, is_title=is_title)
    if not slot.is_price:
        return given
    if "price" not in given and any("price" in words_of(name) for outer in within for name in outer.telling):
        given = "price"
    return f"old_{given}" if _is_struck(slot) and "old" not in given else given


def _is_struck(slot: Slot) -> bool:
    """Whether the text of a slot is struck through, as prices of before are."""
    outer: OutlineElement | None = slot.first
    for _ in range(4):
        if outer is not None and outer.tag in STRUCK:
            return True
        outer = outer.parent if outer is not None else None
    return False


def _usual_name(slot: Slot, *, is_title: bool) -> str:
    """The name of a slot to which the page gives none."""
    if slot.type == DATE:
        return "date"
    if slot.type:
        return "price" if slot.is_price else "number"
    if is_title:
        return "title"
    return LINK if slot.kind == LINK else TEXT


def _within(element: OutlineElement, block: OutlineElement) -> list[OutlineElement]:
    """The elements around another one, as far as they are in its block, from the inside out."""
    found: list[OutlineElement] = []
    outer = element.parent
    while outer is not None and outer.index > block.index:
        found.append(outer)
        outer = outer.parent
    return found


def _as_name(text: str) -> str:
    return _NO_NAME.sub("_", text.strip().lower()).strip("_")[:NAME_MAX]


def _unique(name: str, names: set[str]) -> str:
    """A name that no other field has, under which it may be stored with its attributes, too."""
    unique, number = name or TEXT, 2
    while unique in names:
        unique, number = f"{name or TEXT}_{number}", number + 1
    names.add(unique)
    return unique


def _column_names(row: OutlineElement) -> dict[int, str]:
    """The headings of a table's columns, by their numbers."""
    table = row
    while table is not None and table.tag != "table" and table.parent is not None:
        table = table.parent
    if row.tag not in {"tr", "tbody"} or table.tag != "table":
        return {}
    rows = [inner for part in table.children for inner in (part.children if part.tag != "tr" else [part])]
    for candidate in rows[:4]:
        cells = candidate.children
        if len(cells) > 1 and all(cell.tag == "th" for cell in cells):
            texts = {cell.column: " ".join(text_of(cell.node).split()) for cell in cells if cell.node is not None}
            return {column: _as_name(text) for column, text in texts.items() if _as_name(text)}
    return {}
