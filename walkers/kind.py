"""Walks as runs of the ledger."""

from collections.abc import Mapping
from typing import Any

from taskhub.errors import NotFound
from taskhub.runs.kinds import Kind
from walkers.domain.ids import as_id
from walkers.domain.refusals import refused
from walkers.domain.shape import REQUIRED, Shape
from walkers.services.files import copy_files, remove_files
from walkers.services.walking import work_of

_ARGUMENTS = Shape(
    "Arguments",
    {
        "name": (str, REQUIRED),
        "snt": (str, REQUIRED),
        "nd": (str, REQUIRED),
        "ctx": (dict[str, Any], REQUIRED),
        "files": (bool, False),
    },
)


def check(arguments: Mapping[str, Any]) -> None:
    """Raises `Rejected` for arguments that no walk can be made of."""
    _ARGUMENTS.check(arguments)
    if as_id(arguments["nd"]) is None:
        raise refused("/nd", "This is no id.")
    try:
        work_of(arguments)
    except NotFound as error:
        raise refused("/name", error.detail) from None


WALKER = Kind("walker", "walkers.tasks.walker_run", "walkers", check=check, copied=copy_files, removed=remove_files)
