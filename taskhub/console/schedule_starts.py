"""What schedules may start: the walkers there are, and what the viewer has; and the form's first values for one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from crawlers.models import Crawler
from extraction.models import ExtractionTask
from sequences.models import StoredSequence
from sequences.services.sequence_runs import may_run
from taskhub.errors import NotFound
from taskhub.runs.run_kinds import all_targets
from walkers.authoring.sentinels import BUNDLED, WalkerDefinition, all_sentinels
from walkers.domain.ids import GLOBAL
from walkers.walks.principal import Principal

STARTS_MAX = 50  # of a kind; others are written down by hand
_BLANKS: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}


@dataclass(frozen=True)
class ScheduleStart:
    """Something that a schedule may start; `query` leads to the form with it."""

    label: str
    description: str
    query: str


def read_starts(user: Any) -> dict[str, list[ScheduleStart]]:
    """What there is to start, by kind; of what the viewer has the newest."""
    crawlers = Crawler.objects.filter(owner=user, removed_at__isnull=True).select_related("stream").defer("secrets")
    tasks = ExtractionTask.objects.filter(owner=user, removed_at__isnull=True).defer("payload", "delivery", "webhook")
    starts = {"walker": _walker_starts()}
    if may_run(user):
        stored = StoredSequence.objects.filter(owner=user)[:STARTS_MAX]
        starts["sequence"] = [_start("sequence", row.name, row.name) for row in stored]
    starts["crawler"] = [
        _start("crawler", row.name or row.stream.name or str(row.fid), str(row.fid))
        for row in crawlers.order_by("-id")[:STARTS_MAX]
    ]
    starts["extraction"] = [
        _start("extraction", row.name or row.id, row.id, row.description) for row in tasks.order_by("-seq")[:STARTS_MAX]
    ]
    return starts


def _walker_starts() -> list[ScheduleStart]:
    sentinels = [sentinel for sentinel in all_sentinels() if sentinel.name != GLOBAL]
    sentinels.sort(key=lambda sentinel: sentinel.name == BUNDLED)
    definitions = [one.walkers[name] for one in sentinels for name in sorted(one.walkers)]
    return [_start("walker", one.name, one.name, one.description, snt=one.sentinel) for one in definitions]


def _start(kind: str, label: str, of: str, description: str = "", **more: str) -> ScheduleStart:
    return ScheduleStart(label, description, urlencode({"kind": kind, "of": of, **more}))


def suggest_entry(user: Any, query: Mapping[str, str]) -> dict[str, Any]:
    """What the form shows at first of a new schedule: of the kind and the thing that the query names; an example of its
    arguments where it names none. Raises `NotFound`."""
    kind, of = query.get("kind", ""), query.get("of", "")
    target = next((target for target in all_targets() if target.kind == kind), None)
    if target is None:
        raise NotFound("There is no such kind of what schedules start.")
    if not of:
        return {"kind": kind, "arguments": target.example}
    names: dict[str, dict[str, Any]] = {
        "sequence": {"sequence": of, "inputs": {}},
        "crawler": {"crawler": of},
        "extraction": {"task": of},
    }
    name = of
    if kind == "walker":
        definition = Principal(user).sentinel(query.get("snt")).walker(of)
        arguments: dict[str, Any] = {"name": definition.name, "snt": definition.sentinel, "ctx": _blank_ctx(definition)}
    else:
        arguments = names[kind]
        name = next((start.label for start in read_starts(user).get(kind, []) if start.query == _query(kind, of)), of)
    return {"kind": kind, "name": name, "arguments": json.dumps(arguments, indent=4, ensure_ascii=False)}


def _query(kind: str, of: str) -> str:
    return urlencode({"kind": kind, "of": of})


def _blank_ctx(definition: WalkerDefinition) -> dict[str, Any]:
    """A `ctx` with what the walker needs, to be filled in, and its defaults."""
    schema = definition.ctx_schema.schema()
    required = schema.get("required", [])
    return {
        name: described.get("default", next(iter(described.get("examples", [])), _BLANKS.get(described.get("type"))))
        for name, described in schema.get("properties", {}).items()
        if name in required or "default" in described
    }
