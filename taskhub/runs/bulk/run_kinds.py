"""Bulk changes as runs."""

from collections.abc import Mapping
from typing import Any

from taskhub.runs.bulk.services import KIND, Action, BulkChange
from taskhub.runs.run_kinds import RunKind
from taskhub.security.scopes import ALL_SCOPES, KeyScope


class BulkChangeKind(RunKind):
    name = KIND
    task = "taskhub.runs.bulk.tasks.change"
    queue = "removal"  # where what concerns many rows does not hold up other work
    is_secondary = True

    def check_owner(self, arguments: Mapping[str, Any], owner: Any) -> None:
        BulkChange.of(arguments, owner)

    def key_scopes(self, arguments: Mapping[str, Any]) -> frozenset[KeyScope]:
        """Those that it was asked for with, where what it tries again may need them: it goes on with them."""
        is_retry = arguments.get("action") == Action.RETRY
        return frozenset({KeyScope.RUN, *map(KeyScope, arguments.get("scopes", ALL_SCOPES) if is_retry else ())})
