"""What the steps of a sequence call: its owner's stored sequences, and calls of the hub, looked up when the sequence is
checked.

They are looked up again when it runs. Names that an expression gives are only known then.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sequences.domain.steps import JAC, SequenceProgram
from sequences.domain.strand_groups import CALLS_MAX
from sequences.models import SequenceVersion, StoredSequence
from walkers.http.registry import is_call

FOLLOWED_MAX = 100  # stored sequences that one check looks into
Called = tuple[str, int | None]  # a name, and a version or None for the newest


def faults_of_calls(
    program: SequenceProgram, sequence: Mapping[str, Any], owner_id: UUID, name: str = ""
) -> list[dict[str, str]]:
    """The faults of what a sequence calls, each with the `path` and `detail` of `InvalidSequence`.

    `program` is the sequence as it was read, `name` the one under which it is about to be stored.
    """
    named = {
        path: (str(step.stored.sequence.value), step.stored.version)
        for path, step in program.walk()
        if step.stored and step.stored.sequence.constant
    }
    faults = list(_faults_of_names(program, sequence))
    if not named:
        return faults
    newest: dict[str, int] = dict(
        StoredSequence.objects.filter(owner=owner_id, name__in={called for called, _ in named.values()}).values_list(
            "name", "newest"
        )
    )
    for path, (called, version) in named.items():
        if called not in newest and not (called == name and version is None):
            faults.append({"path": f"{path}.call.sequence", "detail": f"There is no stored sequence {called[:100]}."})
        elif version is not None and version > newest[called]:
            detail = f"There is no stored sequence {called[:100]} of version {version}."
            faults.append({"path": f"{path}.call.version", "detail": detail})
    return faults or _faults_of_depth(sequence, owner_id, name)


def _faults_of_names(program: SequenceProgram, sequence: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The calls of the hub of which there are none."""
    for path, step in program.walk():
        if step.constant_method == JAC and step.call.constant and not is_call(name := str(step.call.value)):
            key = "url" if _at(sequence, path).get("url") is not None else "api"
            detail = f"There is no call {name[:100]!r}, such as walker_run or wapi/echo."
            yield {"path": f"{path}.{key}", "detail": detail}


def _at(sequence: Any, path: str) -> Any:
    for name in re.findall(r"[^.\[\]]+", path):
        sequence = sequence[int(name)] if isinstance(sequence, list) else sequence[name]
    return sequence


def _faults_of_depth(sequence: Mapping[str, Any], owner_id: UUID, name: str) -> list[dict[str, str]]:
    """The calls that are sure to lead deeper than sequences may call each other, such as one that calls itself."""
    known: dict[Called, list[tuple[str, Called]]] = {}
    if name:
        known[name, None] = list(_certain_calls(sequence))
    # What is called at one depth: by which step of the sequence, and through which names.
    level: dict[Called, tuple[str, tuple[str, ...]]] = {}
    for path, called in _certain_calls(sequence):
        level.setdefault(called, (path, (called[0],)))
    for _ in range(CALLS_MAX):
        below: dict[Called, tuple[str, tuple[str, ...]]] = {}
        for called, (path, names) in level.items():
            if called not in known:
                if len(known) >= FOLLOWED_MAX:
                    return []  # if it is too deep, its run tells
                known[called] = list(_certain_calls(_stored(owner_id, called)))
            for _, following in known[called]:
                below.setdefault(following, (path, (*names, following[0])))
        level = below
    return [
        {
            "path": f"{path}.call.sequence",
            "detail": f"Sequences call each other more than {CALLS_MAX} deep: {', '.join(names)}.",
        }
        for path, names in dict(level.values()).items()
    ]


def _stored(owner_id: UUID, called: Called) -> Mapping[str, Any]:
    """A stored sequence; an empty one where there is none, which its run tells."""
    name, version = called
    versions = SequenceVersion.objects.filter(stored__owner=owner_id, stored__name=name).order_by("-number")
    found = versions.filter(number=version).first() if version else versions.first()
    return found.sequence if found else {}


def _certain_calls(sequence: Mapping[str, Any]) -> Iterator[tuple[str, Called]]:
    """The calls of a sequence that each of its runs makes that reaches its end, with the paths of their steps.

    A sequence may well call itself under a condition, within a loop, or where the failure is caught. They are found in
    the JSON, which was checked before: parsing a hundred sequences would take too long.
    """
    for key in ("requests", "finally"):
        yield from _certain_calls_of(sequence.get(key) or [], key)


def _certain_calls_of(steps: list[dict[str, Any]], prefix: str) -> Iterator[tuple[str, Called]]:
    for number, step in enumerate(steps):
        path = f"{prefix}[{number}]"
        if step.get("when") is None and step.get("catch") is None and not step.get("ignore_error"):
            if (call := step.get("call")) and "{{" not in call["sequence"]:
                yield path, (call["sequence"], call.get("version"))
            for branch_number, branch in enumerate((step.get("parallel") or {}).get("branches", ())):
                yield from _certain_calls_of(branch, f"{path}.parallel.branches[{branch_number}]")
        if step.get("break") is not None:
            return
