"""Selectors that find the elements of a slot in each block, the most lasting first. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from extraction.domain.selectors import BLOCK
from extraction.domain.suggestion.block_slots import CELLS, SINGLE, Slot
from extraction.domain.suggestion.class_names import is_made_up
from extraction.domain.suggestion.page_outline import OutlineElement

ANCESTORS_MAX = 4
MISSES_MAX = 0.15  # of the blocks


class Part(NamedTuple):
    """A part of a selector, for one element. `place` counts among siblings of its tag, `child` among all of them, and
    `last` from the last one."""

    tag: str = ""
    classes: tuple[str, ...] = ()
    attribute: tuple[str, str] = ("", "")  # a name and a value, which may be any
    place: int = 0
    child: int = 0
    last: int = 0
    stem: str = ""  # of a class
    plain: bool = False  # whether it has no class
    direct: bool = False  # whether it is in the part before it, rather than somewhere deeper

    def __str__(self) -> str:
        name, value = self.attribute
        text = self.tag + "".join(f".{one}" for one in self.classes)
        text += f'[class*="{self.stem}"]' if self.stem else ""
        text += ":not([class])" if self.plain else ""
        text += (f'[{name}="{value}"]' if value else f"[{name}]") if name else ""
        text += f":nth-of-type({self.place})" if self.place else ""
        text += f":nth-child({self.child})" if self.child else ""
        return text + (f":nth-last-child({self.last})" if self.last else "")

    def fits(self, element: OutlineElement) -> bool:
        if self.tag and element.tag != self.tag:
            return False
        if any(name not in element.classes for name in self.classes):
            return False
        if self.plain and "class" in element.attributes:
            return False
        if self.stem and self.stem not in (element.attributes.get("class") or ""):
            return False
        name, value = self.attribute
        if name and (name not in element.attributes or (value and element.attributes[name] != value)):
            return False
        counted = ((self.place, element.place), (self.child, element.child), (self.last, element.last))
        return all(wanted in (0, place) for wanted, place in counted)


Parts = tuple[Part, ...]


@dataclass(frozen=True)
class SlotSelector:
    """A selector of a slot; `first` says that only the first element that it finds in a block is meant."""

    text: str
    first: bool = False


def find_selector(slot: Slot, blocks: Sequence[OutlineElement], inner: set[int]) -> SlotSelector | None:
    """Finds the selector of a slot; None where none finds it in nearly all of the blocks.

    `inner` are the elements of the group: what is in one in another belongs to that.
    """
    if not slot.key:
        return SlotSelector(BLOCK)
    within = [_elements_of(block, inner) for block in blocks]
    best: tuple[float, SlotSelector] | None = None
    for parts in _candidates(slot):
        misses, misses_of_first = 0, 0
        for place, elements in enumerate(within):
            found = [element for element in elements if _fits(parts, element)]
            wanted = slot.elements.get(place, [])
            if found != wanted:
                misses += 1
                misses_of_first += found[:1] != wanted[:1]
        text = "".join((" > " if part.direct else " ") + str(part) for part in parts).strip()
        if not misses:
            return SlotSelector(text)
        options = [(misses / len(blocks), SlotSelector(text))]
        if slot.repeats <= SINGLE:
            options.append((misses_of_first / len(blocks) + 0.01, SlotSelector(text, first=True)))
        least = min(options, key=lambda option: option[0])
        if least[0] <= MISSES_MAX and (best is None or least[0] < best[0]):
            best = least
    return best[1] if best else None


def _elements_of(block: OutlineElement, inner: set[int]) -> list[OutlineElement]:
    """What is in a block, in its order, without blocks in it; where it goes on, with the elements that it has."""
    found: list[OutlineElement] = []
    waiting = list(reversed(block.children))
    while waiting:
        element = waiting.pop()
        if block.node is not None and element.index in inner:
            continue
        found.append(element)
        waiting += reversed(element.children)
    return found


def _fits(parts: Parts, element: OutlineElement) -> bool:
    """Whether a selector finds an element. Where a part is not direct, the nearest element that fits counts."""
    if not parts[-1].fits(element):
        return False
    inner, outer = parts[-1], element.parent
    for part in reversed(parts[:-1]):
        while outer is not None and not part.fits(outer):
            if inner.direct:
                return False
            outer = outer.parent
        if outer is None:
            return False
        inner, outer = part, outer.parent
    return True


def _candidates(slot: Slot) -> Iterator[Parts]:
    """Selectors that a person would try, the most lasting first."""
    elements = [element for found in slot.elements.values() for element in found]
    first = slot.first
    own = list(_named_parts(first.tag, elements))
    yield from ((part,) for part in own)
    tag = Part(first.tag)
    yield (tag,)
    if first.tag == "a":
        yield (Part("a", attribute=("href", "")),)
    around = list(_ancestors(slot))
    for outer in around:
        for outer_part in _named_parts(outer.tag, [outer]):
            yield (outer_part, tag)
            yield from ((outer_part, part) for part in own)
    yield from ((Part(outer.tag), tag) for outer in around)
    if not any("class" in element.attributes for element in elements):
        yield (Part(first.tag, plain=True),)
    for outer in around:
        if outer.tag in CELLS:
            yield from ((part, tag) for part in _cell_parts(outer))
    yield from _paths(first, around)
    looks = _common(elements, "looks")
    if looks:
        yield from ((Part(first.tag, (name,)),) for name in looks[:4])
        yield (Part(first.tag, tuple(looks[:4])),)
    if first.tag in CELLS:
        if "rowspan" in first.attributes:
            yield (Part(first.tag, attribute=("rowspan", "")),)
        yield from ((part,) for part in _cell_parts(first))
    nth = Part(first.tag, place=first.place)
    yield (nth,)
    for outer in around:
        for outer_part in [*_named_parts(outer.tag, [outer]), Part(outer.tag, outer.looks[:2]), Part(outer.tag)]:
            yield (outer_part, nth)
            yield (outer_part, Part(first.tag, tuple(looks[:2])))
    for outer in around[:2]:
        yield (Part(outer.tag, place=outer.place), tag)
        yield (Part(outer.tag, place=outer.place), nth)


def _paths(element: OutlineElement, around: Sequence[OutlineElement]) -> Iterator[Parts]:
    """Selectors from each named element around another one, step by step inwards."""
    steps = [Part(element.tag, direct=True)]
    for outer in around:
        yield from ((part, *reversed(steps)) for part in _named_parts(outer.tag, [outer]))
        steps.append(Part(outer.tag, direct=True))


def _cell_parts(cell: OutlineElement) -> Iterator[Part]:
    """A cell by its place in its row: from the left, or from the right where cells reach down into the row."""
    yield Part(cell.tag, child=cell.child)
    yield Part(cell.tag, last=cell.last)


def _named_parts(tag: str, elements: Sequence[OutlineElement]) -> Iterator[Part]:
    """Parts by what elements have in common that names them."""
    names = {element.name for element in elements}
    if len(names) == 1 and (name := names.pop()) and name.isalnum():
        yield Part(attribute=("itemprop", name))
    for name in _common(elements, "telling"):
        yield Part(classes=(name,))
        yield Part(tag, (name,))
    stems = [stem for stem in elements[0].stems if all(stem in element.stems for element in elements)]
    yield from (Part(tag, stem=stem) for stem in stems[:2])
    relations = {element.attributes.get("rel") or "" for element in elements}
    if len(relations) == 1 and (relation := relations.pop()).isalpha():
        yield Part(tag, attribute=("rel", relation))
    tests = {element.attributes.get("data-testid") or "" for element in elements}
    if len(tests) == 1 and (test := tests.pop()) and not is_made_up(test):
        yield Part(attribute=("data-testid", test))


def _common(elements: Sequence[OutlineElement], kind: str) -> list[str]:
    """The classes of one kind that all elements have."""
    first: Sequence[str] = getattr(elements[0], kind)
    others: list[Mapping[str, None]] = [dict.fromkeys(element.classes) for element in elements[1:]]
    return [name for name in first if all(name in classes for classes in others)]


def _ancestors(slot: Slot) -> Iterator[OutlineElement]:
    """The elements around a slot within its block, from the inside out."""
    outer = slot.first.parent
    for _ in range(min(ANCESTORS_MAX, len(slot.key) - 1)):
        if outer is None:
            return
        yield outer
        outer = outer.parent
