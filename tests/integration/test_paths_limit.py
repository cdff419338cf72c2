"""Paths of any length in sequences: taken, or refused at their place."""

from typing import Any

import pytest

from sequences.domain.paths import STEPS_MAX
from tests.conftest import Person

pytestmark = pytest.mark.django_db

STEPS = {
    "descent": "..a",
    "all below": "..*",
    "wildcard": "[*]",
    "index": "[0]",
    "slice": "[0:1]",
    "quoted": "['a.b[']",
}


def validated(staff: Person, expression: str) -> Any:
    request = {"method": "POST", "url": "http://127.0.0.1:9/", "body": {"value": expression}}
    return staff.post("/sequences/validate", {"requests": [request]})


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_path_has_a_limit_of_steps(colleague: Person, step: str) -> None:
    assert validated(colleague, f"{{{{${step * STEPS_MAX}}}}}").status_code == 200
    for count in (STEPS_MAX + 1, 200, 333, 1000):
        refusal = validated(colleague, f"{{{{${step * count}}}}}")
        assert refusal.status_code == 400
        assert [fault["path"] for fault in refusal.json()["errors"]] == ["requests[0].body.value"]


def test_definite_paths_and_computed_keys_have_theirs(colleague: Person) -> None:
    for expression in ("{{$" + ".a" * 3000 + "}}", "{{#" + ".(#" * 400 + ".a" + ")" * 400 + "}}", "{{$..a}}" * 2000):
        assert validated(colleague, expression).status_code in {200, 400}
