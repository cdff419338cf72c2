"""Checks sequences, submits runs of them, and finds these."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from sequences.domain.program import parse
from sequences.domain.steps import CALL, JAC
from sequences.domain.validation_errors import InvalidSequence
from sequences.services.sensitive_texts import mark_sensitive
from sequences.services.stored_calls import faults_of_calls
from sequences.services.stored_sequences import find_version, read_call, resolved_arguments
from taskhub.errors import Forbidden, NotFound
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun
from taskhub.security.scopes import KeyScope
from walkers.http.registry import key_scope_of

KIND = "sequence"
MAY_RUN = "sequences.run_sequence"


def may_run(user: Any) -> bool:
    return bool(user.is_staff or user.has_perm(MAY_RUN))


def check_owner(owner: Any) -> None:
    """Raises `Forbidden` for somebody who may not run sequences, or may no longer."""
    if not may_run(owner):
        raise Forbidden(f"Sequences are for staff, and for those who have the permission {MAY_RUN}.")


def key_scopes_of_owner(arguments: Mapping[str, Any], owner: Any) -> frozenset[KeyScope]:
    """The same, with the stored sequences of the owner looked into. Raises `NotFound`, too."""
    if (call := read_call(arguments)) is None:
        return key_scopes(arguments)
    return key_scopes(find_version(owner.pk, call.name, call.version).sequence)


def key_scopes(arguments: Mapping[str, Any]) -> frozenset[KeyScope]:
    """What an API key needs to run a sequence: `run`, and the scopes of the calls that it makes in process.

    A call whose name is an expression may be any, as may what a stored sequence calls; one whose method is may be none.
    So a key starts nothing in its owner's name that it could not do itself. Raises `InvalidSequence`.
    """
    if read_call(arguments) is not None:
        return frozenset({KeyScope.RUN, KeyScope.MANAGE})
    everything = [step for _, step in parse(arguments).walk()]
    if any(step.action == CALL for step in everything):
        return frozenset({KeyScope.RUN, KeyScope.MANAGE})
    steps = [step for step in everything if step.constant_method in {JAC, ""}]
    called = {key_scope_of(step.call.value) if step.call.constant else KeyScope.MANAGE for step in steps}
    return frozenset({KeyScope.RUN, *called})


def check(arguments: Mapping[str, Any]) -> None:
    """Raises `InvalidSequence`, which names each fault's place."""
    if read_call(arguments) is None:
        parse(arguments)


def check_for_owner(arguments: Mapping[str, Any], owner: Any) -> Mapping[str, Any]:
    """Checks them as `check` does, and looks up what they name among the owner's stored sequences.

    Returns the arguments of a run, with the version that a stored sequence has now. Raises `InvalidSequence`.
    """
    if (call := read_call(arguments)) is None:
        if faults := faults_of_calls(parse(arguments), arguments, owner.pk):
            raise InvalidSequence(faults)
        return arguments
    try:
        return resolved_arguments(call, owner)
    except NotFound as error:
        key = "version" if call.version else "sequence"
        raise InvalidSequence([{"path": key, "detail": error.detail}]) from None


def submit_sequence(*, arguments: Mapping[str, Any], owner: Any, **options: Any) -> Run:
    """Submits a run of a sequence, or of a stored one, with `run_options`. Raises `InvalidSequence`, `NotFound` for a
    stored one that is none, and `Refused` for a webhook's address."""
    runs.checked_webhook(options.get("webhook", ""))
    call = read_call(arguments)
    name = KIND if call is None else call.name
    arguments = check_for_owner(arguments, owner) if call is None else resolved_arguments(call, owner)
    arguments = mark_sensitive(arguments)
    return runs.submit(kind=KIND, owner=owner, name=name, arguments=arguments, time_limit=time_limit(), **options)


def retry_with(*, run: Run, arguments: Mapping[str, Any]) -> Run:
    """Tries a run again with another sequence, or one of a stored sequence with other `inputs` or another `version`.

    Raises `InvalidSequence`, and `Forbidden` as `check_owner` does.
    """
    check_owner(run.owner)
    call = read_call(run.arguments)
    if arguments.get("sequence", call and call.name) != (call and call.name):
        detail = "This is a run of a sequence that is not stored." if call is None else f"This is a run of {call.name}."
        raise InvalidSequence([{"path": "sequence", "detail": f"{detail} Another one is a call of its own."}])
    given = arguments if call is None else {**run.arguments, **arguments}
    return runs.retry(run=run, arguments=mark_sensitive(check_for_owner(given, run.owner)))


def planned_run(arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
    """The run that a schedule, by name, starts. Raises `InvalidSequence`, and `Forbidden` as `check_owner` does."""
    check_owner(owner)
    return PlannedRun(owner, schedule, mark_sensitive(check_for_owner(arguments, owner)), time_limit())


def time_limit() -> float:
    """Seconds. The sequence's own budget ends first, which keeps what was saved so far."""
    return float(settings.SEQUENCE_SECONDS_MAX + 60)


def sequence_run(*, run_id: UUID, user: Any) -> Run:
    """Raises `NotFound` for what is no run of a sequence, or another's."""
    run = runs.visible_run(run_id=run_id, user=user)
    if run.kind != KIND:
        raise NotFound(f"The run {run_id} is not one of a sequence.")
    return run
