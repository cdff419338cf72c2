"""Sequences of HTTP requests: checked, stored and run; and secrets for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from taskhub_client.exchange import Flow, Request, call, call_object, idempotent, pages, remove
from taskhub_client.operations import Awaiting, Blocking, emits, operation, starts_run
from taskhub_client.records import RunRecord
from taskhub_client.runs import get_run, result_of, wait_for_run

Sequence = str | Mapping[str, Any]  # the name of a stored one, or the sequence itself
JsonObject = dict[str, Any]


def submit_sequence(
    sequence: Sequence, inputs: Mapping[str, Any] | None, version: int | None, webhook: str | None
) -> Flow[RunRecord]:
    if isinstance(sequence, str):
        members = {"inputs": inputs, "version": version}
        body = {name: value for name, value in members.items() if value is not None}
        request = Request("POST", f"/sequences/{quote(sequence, safe='')}/runs", {"webhook": webhook}, json=body)
    elif inputs is not None or version is not None:
        raise TypeError("inputs and a version are for stored sequences, which are run by their name")
    else:
        request = Request("POST", "/sequences/runs", {"webhook": webhook}, json=dict(sequence))
    answer = yield from call_object(idempotent(request))
    return (yield from get_run(answer["id"]))


class SequenceCalls:
    """`hub.sequences`."""

    @operation
    def run(
        self,
        sequence: Sequence,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        timeout: float | None = None,
    ) -> Flow[Any]:
        """Runs a sequence, stored (by its name) or as it is given, and returns its result.

        Raises `RunFailed` with the step's path, `InvalidRequest` with each fault's path, `WaitTimeout`.
        """
        record = yield from submit_sequence(sequence, inputs, version, None)
        return result_of((yield from wait_for_run(record.id, timeout)))

    @starts_run
    def submit(
        self,
        sequence: Sequence,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        webhook: str | None = None,
    ) -> Flow[RunRecord]:
        """Submits a sequence, and returns its run."""
        return (yield from submit_sequence(sequence, inputs, version, webhook))

    @starts_run
    def resume(self, run_id: str, persistence: Mapping[str, Any] | None = None) -> Flow[RunRecord]:
        """Starts a run that goes on from the failed step of another, with what that had saved."""
        body = None if persistence is None else {"persistence": dict(persistence)}
        answer = yield from call_object(idempotent(Request("POST", f"/sequences/runs/{run_id}/resume", json=body)))
        return (yield from get_run(answer["id"]))

    @operation
    def validate(self, sequence: Mapping[str, Any]) -> Flow[None]:
        """Checks a sequence. Raises `InvalidRequest` whose `errors` name each fault's path."""
        yield from call(Request("POST", "/sequences/validate", json=dict(sequence)))

    @operation
    def dry_run(self, sequence: Mapping[str, Any], answers: Mapping[str, Any] | None = None) -> Flow[JsonObject]:
        """Each request as it would be sent, with these answers by step; sends nothing."""
        body = {"sequence": dict(sequence), **({"answers": dict(answers)} if answers else {})}
        return (yield from call_object(Request("POST", "/sequences/dry-run", json=body)))

    @emits(JsonObject)
    def list(self) -> Flow[None]:
        """Iterates over the stored sequences."""
        return (yield from pages("/sequences"))

    @operation
    def get(self, name: str, version: int | None = None) -> Flow[JsonObject]:
        """A stored sequence, its newest version unless another is asked for."""
        return (yield from call_object(Request("GET", f"/sequences/{quote(name, safe='')}", {"version": version})))

    @operation
    def put(
        self,
        name: str,
        sequence: Mapping[str, Any],
        *,
        description: str = "",
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, str] | None = None,
        if_version: int | None = None,
    ) -> Flow[JsonObject]:
        """Stores a sequence; a change is a new version.

        With `if_version` it is stored in place of that version alone, 0 for none. Raises `Conflict` for another one.
        """
        members = {"sequence": dict(sequence), "description": description, "inputs": inputs, "outputs": outputs}
        body = {key: value for key, value in members.items() if value is not None and value != ""}
        headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
        return (
            yield from call_object(Request("PUT", f"/sequences/{quote(name, safe='')}", json=body, headers=headers))
        )

    @operation
    def delete(self, name: str) -> Flow[None]:
        """Removes a stored sequence with all its versions."""
        yield from remove(f"/sequences/{quote(name, safe='')}")

    @emits(JsonObject)
    def versions(self, name: str) -> Flow[None]:
        """Iterates over the versions of a stored sequence, newest first."""
        return (yield from pages(f"/sequences/{quote(name, safe='')}/versions"))

    @emits(JsonObject)
    def steps(self, run_id: str) -> Flow[None]:
        """Iterates over what a run sent and was answered."""
        return (yield from pages(f"/sequences/runs/{run_id}/steps"))


class Sequences(SequenceCalls, Blocking):
    """`hub.sequences`."""


class AsyncSequences(SequenceCalls, Awaiting):
    """`hub.sequences` for asyncio."""


class SecretCalls:
    """`hub.secrets`: what sequences name as `secret.NAME`."""

    @emits(JsonObject)
    def list(self) -> Flow[None]:
        """Iterates over the names."""
        return (yield from pages("/secrets"))

    @operation
    def put(self, name: str, value: str, *, for_all: bool = False) -> Flow[None]:
        """Keeps a secret; `for_all` users, which is for staff."""
        body = {"value": value, **({"global": True} if for_all else {})}
        yield from call(Request("PUT", f"/secrets/{quote(name, safe='')}", json=body))

    @operation
    def delete(self, name: str, *, for_all: bool = False) -> Flow[None]:
        yield from remove(f"/secrets/{quote(name, safe='')}", {"global": "true"} if for_all else None)


class Secrets(SecretCalls, Blocking):
    """`hub.secrets`."""


class AsyncSecrets(SecretCalls, Awaiting):
    """`hub.secrets` for asyncio."""
