"""Batches: many calls of walkers, submitted by a few requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from taskhub_client.exchange import Flow, Request, call_object, idempotent
from taskhub_client.records import RunRecord

CALLS_MAX = 1_000  # of one request
BYTES_MAX = 1_500_000  # of its body; a hub takes 2 MB

Call = Mapping[str, Any]


def submit_batches(calls: Iterable[Call], idempotency_key: str | None = None) -> Flow[list[RunRecord]]:
    """Submits calls as the hub takes them, `{"name", "ctx", ...}`; their runs, in the same order."""
    records: list[RunRecord] = []
    for number, batch in enumerate(batches_of(calls)):
        key = f"{idempotency_key}-{number}" if idempotency_key and number else idempotency_key
        answer = yield from call_object(idempotent(Request("POST", "/runs/batch", json={"runs": batch}), key))
        names = ({"kind": "walker", "name": call["name"]} for call in batch)
        records += [RunRecord.parse({**name, **run}) for name, run in zip(names, answer["runs"], strict=True)]
    return records


def batches_of(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """The calls in lists that one request can have each."""
    batch: list[Call] = []
    room = BYTES_MAX
    for call in calls:
        size = len(json.dumps(call)) + 2
        if batch and (len(batch) == CALLS_MAX or size > room):
            yield batch
            batch, room = [], BYTES_MAX
        batch.append(call)
        room -= size
    if batch:
        yield batch
