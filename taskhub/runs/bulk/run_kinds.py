"""Bulk changes as runs."""

from collections.abc import Mapping
from typing import Any

from taskhub.runs.bulk.services import KIND, BulkChange
from taskhub.runs.run_kinds import RunKind


class BulkChangeKind(RunKind):
    name = KIND
    task = "taskhub.runs.bulk.tasks.change"
    queue = "removal"  # where what concerns many rows does not hold up other work
    is_secondary = True

    def check_owner(self, arguments: Mapping[str, Any], owner: Any) -> None:
        BulkChange.of(arguments, owner)
