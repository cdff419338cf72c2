"""What several people change at once is changed by one after the other: none gets in another's way."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.hub import Hub

pytestmark = pytest.mark.slow
AT_ONCE = 12

SEQUENCE = {"sequence": {"requests": [{"sleep": 0}]}}
SCHEDULE = {"kind": "walker", "arguments": {"name": "echo", "ctx": {"value": 1}}, "when": {"crontab": "0 3 1 1 *"}}
FIELDS: list[dict[str, Any]] = [{"jitter": 7}, {"overlap": "wait"}, {"missed": "none"}, {"tags": ["a"]}]


def at_once(hub: Hub, *calls: tuple[str, str, Any]) -> list[int]:
    """The statuses of these calls, each of which is made again and again with the others."""
    many = [calls[number % len(calls)] for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [
            answer.status_code
            for answer in threads.map(lambda call: hub.admin.call(call[0], call[1], json=call[2]), many)
        ]


@pytest.mark.parametrize(("path", "body"), [("/secrets/{}", {"value": "s3cret"}), ("/sequences/{}", SEQUENCE)])
def test_what_is_made_while_it_is_deleted(hub: Hub, path: str, body: dict[str, Any]) -> None:
    address = path.format(f"it_{uuid4().hex[:8]}")
    for _ in range(4):
        statuses = at_once(hub, ("PUT", address, body), ("DELETE", address, None))
        assert set(statuses) <= {200, 201, 204, 404}


def test_a_name_of_a_schedule_is_given_once(hub: Hub) -> None:
    name = f"it {uuid4().hex[:8]}"
    for _ in range(3):
        statuses = at_once(hub, ("POST", "/schedules", {**SCHEDULE, "name": name}))
        assert sorted(statuses) == [201] + [409] * (AT_ONCE - 1)
        [schedule] = hub.admin.get(f"/schedules?name={name}").json()["results"]
        hub.admin.call("DELETE", f"/schedules/{schedule['id']}")


def test_a_schedule_is_changed_by_several(hub: Hub) -> None:
    schedule = hub.admin.post("/schedules", {**SCHEDULE, "name": f"it {uuid4().hex[:8]}"}).json()
    address = f"/schedules/{schedule['id']}"
    steered = [("POST", f"{address}/{verb}", None) for verb in ("pause", "run")]
    statuses = at_once(hub, *[("PATCH", address, fields) for fields in FIELDS], *steered)
    assert set(statuses) <= {200, 202}
    shown = hub.admin.get(address).json()
    assert {name: shown[name] for fields in FIELDS for name in fields} == {
        name: value for fields in FIELDS for name, value in fields.items()
    }
    assert shown["enabled"] is False
    changed = [*steered, ("PATCH", address, {"jitter": 9}), ("POST", f"{address}/resume", None)]
    statuses = at_once(hub, ("DELETE", address, None), *changed)
    assert set(statuses) <= {200, 202, 204, 404}
    assert hub.admin.get(address).status_code == 404
