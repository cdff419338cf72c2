"""The steps of a sequence as a tree that grows: a branch for each item of a loop, the last ones only."""

from collections import OrderedDict
from dataclasses import dataclass, field

from rich.text import Text
from rich.tree import Tree

from sequences.domain.exchange import StepRecord
from taskhub.security.masking import mask

ITEMS_SHOWN = 5  # of each loop that goes on or has ended


@dataclass
class Branch:
    """A step, or an item of its loop; `left_out` counts items that are no longer shown."""

    label: Text
    below: "OrderedDict[str, Branch]" = field(default_factory=OrderedDict)
    left_out: int = 0

    def branch(self, name: str) -> "Branch":
        if name not in self.below:
            self.below[name] = Branch(Text(name))
            if "__def_loop" in name and len(self.below) > ITEMS_SHOWN:
                self.below.popitem(last=False)
                self.left_out += 1
        return self.below[name]

    def draw(self, tree: Tree) -> None:
        if self.left_out:
            tree.add(Text(f"... {self.left_out} items before", style="dim"))
        for branch in self.below.values():
            branch.draw(tree.add(branch.label))


class StepTree:
    """What `rich` can show of the steps so far."""

    def __init__(self, title: str) -> None:
        self._root = Branch(Text(title, style="bold"))

    def add(self, record: StepRecord) -> None:
        branch = self._root
        for name in record.path.split("."):
            branch = branch.branch(name)
        branch.label = label(record, name)

    def __rich__(self) -> Tree:
        tree = Tree(self._root.label)
        self._root.draw(tree)
        return tree


def label(record: StepRecord, name: str) -> Text:
    """`requests[0] GET http://... 200 4 ms`, its error behind it."""
    status = "-" if record.status is None else str(record.status)
    good = record.error is None
    parts = [(name, ""), (record.method, "bold"), (mask(record.sent.address) if record.sent else "", "cyan")]
    parts += [(status, "green" if good else "red"), (f"{record.duration_ms} ms", "dim")]
    parts += [] if good else [(mask(record.error or ""), "red")]
    return Text(" ").join(Text(text, style=style) for text, style in parts if text)
