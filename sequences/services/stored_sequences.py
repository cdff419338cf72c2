"""Stored sequences: kept in versions, checked when they are kept, called by runs, schedules and each other."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from sequences.domain.policy_reader import SCHEMA_WORK_MAX
from sequences.domain.program import parse_stored
from sequences.domain.scope import Scope
from sequences.domain.strand_records import StoredProgram
from sequences.domain.templates import OnNothing
from sequences.domain.validation_errors import InvalidSequence, StepFailure, join_path
from sequences.models import SequenceVersion, StoredSequence
from sequences.services.sensitive_texts import mark_sensitive
from sequences.services.stored_calls import faults_of_calls
from taskhub.accounts.models import User
from taskhub.audit.services import record_change
from taskhub.errors import NotFound, Rejected, invalid
from taskhub.jsontools.document_schemas import DocumentSchema, InvalidSchema

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
TAKEN = frozenset({"runs", "validate", "dry-run", "import", "schema.json"})
VERSIONS_MAX, SEQUENCES_MAX = 10_000, 1000
DESCRIPTION_MAX = 10_000
UNLISTED = ("sequence", "written", "inputs", "outputs")  # of a version, in lists
_KEYS = frozenset({"sequence", "version", "inputs"})


@dataclass(frozen=True)
class SequenceCall:
    """The arguments of a run that call a stored sequence; `version` None for the newest."""

    name: str
    version: int | None
    inputs: dict[str, Any]


def read_call(arguments: Any) -> SequenceCall | None:
    """The call in the arguments of a run; None for a sequence itself. Raises `InvalidSequence`."""
    if not isinstance(arguments, Mapping) or "sequence" not in arguments:
        return None
    faults = [{"path": key, "detail": "There is no such key here."} for key in arguments.keys() - _KEYS]
    name, version, inputs = arguments["sequence"], arguments.get("version"), arguments.get("inputs") or {}
    if not isinstance(name, str) or not name:
        faults.append({"path": "sequence", "detail": "This is the name of a stored sequence."})
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        faults.append({"path": "version", "detail": "This is a whole number from 1."})
    if not isinstance(inputs, dict):
        faults.append({"path": "inputs", "detail": "This is an object."})
    if faults:
        raise InvalidSequence(faults)
    return SequenceCall(str(name), version, dict(inputs))


def save_sequence(
    *,
    user: Any,
    name: str,
    sequence: Any,
    description: str = "",
    inputs: Any = None,
    outputs: Any = None,
    written: str = "",
    check_version: Callable[[int], None] | None = None,
) -> tuple[SequenceVersion, bool]:
    """Keeps a sequence under a name; whether it is another version than the newest one.

    `written` is the text of the sequence where that is worth keeping: with other comments it is another version.
    `check_version` is given the number of the newest version, 0 where there is none, which nobody changes until this
    one is stored; it raises for one that the caller did not mean.

    Raises `InvalidSequence` with all its faults, and `Rejected` for a name that is taken.
    """
    check_name(name)
    check_sequence(user=user, name=name, sequence=sequence, inputs=inputs, outputs=outputs)
    content = {"sequence": sequence, "description": description, "inputs": inputs, "outputs": outputs}
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # one after the other, deletions too
        stored, _ = StoredSequence.objects.get_or_create(owner=user, name=name)
        newest = stored.versions.filter(number=stored.newest).first()
        is_same = newest and {key: getattr(newest, key) for key in content} == content
        if newest and is_same and written in ("", newest.written):
            return newest, False  # whoever stored it: it may be the same call, sent again
        if check_version:
            check_version(stored.newest)
        if stored.newest >= VERSIONS_MAX:
            raise Rejected(f"A sequence has at most {VERSIONS_MAX} versions.")
        if newest is None and StoredSequence.objects.filter(owner=user).count() > SEQUENCES_MAX:
            raise Rejected(f"There are {SEQUENCES_MAX} stored sequences already.")
        stored.newest += 1
        stored.save(update_fields=["newest"])
        version = SequenceVersion.objects.create(stored=stored, number=stored.newest, written=written, **content)
        shown = None if newest is None else _values_of(newest)
        record_change(
            "change" if newest else "create", "sequence", name, name, owner_id=user.pk, before=shown,
            after=_values_of(version),
        )  # fmt: skip
        return version, True


def _values_of(version: SequenceVersion) -> dict[str, Any]:
    """What the audit log knows of a version; what is sensitive in it is a secret there."""
    sequence = mark_sensitive(version.sequence)
    return {"version": version.number, "description": version.description, "sequence": sequence}


def check_name(name: str) -> None:
    """Raises `Rejected` for what cannot be the name of a stored sequence."""
    if name in TAKEN or not re.fullmatch(NAME_PATTERN, name):
        raise invalid(
            "/name", "A name has letters, digits, '.', '_' and '-', up to 100, and is none of the calls' own."
        )


def check_sequence(*, user: Any, name: str, sequence: Any, inputs: Any, outputs: Any) -> None:
    """Checks what `save_sequence` would store under a name, which may be empty while there is none.

    Raises `InvalidSequence`, whose paths begin with `sequence`, `inputs` or `outputs`.
    """
    faults: list[Any] = []
    try:
        program, _ = parse_stored(sequence, outputs)
        found = faults_of_calls(program, sequence, user.pk, name)
        faults += [{**fault, "path": join_path("sequence", fault["path"])} for fault in found]
    except InvalidSequence as error:
        faults = list(error.errors)
    if inputs is not None:
        try:
            DocumentSchema(inputs)
        except InvalidSchema as error:
            faults.append({"path": "inputs", "detail": str(error)})
    if faults:
        raise InvalidSequence(faults)


def newest_versions(user: Any) -> QuerySet[SequenceVersion]:
    """The newest version of each sequence of a user, without the sequences themselves."""
    versions = SequenceVersion.objects.filter(stored__owner=user, number=F("stored__newest"))
    return versions.select_related("stored").defer(*UNLISTED)


def all_versions(user: Any, name: str) -> QuerySet[SequenceVersion]:
    """Raises `NotFound`."""
    stored = StoredSequence.objects.filter(owner=user, name=name).first()
    if stored is None:
        raise NotFound(f"There is no stored sequence {name[:100]}.")
    return SequenceVersion.objects.filter(stored=stored).select_related("stored")


def find_version(owner_id: UUID, name: str, version: int | None = None) -> SequenceVersion:
    """A version, or the newest. Raises `NotFound`."""
    versions = SequenceVersion.objects.filter(stored__owner=owner_id, stored__name=name).select_related("stored")
    found = versions.filter(number=version).first() if version else versions.order_by("-number").first()
    if found is None:
        raise NotFound(f"There is no stored sequence {name[:100]}" + (f" of version {version}." if version else "."))
    return found


def delete_sequence(*, user: Any, name: str) -> None:
    """Deletes all versions. Raises `NotFound`."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not StoredSequence.objects.filter(owner=user, name=name).delete()[0]:
            raise NotFound(f"There is no stored sequence {name[:100]}.")
        record_change("delete", "sequence", name, name, owner_id=user.pk)


def resolved_arguments(call: SequenceCall, owner: Any) -> dict[str, Any]:
    """The arguments of a run with the version that it will have. Raises `NotFound`, and `Rejected` for its inputs."""
    version = find_version(owner.pk, call.name, call.version)
    if reason := wrong_inputs(version.inputs, call.inputs):
        raise InvalidSequence([{"path": "inputs", "detail": reason}])
    return {"sequence": call.name, "version": version.number, "inputs": call.inputs}


def load_stored(
    owner_id: UUID, name: str, version: int | None, inputs: dict[str, Any], on_nothing: OnNothing | None = None
) -> StoredProgram:
    """A stored sequence as it is called; its persistence has the inputs. Raises `NotFound` and `Rejected`."""
    found = find_version(owner_id, name, version)
    if reason := wrong_inputs(found.inputs, inputs):
        raise InvalidSequence([{"path": "inputs", "detail": reason}])
    program, outputs = parse_stored(found.sequence, found.outputs, on_nothing)
    persistence = {**program.persistence, "inputs": inputs}
    return StoredProgram(replace(program, persistence=persistence), found.number, outputs)


def sequence_with_inputs(sequence: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """A sequence that is not stored yet, as it would run with these inputs."""
    return {**sequence, "persistence": {**(sequence.get("persistence") or {}), "inputs": inputs}}


def wrong_inputs(described: dict[str, Any] | None, inputs: dict[str, Any]) -> str:
    """Why the inputs are not those that a JSON Schema describes; empty where they are, or where there is none."""
    if described is None:
        return ""
    schema = DocumentSchema(described)
    if len(json.dumps(inputs)) * max(schema.cost.checks, schema.cost.states) > SCHEMA_WORK_MAX:
        return "They are too large for what the schema checks of each value."
    return "" if schema.is_valid(inputs) else schema.explain(inputs)


class Library:
    """The interpreter's `load`: the stored sequences of an owner, each read once.

    `on_nothing` is told of their expressions, their name before the place.
    """

    def __init__(self, owner_id: UUID, on_nothing: OnNothing | None = None) -> None:
        self._owner_id, self._on_nothing = owner_id, on_nothing
        self._read: dict[tuple[str, int | None], StoredProgram] = {}

    def load(self, name: str, version: int | None, inputs: dict[str, Any] | None) -> StoredProgram:
        """Raises `StepFailure`. Without `inputs` none are checked: the sequence goes on, or has ended."""
        key = (name, version)
        tell = self._on_nothing
        on_nothing = None if tell is None else lambda place, text: tell(f"{name}: {place}", text)
        try:
            if inputs is not None:
                stored = load_stored(self._owner_id, name, version, inputs, on_nothing)
                self._read[name, stored.version] = stored
                return stored
            if key not in self._read:
                found = find_version(self._owner_id, name, version)
                program, outputs = parse_stored(found.sequence, found.outputs, on_nothing)
                self._read[key] = StoredProgram(program, found.number, outputs)
            return self._read[key]
        except (NotFound, Rejected) as problem:
            raise StepFailure(problem.detail) from None


def outputs_of(stored: StoredProgram, persistence: dict[str, Any], last: Any = None) -> dict[str, Any]:
    """What a run of a stored sequence gives: its outputs, or its persistence. Raises `StepFailure`."""
    if stored.outputs is None:
        return persistence
    scope = Scope(last, persistence)
    return {name: template.render(scope) for name, template in stored.outputs.items()}
