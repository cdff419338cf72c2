"""Recipes: whole sequences for what people need, with which others begin. docs/sequence-recipes.md explains each."""

from functools import cache
from pathlib import Path
from typing import NamedTuple


class Recipe(NamedTuple):
    """`text` is a sequence as its author wrote it; its first line is a comment with the `title`."""

    name: str
    title: str
    text: str


@cache
def read_recipes() -> tuple[Recipe, ...]:
    """All recipes, in the order of the documentation."""
    return tuple(_read(path) for path in sorted(Path(__file__).parent.glob("*.jsonc")))


def _read(path: Path) -> Recipe:
    text = path.read_text().rstrip("\n")
    title = text.partition("\n")[0].removeprefix("// ")
    return Recipe(path.stem.partition("_")[2], title, text)
