"""Batches: many walks accepted by one call, all of them or none."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from django.db import transaction

from taskhub.errors import NotFound
from taskhub.jsontools.schema import check_each
from taskhub.runs.models import Run
from taskhub.runs.queue import checked_webhook, new_run, offer_all, store_runs
from taskhub.runs.run_options import run_options
from walkers.domain.ids import ACTIVE_GRAPH
from walkers.walks.principal import Principal
from walkers.walks.walk_submission import KIND, look_up, walk_arguments

Call = Mapping[str, Any]  # the fields of `walker_run`, checked


def accept_batch(principal: Principal, calls: Sequence[Call]) -> list[Run]:
    """Accepts calls of walkers, one at least, in one statement; their runs, in the same order.

    Raises `Rejected` with the places of what is wrong in any of them, such as `/runs/3/ctx/value`: then none is
    accepted.
    """
    runs = check_each(calls, BatchPlan(principal, calls).run_of, at="/runs")
    store_runs(runs)
    transaction.on_commit(lambda: offer_all(runs))
    return runs


class BatchPlan:
    """What the calls of a batch name, looked up once however many of them name it."""

    def __init__(self, principal: Principal, calls: Sequence[Call]) -> None:
        self._user = principal.user
        self._nodes = principal.node_ids({_start_of(call) for call in calls})
        self._sentinel = cache(principal.sentinel)
        self._checked_webhook = cache(checked_webhook)

    def run_of(self, call: Call, at: str) -> Run:
        """The run of a call, which is not stored yet. Raises `Rejected` that names each wrong place under `at`."""
        sentinel = look_up(f"{at}/snt", lambda: self._sentinel(call.get("snt")))
        definition = look_up(f"{at}/name", lambda: sentinel.walker(call["name"]))
        start = look_up(f"{at}/nd", lambda: self._node_id(_start_of(call)))
        ctx = call.get("ctx", {})
        definition.ctx_schema.check_json(ctx, at=f"{at}/ctx")
        options = run_options(call)
        if webhook := options.get("webhook"):
            look_up(f"{at}/webhook", lambda: self._checked_webhook(webhook))
        return new_run(
            kind=KIND,
            owner=self._user,
            name=definition.name,
            arguments=walk_arguments(definition, start, ctx),
            time_limit=definition.time_limit,
            not_before=call.get("run_at"),
            **options,
        )

    def _node_id(self, reference: str) -> UUID:
        try:
            return self._nodes[reference]
        except KeyError:
            raise NotFound(f"There is no node {reference[:100]!r}, or it is not yours.") from None


def _start_of(call: Call) -> str:
    reference = call.get("nd")
    return ACTIVE_GRAPH if reference is None else str(reference)
