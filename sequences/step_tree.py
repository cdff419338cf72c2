"""The steps of a sequence as a growing tree: a branch for each item of a loop, the last ones only."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.text import Text
from rich.tree import Tree

from sequences.domain.exchange import StepRecord
from taskhub.security.masking import MASK

ITEMS_SHOWN = 5  # of each loop that goes on or has ended


@dataclass
class Branch:
    """A step, or an item of its loop; `removed` counts items that are no longer shown."""

    label: Text
    children: "OrderedDict[str, Branch]" = field(default_factory=OrderedDict)
    removed: int = 0

    def branch(self, name: str) -> "Branch":
        if name not in self.children:
            self.children[name] = Branch(Text(name))
            if "__def_loop" in name and len(self.children) > ITEMS_SHOWN:
                self.children.popitem(last=False)
                self.removed += 1
        return self.children[name]

    def draw(self, tree: Tree) -> None:
        if self.removed:
            tree.add(Text(f"... {self.removed} items before", style="dim"))
        for branch in self.children.values():
            branch.draw(tree.add(branch.label))


class StepTree:
    """The steps so far, as a tree that `rich` draws. `hide_secrets` is applied to what may hold some."""

    def __init__(self, title: str, hide_secrets: Callable[[str], str]) -> None:
        self._root, self._hide_secrets = Branch(Text(title, style="bold")), hide_secrets

    def add(self, record: StepRecord) -> None:
        branch = self._root
        for name in record.path.split("."):
            branch = branch.branch(name)
        branch.label = step_label(record, name, self._hide_secrets)

    def __rich__(self) -> Tree:
        tree = Tree(self._root.label)
        self._root.draw(tree)
        return tree


def step_label(record: StepRecord, name: str, hide_secrets: Callable[[str], str]) -> Text:
    """`requests[0] GET http://... 200 4 ms`, its error and its note behind it."""
    status = "-" if record.status is None else str(record.status)
    succeeded = record.error is None
    hidden = (lambda text: MASK) if record.sensitive else hide_secrets
    address = hidden(record.sent.address) if record.sent else ""
    parts = [(name, ""), (record.title, "italic"), (record.method, "bold"), (address, "cyan")]
    parts += [(status, "green" if succeeded else "red"), (f"{record.duration_ms} ms", "dim")]
    parts += [] if succeeded else [(hidden(record.error or ""), "red")]
    parts += [(record.note, "yellow"), ("left out" if record.skipped else "", "yellow")]
    parts += [(f"attempt {record.attempt}" if record.attempt > 1 else "", "yellow")]
    return Text(" ").join(Text(text, style=style) for text, style in parts if text)
