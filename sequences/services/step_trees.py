"""The steps of a run as a tree, in the order of the program: attempts, pages, items and branches included."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from sequences.domain.step_paths import lineage, order_in_program
from sequences.models import SequenceStep
from taskhub.errors import NotFound, invalid
from taskhub.runs.models import Run

DEPTH_MAX = 50  # what lies deeper stands beside each other there: JSON that is nested deeper cannot be written or read


@dataclass(slots=True)
class StepNode:
    """A step, an item of a loop, or a branch. `records` are what it did, in time: an attempt, or a page, each.

    `name` is its path within its parent.
    """

    path: str
    name: str
    depth: int
    records: list[SequenceStep] = field(default_factory=list)
    children: list["StepNode"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StepTreePage:
    """Some records of a run as a tree; `last` is the number of the last where more come after it, else None."""

    roots: list[StepNode]
    last: int | None

    def walk(self) -> Iterator[StepNode]:
        """Every node, each before those within it."""
        waiting = self.roots[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children[::-1]


def read_step_tree(*, run: Run, under: str = "", after: int | None = None, limit: int) -> StepTreePage:
    """Up to `limit` records of a run, of those that belong to the path `under`.

    They begin behind the record with the number `after`. Nodes to which they belong come again on each page, without
    the records of pages before. Raises `NotFound` where nothing is under a path, and `Rejected` for a number of none.
    """
    steps = SequenceStep.objects.filter(run=run)
    if under:
        steps = steps.filter(Q(path=under) | Q(path__startswith=f"{under}.") | Q(path__startswith=f"{under}["))
    paths = steps.values_list("path", "number")
    numbers = [number for _, number in sorted((order_in_program(path), number) for path, number in paths)]
    if under and not numbers:
        raise NotFound("No step of this run is under this path.")
    if after is not None and after not in numbers:
        raise invalid("/after", "This is the number of no step here.")
    start = 0 if after is None else numbers.index(after) + 1
    page = numbers[start : start + limit]
    by_number = {step.number: step for step in steps.filter(number__in=page).defer("sent", "answer")}
    records = [by_number[number] for number in page if number in by_number]
    return StepTreePage(_grow(records, under), page[-1] if start + limit < len(numbers) else None)


def _grow(records: Sequence[SequenceStep], under: str) -> list[StepNode]:
    roots: list[StepNode] = []
    nodes: dict[str, StepNode] = {}
    for record in records:
        siblings, parent = roots, ""
        for depth, path in enumerate(path for path in lineage(record.path) if len(path) >= len(under)):
            if path not in nodes:
                nodes[path] = StepNode(path, path[len(parent) :].removeprefix("."), min(depth, DEPTH_MAX))
                siblings.append(nodes[path])
            if depth < DEPTH_MAX:
                siblings, parent = nodes[path].children, path
        nodes[record.path].records.append(record)
    return roots
