"""What the blocks of a group have in common: slots, each of which is a place in a block that has a value. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from selectolax.lexbor import LexborNode

from extraction.domain.record_field import DATE, IMAGE, LINK, NUMBER, TEXT
from extraction.domain.suggestion.block_groups import BlockGroup
from extraction.domain.suggestion.page_outline import OutlineElement
from extraction.domain.suggestion.text_types import is_money, type_of
from extraction.domain.visible_text import text_of

BLOCKS_SEEN = 16  # of a group
ELEMENTS_SEEN = 400  # of one block
DEPTH_MAX = 30
SHARE_LEAST = 0.2  # of the blocks that have a slot
FEW = 4  # blocks, of which more than one has it
SLOTS_MAX = 40
SINGLE = 1.2  # elements of a slot in a block, at most, where it is meant to have one
CELLS = frozenset({"td", "th"})
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_INLINE = frozenset({"b", "strong", "em", "i", "small", "sup", "sub", "u", "mark", "font", "abbr", "code", "wbr"})


@dataclass(eq=False)
class Slot:
    """A place in the blocks of a group. `elements` has those of each block that has some, by the block's place.

    `kind` is text, link or image, `type` number or date where its texts are that.
    """

    key: tuple[str, ...]
    elements: dict[int, list[OutlineElement]]
    kind: str
    blocks: int  # that were looked at
    type: str = ""
    attribute: str = ""  # that has the value, where it is not the usual one
    values: list[str] = field(default_factory=list)  # of the first element of each block that has one
    label: str = ""  # what stands before the value in each block

    @property
    def share(self) -> float:
        """The share of the blocks that have it."""
        return len(self.elements) / self.blocks

    @property
    def repeats(self) -> float:
        """How often it is in a block that has it."""
        return sum(map(len, self.elements.values())) / len(self.elements)

    @property
    def difference(self) -> float:
        """How different its values are, from 0 for one value to 1."""
        if len(self.values) < 2:
            return 1.0 if self.values else 0.0
        return (len(set(self.values)) - 1) / (len(self.values) - 1)

    @property
    def length(self) -> float:
        """The length of its values."""
        return sum(map(len, self.values)) / max(1, len(self.values))

    @property
    def is_price(self) -> bool:
        return self.type == NUMBER and all(map(is_money, self.values))

    @property
    def first(self) -> OutlineElement:
        return next(iter(self.elements.values()))[0]

    @property
    def worth(self) -> float:
        """How much somebody who looks for a list wants it."""
        if self.kind == LINK and self.values and not self.attribute:
            worth = 1.5 + min(1.0, self.length / 40)
        elif self.type or self.kind == IMAGE:
            worth = 1.0
        elif self.kind == LINK:
            worth = 0.5
        else:
            worth = 0.4 + min(1.0, self.length / 100)
        if self.first.name or self.first.tag in HEADINGS:
            worth += 0.3
        repeated = 1.0 if self.repeats <= SINGLE else 0.3
        return worth * self.share * repeated * (0.3 + 0.7 * self.difference)


Instances = list[tuple[int, OutlineElement]]  # the place of a block, and an element in it


def sampled_blocks(group: BlockGroup) -> list[OutlineElement]:
    """Blocks from the beginning to the end of a group."""
    blocks = list(group.blocks())
    if len(blocks) <= BLOCKS_SEEN:
        return blocks
    step = (len(blocks) - 1) / (BLOCKS_SEEN - 1)
    return [blocks[round(place * step)] for place in range(BLOCKS_SEEN)]


def find_slots(group: BlockGroup, blocks: Sequence[OutlineElement]) -> list[Slot]:
    """Finds the slots of some blocks of a group, in the order in which they stand in a block."""
    inner = {element.index for element in group.elements}
    slots: list[Slot] = []
    _explore((), list(enumerate(blocks)), inner, len(blocks), slots, 0)
    return _without_doubles(slots)


def _explore(
    key: tuple[str, ...], instances: Instances, inner: set[int], blocks: int, slots: list[Slot], depth: int
) -> None:
    """Adds the slots of elements that are at one place of their blocks, and of what is in them."""
    if len(slots) >= SLOTS_MAX * 3 or depth > DEPTH_MAX:
        return
    here = list(_slots_at(key, instances, blocks))
    slots += here
    is_text = any(slot.kind == TEXT or (slot.kind == LINK and slot.values) for slot in here)
    by_label: dict[tuple[str, ...], dict[int, Instances]] = {}
    for number, (place, element) in enumerate(instances[:ELEMENTS_SEEN]):
        for child in element.children[:ELEMENTS_SEEN]:
            if element.node is not None and child.index in inner:
                continue  # a block in the block
            if is_text and child.tag in _INLINE and not child.telling:
                continue
            by_label.setdefault(_label_of(child), {}).setdefault(number, []).append((place, child))
    for label, by_instance in by_label.items():
        counts = [len(children) for children in by_instance.values()]
        for suffix, found in _split(label, list(by_instance.values()), counts, len(instances)):
            if len({place for place, _ in found}) >= _least(blocks):
                _explore((*key, ".".join(label) + suffix), found, inner, blocks, slots, depth + 1)


def _least(blocks: int) -> float:
    """How many of some blocks must have a slot."""
    return max(2 if blocks >= FEW else 1, SHARE_LEAST * blocks)


def _split(
    label: tuple[str, ...], lists: list[Instances], counts: Sequence[int], instances: int
) -> Iterator[tuple[str, Instances]]:
    """Children with one label: together, or apart where something tells what they are.

    That is the column of cells, a class with a modifier (`fact--place`), or their place among as many in each.
    """
    tag, *names = label
    every = [one for children in lists for one in children]
    if tag in CELLS and not names:
        columns: dict[int, Instances] = {}
        for place, cell in every:
            columns.setdefault(cell.column, []).append((place, cell))
        yield from ((f":{column}", cells) for column, cells in sorted(columns.items()))
    elif max(counts) > 1 and all(_modifier(child) for _, child in every):
        parts: dict[str, Instances] = {}
        for place, child in every:
            parts.setdefault(_modifier(child), []).append((place, child))
        yield from ((f":{name}", found) for name, found in parts.items())
    elif not names and 2 <= max(counts) == min(counts) <= 6 and len(counts) >= max(2, 0.7 * instances):
        for number in range(max(counts)):
            yield f":{number + 1}", [children[number] for children in lists]
    else:
        yield "", every


def _modifier(element: OutlineElement) -> str:
    return next((name for name in element.telling if "--" in name), "")


def _label_of(element: OutlineElement) -> tuple[str, ...]:
    """What tells an element from others beside it. Of headings with a class it is not their level, in which the first
    block of a list often differs."""
    if element.name:
        return element.tag, f"={element.name}"
    telling = [name for name in element.telling if "--" not in name]
    test = element.attributes.get("data-testid") or ""
    names = telling[:1] or element.stems[:1] or (test,) * bool(test)
    return ("h" if names and element.tag in HEADINGS else element.tag, *(names or element.looks[:4]))


def _slots_at(key: tuple[str, ...], instances: Instances, blocks: int) -> Iterator[Slot]:
    """The slots that elements at one place of their blocks are themselves."""
    elements: dict[int, list[OutlineElement]] = {}
    for place, element in instances:
        if element.node is not None:
            elements.setdefault(place, []).append(element)
    if not elements:
        return
    tag = instances[0][1].tag
    if tag == "img":
        yield from _picture_slot(key, elements, blocks)
        return
    if tag in {"meta", "data", "time"} and (slot := _machine_slot(key, elements, blocks, tag)):
        yield slot
        return
    is_link = tag == "a" and all("href" in firsts[0].attributes for firsts in elements.values())
    has_text = sum(firsts[0].own_text or (is_link and firsts[0].size > 0) for firsts in elements.values())
    if has_text * 2 >= len(elements):
        texts = {place: _text(firsts[0]) for place, firsts in elements.items()}
        if is_link and sum(map(len, texts.values())) == 0:
            yield Slot(key, elements, LINK, blocks, values=_attributes(elements, "href"), attribute="href")
            return
        is_block_link = (
            is_link
            and any(firsts[0].children for firsts in elements.values())
            and not any(firsts[0].own_text or _is_plain(firsts[0]) for firsts in elements.values())
        )
        if is_block_link:  # around a picture, a heading and so on, which are slots of their own
            yield Slot(key, elements, LINK, blocks, values=_attributes(elements, "href"), attribute="href")
            return
        values = [text for text in texts.values() if text]
        slot = Slot(key, elements, LINK if is_link else TEXT, blocks, values=values)
        slot.label = _label_before([firsts[0] for firsts in elements.values()])
        slot.type = "" if is_link or slot.repeats > SINGLE else type_of(values)
        yield slot
    elif is_link:
        yield Slot(key, elements, LINK, blocks, values=_attributes(elements, "href"), attribute="href")


def _is_plain(element: OutlineElement) -> bool:
    """Whether an element has nothing but text, set off by inline elements at most."""
    return all(child.tag in _INLINE or child.tag == "span" for child in element.walk() if child is not element)


def _picture_slot(key: tuple[str, ...], elements: dict[int, list[OutlineElement]], blocks: int) -> Iterator[Slot]:
    """The slot of pictures. Where scripts load them, their address is in another attribute."""
    for name in ("src", "data-src", "data-original", "data-lazy-src", "data-lazy"):
        values = [value for value in _attributes(elements, name) if not value.startswith("data:")]
        if values and (len(set(values)) > 1 or len(values) == 1 == blocks):
            yield Slot(key, elements, IMAGE, blocks, values=values, attribute="" if name == "src" else name)
            return


def _machine_slot(
    key: tuple[str, ...], elements: dict[int, list[OutlineElement]], blocks: int, tag: str
) -> Slot | None:
    """The slot of elements that say their value for machines."""
    name = {"meta": "content", "data": "value", "time": "datetime"}[tag]
    values = _attributes(elements, name)
    if len(values) < len(elements):
        return None
    slot = Slot(key, elements, TEXT, blocks, values=values)
    slot.type = DATE if tag == "time" else type_of(values)
    if tag == "meta" and not slot.type:
        slot.attribute = name
    return slot


def _attributes(elements: dict[int, list[OutlineElement]], name: str) -> list[str]:
    values = (firsts[0].attributes.get(name) for firsts in elements.values())
    return [value.strip() for value in values if value and value.strip()]


def _text(element: OutlineElement) -> str:
    node: LexborNode | None = element.node
    return " ".join(text_of(node).split()) if node is not None else ""


def _label_before(elements: Sequence[OutlineElement]) -> str:
    """The text of the first inline element in each of some, where it is the same in all: what the value is called."""
    if len(elements) < 2:
        return ""
    firsts = [element.children[0] if element.children else None for element in elements]
    texts = {_text(first) if first is not None and first.tag in _INLINE | {"span"} else "" for first in firsts}
    return texts.pop().rstrip(": ") if len(texts) == 1 else ""


def _without_doubles(slots: list[Slot]) -> list[Slot]:
    """Slots that tell something, each value once: of two with the same values the more telling one."""
    kept: list[Slot] = []
    for slot in slots:
        if len(slot.values) < _least(slot.blocks) or (len(slot.values) > 2 and slot.difference == 0):
            continue
        kept.append(slot)
    links = Counter[tuple[str, ...]]()
    result: list[Slot] = []
    texts: dict[tuple[tuple[int, ...], tuple[str, ...]], int] = {}
    for slot in sorted(kept, key=lambda slot: slot.worth, reverse=True):
        if slot.kind == LINK:
            addresses = tuple(_attributes(slot.elements, "href"))
            if links[addresses] and (slot.attribute or not slot.values):
                continue
            links[addresses] += 1
        if not slot.attribute:
            shown = (tuple(slot.elements), tuple(slot.values))
            if shown in texts:
                continue
            texts[shown] = 1
        result.append(slot)
    around = _around_others(result)
    order = {id(slot): place for place, slot in enumerate(slots)}
    return sorted((slot for slot in result if id(slot) not in around), key=lambda slot: order[id(slot)])[:SLOTS_MAX]


def _around_others(slots: Sequence[Slot]) -> set[int]:
    """Texts in which others stand, and beside them only what is the same in all blocks: they tell nothing more."""
    found: set[int] = set()
    for slot in slots:
        if slot.kind != TEXT or slot.attribute:
            continue
        inner = [
            other for other in slots if other is not slot and other.key[: len(slot.key)] == slot.key and other.values
        ]
        if not inner:
            continue
        rests = set()
        for place, elements in slot.elements.items():
            text = _text(elements[0])
            for other in inner:
                for element in other.elements.get(place, []):
                    text = text.replace(_text(element), "", 1) if _text(element) else text
            rests.add("".join(filter(str.isalnum, text)))
        if len(rests) == 1:
            found.add(id(slot))
    return found
