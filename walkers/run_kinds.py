"""Walks as runs, and as what schedules start."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from taskhub.accounts.models import User
from taskhub.accounts.roles import reaches_all
from taskhub.errors import Forbidden, NotFound, invalid
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.runs.models import Run
from taskhub.runs.queue import retry
from taskhub.runs.run_kinds import PlannedRun, RunKind, ScheduleTarget
from taskhub.security.scopes import KeyScope
from walkers.authoring.sentinels import WalkerDefinition, find_sentinel
from walkers.domain.ids import as_id
from walkers.models import Node
from walkers.services.run_files import copy_files, remove_files
from walkers.walks.principal import Principal
from walkers.walks.walk_execution import load_work
from walkers.walks.walk_submission import KIND, look_up, walk_arguments

_ARGUMENTS = ObjectSchema(
    "Arguments",
    {
        "name": (str, REQUIRED),
        "snt": (str, REQUIRED),
        "nd": (str, REQUIRED),
        "ctx": (dict[str, Any], REQUIRED),
        "files": (bool, False),
    },
)


_RETRIED = ObjectSchema(
    "RetriedWalk",
    {"name": (str | None, None), "nd": (str | None, None), "snt": (str | None, None), "ctx": (dict[str, Any], {})},
)


class WalkerKind(RunKind):
    """Walks, whose arguments are `{name, snt, nd, ctx, files}`: the names are resolved, and `ctx` as it was sent."""

    name = KIND
    task = "walkers.tasks.walker_run"
    queue = "walkers"

    def check(self, arguments: Mapping[str, Any]) -> None:
        _ARGUMENTS.check(arguments)
        if as_id(arguments["nd"]) is None:
            raise invalid("/nd", "This is no id.")
        try:
            load_work(arguments)
        except NotFound as error:
            raise invalid("/name", error.detail) from None

    def check_owner(self, arguments: Mapping[str, Any], owner: User) -> None:
        """A node of another's graph is for staff who reach it; one that is gone is found missing by the walk."""
        others = Node.objects.filter(pk=arguments["nd"]).exclude(graph__owner=owner)
        if not reaches_all(owner, KeyScope.RUN) and others.exists():
            raise Forbidden("The run's node is another user's.")

    def options_of(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        sentinel = find_sentinel(arguments.get("snt", ""))
        definition = sentinel.walkers.get(arguments.get("name", "")) if sentinel else None
        return definition.options_of(arguments.get("ctx", {})) if definition else {}

    def on_retry(self, old: Run, new: Run) -> None:
        copy_files(old, new)

    def retry_with(self, run: Run, arguments: Mapping[str, Any]) -> Run:
        """`ctx` as a whole, `nd` and `snt` may be others; the walker and the files that were sent are the same."""
        checked = _RETRIED.check(arguments)
        given = {name: checked[name] for name in arguments}
        if given.get("name") not in (None, run.name):
            raise invalid("/name", f"This is a run of {run.name}: another walker is a call of its own.")
        _, walk = _plan_walk(Principal(run.owner), {**run.arguments, **given, "name": run.name})
        return retry(run=run, arguments={**run.arguments, **walk})

    def on_delete(self, run_ids: list[UUID]) -> None:
        remove_files(run_ids)


TASK = "walkers.tasks.ScheduledWalker"
OLDER_NAMES = ("jaseci.svc.task.common.ScheduledWalker", "jaseci.extens.svc.tasks.ScheduledWalker")
EXAMPLE = """{
    "name": "run",
    "ctx": {},

    // where it starts: an id or an alias of the master's; without it the active graph
    "nd": "active:graph",

    // an id, an alias, a name or global; without it the active sentinel
    "snt": "active:sentinel",

    // whose walk it is, by id; without it the schedule's owner's. Another's is for staff.
    "mst": "d6851f2a-e4a1-4fca-b582-9db5e146af59"
}
"""
_SCHEDULED = ObjectSchema(
    "ScheduledWalker",
    dict.fromkeys(("name", "wlk", "nd", "snt", "mst"), (str | None, None)) | {"ctx": (dict[str, Any], {})},
)


class WalkerTarget(ScheduleTarget):
    kind = WalkerKind.name
    title = "ScheduledWalker"
    tasks = (TASK, *OLDER_NAMES)
    example = EXAMPLE

    def plan_run(self, arguments: Mapping[str, Any], owner: User, schedule: str) -> PlannedRun:
        """The walk, its names looked up now. Raises `Rejected` that names each wrong place."""
        values = _SCHEDULED.check(arguments)
        principal = Principal(_master(values.get("mst"), owner))
        name = values.get("name") or values.get("wlk")
        if not name:
            raise invalid("/name", "This is required: the walker's name.")
        definition, walk = _plan_walk(principal, {**values, "name": name})
        return PlannedRun(principal.user, definition.name, walk, definition.time_limit)


def _plan_walk(principal: Principal, values: Mapping[str, Any]) -> tuple[WalkerDefinition, dict[str, Any]]:
    """The walker that `name` and `snt` name, and the arguments of its run. Raises `Rejected` that names the place."""
    sentinel = look_up("/snt", lambda: principal.sentinel(values.get("snt")))
    definition = look_up("/name", lambda: sentinel.walker(values["name"]))
    start = look_up("/nd", lambda: principal.node_id(values.get("nd")))
    ctx = values.get("ctx", {})
    definition.ctx_schema.check_json(ctx, at="/ctx")
    return definition, walk_arguments(definition, start, ctx)


def _master(reference: str | None, owner: User) -> User:
    """The user whose walk it is. Raises `Rejected`."""
    user_id = owner.pk if reference is None else as_id(reference)
    if user_id is None:
        raise invalid("/mst", "This is no user's id.")
    if user_id == owner.pk:
        return owner
    if not reaches_all(owner, KeyScope.MANAGE):
        raise invalid("/mst", "Only the schedules of admins may start walks of somebody else.")
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise invalid("/mst", "There is no active user with this id.")
    return user
