"""Strands that go on at once, put together in their order.

Each sees persistence as it was when the group began, and what it saved itself. What they save is put together in the
order of the items or branches: so the result does not depend on who was faster. Where one fails, none begins any more;
those before it go on, and those after it end with their next answer and leave nothing: as if they had gone on one after
the other.
"""

from typing import TYPE_CHECKING, Any

from sequences.domain.blocks import Block
from sequences.domain.budget import Persistence
from sequences.domain.errors import BudgetExceeded, StepError
from sequences.domain.validation_errors import StepFailure

if TYPE_CHECKING:
    from sequences.domain.strands import Strand

AHEAD_MAX = 1000  # how many strands may have ended while one that began before them goes on


class Group:
    """The strands of a parallel loop, of branches, or of one stored sequence.

    `drawn` is how many have begun and `merged` how many of them, from the first on, are put together: in `persistence`
    what they saved, in `values` their last values. `failed` is the number of the first that failed, and its error.
    """

    limit = 1

    def __init__(self, parent: "Strand", block: Block, persistence: Persistence) -> None:
        self.parent, self.block = parent, block
        self.persistence = persistence
        self.active: dict[int, Strand] = {}
        self.ended: dict[int, Strand] = {}
        self.drawn = self.merged = 0
        self.values: list[Any] = []
        self.failed: tuple[int, StepError] | None = None

    def fill(self) -> "list[Strand]":
        """Lets as many strands begin as may go on at once. None, and none active: the group has ended."""
        begun: list[Strand] = []
        if not self.parent.wanted:
            return begun
        while not self.failed and len(self.active) < self.limit and self.drawn - self.merged < AHEAD_MAX:
            strand = self._draw()
            if strand is None:
                break
            self.active[self.drawn] = strand
            self.drawn += 1
            begun.append(strand)
        return begun

    def finish(self, strand: "Strand") -> None:
        """Takes a strand that has ended, or is not wanted any more."""
        del self.active[strand.number]
        if not self.wants(strand):
            strand.drop()
            return
        if strand.error:
            self.failed = (strand.number, strand.error)
            for number in [number for number in self.ended if number > strand.number]:
                self.ended.pop(number).drop()
        self.ended[strand.number] = strand
        while self.merged in self.ended:
            merged = self.ended.pop(self.merged)
            self.persistence.adopt(merged.persistence)
            self.keep_value(merged)
            self.merged += 1

    def wants(self, strand: "Strand") -> bool:
        """Whether what this strand does still counts."""
        return self.failed is None or strand.number < self.failed[0]

    def keep_value(self, strand: "Strand") -> None:
        self.values.append(strand.last)

    def strand_of(self, number: int, item: int) -> "Strand":
        """The strand of a number, at its beginning; `item` is the index of its item in the loop."""
        raise NotImplementedError

    def _draw(self) -> "Strand | None":
        """The next strand, or None for no more."""
        raise NotImplementedError

    def _child(self, number: int, block: Block) -> "Strand":
        """A strand with one block, which sees and saves its own persistence."""
        persistence = self.parent.persistence.fork()
        block.persistence = persistence.values
        return self.parent.child(self, number, persistence, [block])


class BranchGroup(Group):
    def __init__(self, parent: "Strand", block: Block) -> None:
        super().__init__(parent, block, parent.persistence.fork())
        self.limit = block.step.limit

    def strand_of(self, number: int, item: int) -> "Strand":
        return self._child(number, self.block.branch_block(number))

    def _draw(self) -> "Strand | None":
        return self.strand_of(self.drawn, 0) if self.drawn < len(self.block.step.branches) else None


class ItemGroup(Group):
    """The items of a loop that pass its filter. `block.next_item` is the index of the next item to look at."""

    def __init__(self, parent: "Strand", block: Block) -> None:
        super().__init__(parent, block, parent.persistence.fork())
        loop = block.step.loop
        assert loop
        self.loop = loop
        self.limit = loop.parallel or 1

    def keep_value(self, strand: "Strand") -> None:
        if self.loop.collect is not None:
            self.values.append(strand.last)

    def strand_of(self, number: int, item: int) -> "Strand":
        block = self.block
        next_item, block.next_item = block.next_item, item
        try:
            strand = self._child(number, block.item_block((block.items or [])[item]))
        finally:
            block.next_item = next_item
        strand.item = item
        return strand

    def _draw(self) -> "Strand | None":
        block = self.block
        if block.has_all_items:
            return None
        try:
            inner = self.parent.next_item(block)
        except BudgetExceeded as error:
            self.failed = (self.drawn, StepError.of(block.path, error))
            return None
        except StepFailure as error:
            self.failed = (self.drawn, StepError.of(f"{block.item_path}.filter", error))
            self.parent.record_error(self.failed[1], block)
            return None
        if inner is None:
            return None
        strand = self._child(self.drawn, inner)
        strand.item = block.next_item - 1
        return strand


class CallGroup(Group):
    """One strand, that of a stored sequence, whose persistence is its own."""

    def __init__(self, parent: "Strand", block: Block, called: "Strand", version: int) -> None:
        super().__init__(parent, block, parent.persistence.fork())
        self.called = called
        self.version = version

    def finish(self, strand: "Strand") -> None:
        del self.active[strand.number]
        if strand.error:
            self.failed = (0, strand.error)
        self.ended[strand.number] = strand  # until its parent goes on: what it has come to is part of the state

    def wants(self, strand: "Strand") -> bool:
        return True

    def strand_of(self, number: int, item: int) -> "Strand":
        self.called.group = self
        return self.called

    def _draw(self) -> "Strand | None":
        return self.strand_of(0, 0) if self.drawn == 0 else None
