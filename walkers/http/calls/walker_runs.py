"""Runs walkers: at once, in the background, or later."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from django.conf import settings
from django.db import transaction
from pydantic import Field

from taskhub.errors import Unavailable, invalid
from taskhub.jsontools.field_types import Text, Timestamp
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue import checked_webhook, create_run, offer
from taskhub.runs.queue.worker_process import run_now
from taskhub.runs.run_options import ConcurrencyField, ExpiresAt, Metadata, Priority, Tags, run_options
from walkers.authoring.sentinels import WalkerDefinition
from walkers.authoring.walker import Walk, WalkerRequest
from walkers.http import examples, serializers
from walkers.http.registry import CallResponse, Flag, register_call
from walkers.http.response_types import QueuedResponse, ResultPage, RunAtOnceResponse, WalkerResponse, WalkReport
from walkers.models import RunFile
from walkers.services.run_files import attach, discard, store_files
from walkers.walks.principal import Principal
from walkers.walks.walk_execution import WalkerFailed, perform_walk, walk_now, walk_slot
from walkers.walks.walk_submission import KIND, spawn_walk, walk_arguments

WalkerName = Annotated[Text, Field(description="The walker's name.")]
Ctx = Annotated[dict[str, Any], Field(description="The walker's fields; in a query or form as JSON text.")]
NodeRef = Annotated[
    Text | None, Field(description="The node where it starts: an id, an alias or `active:graph`, which is the default.")
]
MaybeSentinel = Annotated[
    Text | None,
    Field(description="A sentinel: an id, an alias, a name, `global` or `active:sentinel`, which is the default."),
]
IsAsync = Annotated[Flag, Field(description="To run it in the background: `true`, `1` or `yes`.")]
RunAt = Annotated[Timestamp, Field(description="To run it in the background, not before this time (RFC 3339).")]
WebhookAddress = Annotated[
    Text,
    Field(
        max_length=2_000, description="With `is_async`: an address that is told of the end, as Standard Webhooks say."
    ),
]
EXAMPLE = {
    "success": True,
    "report": ["hello"],
    "final_node": examples.JID,
    "yielded": False,
}


def _walks_by_steps(
    principal: Principal, name: str, snt: str | None, is_async: bool, run_at: datetime | None, **_: Any
) -> bool:
    """Whether a call walks at once, with a walker that stores each step when it is done."""
    return not is_async and run_at is None and not principal.sentinel(snt).walker(name).atomic


@register_call(
    runs=True,
    problem_statuses=(404,),
    commits_by_itself=_walks_by_steps,
    example_arguments={"name": "echo", "ctx": {"value": "hello"}},
    example_answer=EXAMPLE,
    response_types={200: WalkReport | RunAtOnceResponse, 202: QueuedResponse},
)
def walker_run(
    principal: Principal,
    name: WalkerName,
    ctx: Ctx = {},  # noqa: B006 (copied when it is bound)
    nd: NodeRef = None,
    snt: MaybeSentinel = None,
    is_async: IsAsync = False,
    run_at: RunAt = None,
    webhook: WebhookAddress = "",
    tags: Tags = [],  # noqa: B006 (copied when it is bound)
    metadata: Metadata = {},  # noqa: B006
    priority: Priority = None,
    expires_at: ExpiresAt = None,
    concurrency: ConcurrencyField = None,
) -> CallResponse:
    """Run a walker.

    At once: 200 (or the walker's own status) and `{success, report, final_node, yielded}`. A walker that raises is a
    422 of type `walker-failed` with `report`, what it had reported, and `error`, `{type, message}` of what it raised.

    With `is_async`: 202, `{is_queued: true, result: <task id>, task_id: <task id>}` and the `Location` to ask at. When
    no worker would hear of it, it runs at once: 200 and `{is_queued: false, result: {success, report, ...}, task_id}`.

    Files of a multipart body reach the walker either way.
    """
    said = {"tags": tags, "metadata": metadata, "priority": priority}
    options = run_options({**said, "expires_at": expires_at, "concurrency": concurrency})
    definition = principal.sentinel(snt).walker(name)
    fields = definition.ctx_schema.check_json(ctx, at="/ctx")
    start = principal.node_id(nd)
    if not is_async and run_at is None:
        if webhook:
            raise invalid("/webhook", "Goes with is_async or run_at: who waits for the answer needs no other.")
        if options:
            raise invalid(f"/{next(iter(options))}", "Goes with is_async or run_at: what is done at once is no run.")
        walk = Walk(
            fields,
            start,
            principal.user,
            principal.files,
            time_limit=definition.time_limit,
            request=WalkerRequest(principal.request) if principal.request else None,
            spawn=spawn_walk,
        )
        result = walk_now(definition, walk)
        return CallResponse(walk.status or 200, result)
    if webhook:
        checked_webhook(webhook)
    arguments = walk_arguments(definition, start, ctx)
    run = _create_run(principal, definition, arguments, not_before=run_at, webhook=webhook, **options)
    walked_here = False  # a run that a worker has ended meanwhile was queued all the same

    def notify_or_walk() -> None:
        nonlocal walked_here
        walked_here = not offer(run) and _walk_here(run)

    def respond() -> CallResponse:
        return ended_response(run) if walked_here else queued_response(run)

    transaction.on_commit(notify_or_walk)  # at once, but for a call with an Idempotency-Key
    return replace(respond(), respond_after_commit=respond)


def _create_run(principal: Principal, definition: WalkerDefinition, arguments: dict[str, Any], **terms: Any) -> Run:
    create_walk = partial(
        create_run,
        kind=KIND,
        owner=principal.user,
        name=definition.name,
        parent=principal.run,
        time_limit=definition.time_limit,
        **terms,
    )
    if not principal.files:
        return create_walk(arguments=arguments)  # one statement: a transaction around it would be two round trips more
    rows: list[RunFile] = store_files(principal.files)
    try:
        with transaction.atomic():
            run = create_walk(arguments={**arguments, "files": True})
            attach(rows=rows, run=run)
    except BaseException:
        discard(rows)
        raise
    return run


def _walk_here(run: Run) -> bool:
    """Makes the walk at once in this thread, if there is a slot for it; whether it has come to its result."""
    with suppress(Unavailable), walk_slot(run.owner_id):
        run_now(run, perform_walk)
    return run.state in {State.SUCCESS, State.FAILURE}


def ended_response(run: Run) -> CallResponse:
    """The response where no worker would have come, and the walk was made at once. Raises `WalkerFailed`."""
    if run.state == State.FAILURE:
        error, result = run.error or {}, run.result or {}
        raise WalkerFailed(
            error.get("message", ""),
            report=result.get("report", []),
            final_node=result.get("final_node"),
            error=error,
            task_id=str(run.pk),
        )
    return CallResponse(200, {"is_queued": False, "result": run.result, "task_id": str(run.pk)})


def queued_response(run: Run) -> CallResponse:
    """The response where the run waits for a worker."""
    task_id = str(run.pk)
    location = f"{settings.PUBLIC_URL}/js/walker_queue_check?task_id={task_id}"
    body = {"is_queued": True, "result": task_id, "task_id": task_id}
    return CallResponse(202, body, {"Location": location})


@register_call(reads=True, problem_statuses=(404,), example_answer=examples.page(examples.WALKER))
def walker_list(principal: Principal, snt: MaybeSentinel = None) -> ResultPage[WalkerResponse]:
    """List walkers.

    What can be run, each with the JSON Schema of its `ctx`. Where two sentinels have a walker of one name, `global`
    holds the one whose app is installed first; the bundled ones yield to others.
    """
    walkers = principal.sentinel(snt).walkers
    return serializers.whole_list([serializers.serialize_walker(walkers[name]) for name in sorted(walkers)])


@register_call(reads=True, problem_statuses=(404,), example_arguments={"name": "echo"}, example_answer=examples.WALKER)
def walker_get(principal: Principal, name: WalkerName, snt: MaybeSentinel = None) -> WalkerResponse:
    """Show a walker.

    Its description and the JSON Schema of its `ctx`.
    """
    return serializers.serialize_walker(principal.sentinel(snt).walker(name))
