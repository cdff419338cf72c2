"""Groups of elements of a page that may be the blocks of a list, each with the selector that finds them. Pure.

Selectors come first: of each element those are written that a person would try, and elements with one selector are a
group. So whatever is found can be said, and is found again on the next page of the list.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import log2

from extraction.domain.suggestion.class_names import is_made_up, is_telling
from extraction.domain.suggestion.page_outline import OutlineElement, PageOutline

GROUPS_MAX = 40  # that are looked at closely
MEMBERS_MAX = 2_000  # of a group that are looked at
STEPS_MAX = 4  # of a path of tags
TELLING, PLAIN, OF_LOOKS = 1.0, 0.94, 0.88  # how far selectors are to be relied on
_LISTED = frozenset({"article", "li", "tr", "dt", "details", "section"})
_NO_BLOCKS = frozenset(
    "b strong em i small sup sub u mark font br span abbr code img time label button".split()  # noqa: SIM905
) | {"body", "td", "th", "thead", "tbody", "tfoot", "col", "colgroup", "option", "source", "picture"}


@dataclass
class BlockGroup:
    """The elements that a selector finds, in the page's order. With `follows`, each goes on up to the next one."""

    selector: str
    elements: list[OutlineElement]
    reliance: float
    follows: bool = False

    def blocks(self) -> Iterator[OutlineElement]:
        """The blocks, each as one element; where they go on, an element of those beside each other."""
        if not self.follows:
            yield from self.elements
            return
        heads = {element.index for element in self.elements}
        for element in self.elements:
            block = OutlineElement(None, "", element.parent, element.index)
            block.weight = element.weight
            block.children = [element, *_behind(element, heads)]
            block.size = sum(child.size for child in block.children)
            block.end = block.children[-1].end
            yield block


def _behind(element: OutlineElement, heads: set[int]) -> Iterator[OutlineElement]:
    """The elements behind another one in the same element, up to the next head."""
    beside = element.parent.children if element.parent else []
    for place in range(element.child, len(beside)):  # a slice would copy all that is behind, for each of many
        if beside[place].index in heads:
            return
        yield beside[place]


def find_groups(outline: PageOutline) -> list[BlockGroup]:
    """Finds the groups that have the most of a page in them, those first."""
    elements_by_selector: dict[str, list[OutlineElement]] = {}
    reliances: dict[str, float] = {}
    for element in outline.elements:
        for selector, reliance in _selectors_of(element):
            elements_by_selector.setdefault(selector, []).append(element)
            reliances[selector] = reliance
    groups: dict[tuple[int, ...], BlockGroup] = {}
    for selector, elements in elements_by_selector.items():
        if len(elements) < 2:
            continue
        group = BlockGroup(selector, elements[:MEMBERS_MAX], reliances[selector])
        same = groups.setdefault(tuple(element.index for element in group.elements), group)
        if (group.reliance, -len(group.selector)) > (same.reliance, -len(same.selector)):
            same.selector, same.reliance = group.selector, group.reliance
    found = list(groups.values())
    found += [following for group in found if (following := _following(group))]
    return sorted(found, key=_mass, reverse=True)[:GROUPS_MAX]


def _mass(group: BlockGroup) -> float:
    """How much of a page is in a group: what counts of it, unless most of that is in one block."""
    sizes = [block.size * block.weight for block in group.blocks()]
    total = sum(sizes)
    if group.elements[0].end > group.elements[-1].index and len(sizes) > 1:  # they nest
        total = max(sizes)
    rest = total - max(sizes)
    return min(rest * 2, total) * log2(1 + min(len(sizes), 40)) * group.reliance


def _selectors_of(element: OutlineElement) -> Iterator[tuple[str, float]]:
    """The selectors that a person would try for an element that repeats, with how far each is to be relied on."""
    if element.tag in _NO_BLOCKS or element.parent is None:
        return
    tag, telling = element.tag, element.telling
    kind = (element.attributes.get("itemtype") or "").rstrip("/").rpartition("/")[2]
    if kind.isalnum():
        yield f'[itemtype$="/{kind}"]', TELLING
    for name in telling[:6]:
        yield f"{tag}.{name}", TELLING
    container, steps = container_of(element.parent)
    if steps <= 1:
        for name in telling[:3]:
            yield f"{container} > {tag}.{name}", TELLING - 0.01
    if tag in _LISTED and not telling:
        yield f"{container} {tag}" if steps <= 1 and tag != "li" else f"{container} > {tag}", PLAIN
    if tag == "article":
        yield tag, PLAIN
    yield f"{container} > {tag}", PLAIN if steps <= 1 else PLAIN - 0.03 * steps
    for stem in element.stems[:2]:
        yield f'{tag}[class*="{stem}"]', PLAIN + 0.02
    for name in element.looks[:4]:
        yield f"{tag}.{name}", OF_LOOKS
        yield f"{container} > {tag}.{name}", OF_LOOKS
    if tag == "tr" and sum(cell.tag == "td" for cell in element.children) > 1:
        yield f"{container} > tr:has(> td:nth-child(2))", PLAIN + 0.01
    if tag in {"tr", "li", "div"} and not telling:
        for name in _named_within(element):
            yield f"{container} > {tag}:has(.{name})", PLAIN - 0.02


def _named_within(element: OutlineElement) -> list[str]:
    """The first telling classes in an element that has none of its own, each of which is there once."""
    names = Counter(name for child in element.children[:8] for name in child.telling[:1])
    return [name for name, count in names.items() if count == 1][:2]


def container_of(element: OutlineElement) -> tuple[str, int]:
    """A selector for the element around others, and how many tags without a name it has."""
    steps: list[str] = []
    count = 0
    outer = element
    while not (own := _own_selector(outer)) and outer.parent is not None and count < STEPS_MAX:
        steps.append(outer.tag)
        count += outer.tag != "tbody"  # which is there whenever a table is
        outer = outer.parent
    return " > ".join(reversed([*steps, own or outer.tag])), count


def _own_selector(element: OutlineElement) -> str:
    """The selector of an element by its id or its class; empty where it has none that tells something."""
    id = element.attributes.get("id") or ""
    if id and is_telling(id) and not is_made_up(id) and not any(map(str.isdigit, id)):
        return f"#{id}"
    telling, stems = element.telling, element.stems
    return f".{telling[0]}" if telling else f'[class*="{stems[0]}"]' if stems else ""


def _following(group: BlockGroup) -> BlockGroup | None:
    """The group whose blocks go on behind their elements, where the same stands behind each as a rule."""
    if group.reliance < PLAIN - 0.05 or len(group.elements) < 2:
        return None
    heads = {element.index for element in group.elements}
    parents = Counter(element.parent.index for element in group.elements if element.parent)
    if 2 * sum(count for count in parents.values() if count > 1) < len(heads) or nests(group.elements):
        return None  # what is behind each is in an element of its own
    sorts: Counter[tuple[str, ...]] = Counter()
    sizes = 0
    for element in group.elements[:200]:
        behind = list(islice(_behind(element, heads), 12))
        sorts[tuple(sorted({_sort_of(other) for other in behind}))] += 1
        sizes += sum(other.size for other in behind)
    [(sort, count)] = sorts.most_common(1)
    own = sum(element.size for element in group.elements[:200])
    if not sort or count < 0.6 * sum(sorts.values()) or sizes < 0.1 * own:
        return None
    return BlockGroup(group.selector, group.elements, group.reliance - 0.02, follows=True)


def _sort_of(element: OutlineElement) -> str:
    return ".".join((element.tag, *element.telling[:1]))


def nests(elements: Iterable[OutlineElement]) -> bool:
    """Whether elements of a group are in each other."""
    end = 0
    for element in elements:
        if element.index < end:
            return True
        end = max(end, element.end)
    return False
