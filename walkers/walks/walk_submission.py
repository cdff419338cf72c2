"""Walks in the background, accepted: names looked up, `ctx` checked, and the arguments of the run made of it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction

from taskhub.errors import NotFound, Rejected, invalid
from taskhub.runs.models import Run
from taskhub.runs.queue import checked_webhook, create_run, offer
from taskhub.runs.run_options import checked_options
from walkers.authoring.sentinels import WalkerDefinition
from walkers.walks.principal import Principal

KIND = "walker"
Result = TypeVar("Result")


def walk_arguments(definition: WalkerDefinition, start: UUID, ctx: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a walk's run."""
    return {"name": definition.name, "snt": definition.sentinel, "nd": str(start), "ctx": ctx}


def look_up(pointer: str, find: Callable[[], Result]) -> Result:
    """What `find` returns; where it finds nothing, or refuses, that becomes a `Rejected` that names the place."""
    try:
        return find()
    except (NotFound, Rejected) as error:
        raise invalid(pointer, error.detail) from None


def spawn_walk(
    user: Any,
    parent: Run | None,
    name: str,
    ctx: Mapping[str, Any],
    *,
    nd: str | None = None,
    snt: str | None = None,
    run_at: datetime | None = None,
    webhook: str = "",
    **options: Any,
) -> UUID:
    """Accepts a walk that another one starts, in that one's transaction; the id of its run.

    Raises `NotFound`, `Rejected`, and `Refused` for a webhook's address.
    """
    principal = Principal(user, run=parent)
    definition = principal.sentinel(snt).walker(name)
    definition.ctx_schema.check_json(ctx, at="/ctx")
    run = create_run(
        kind=KIND,
        owner=user,
        name=definition.name,
        arguments=walk_arguments(definition, principal.node_id(nd), ctx),
        parent=parent,
        time_limit=definition.time_limit,
        not_before=run_at,
        webhook=checked_webhook(webhook),
        **checked_options(options),
    )
    transaction.on_commit(lambda: offer(run))
    return run.pk
