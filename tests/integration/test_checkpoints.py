"""Checkpoints in the database: whoever loads one goes on as the one who stored it, and each stores what is new only."""

from typing import Any

import pytest

from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.models import CheckpointValue
from sequences.services.checkpoints import CheckpointStore, load_state
from sequences.services.sequence_runs import submit_sequence
from tests.conftest import Person
from tests.unit.test_sequences_flow import jac
from tests.unit.test_sequences_requests import Scripted, get

pytestmark = pytest.mark.django_db
ITEMS = list(range(40))
PAGED = {"next": {"param": "p"}, "items": "$.items", "max_pages": 40}


def collecting(**more: Any) -> dict[str, Any]:
    return get("a", __def_loop__={"by": "#.list", "collect": "all", "requests": [get("in{{@}}")], **more})


@pytest.mark.parametrize(
    "step",
    [collecting(), collecting(parallel=4), get("page", paginate=PAGED, save_to="all"),
     collecting(requests=[collecting(by="#.few")])],
    ids=["loop", "parallel", "pages", "nested"],
)  # fmt: skip
def test_of_lists_that_grow_what_is_new_is_stored(
    step: dict[str, Any], colleague: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = {"requests": [step], "persistence": {"list": ITEMS, "few": [1, 2, 3]}}
    run = submit_sequence(arguments=sequence, owner=colleague.user)
    program = parse(sequence)
    world = Scripted(page={"items": [7]})
    rows: list[int] = []
    create = CheckpointValue.objects.bulk_create

    def counting(values: list[Any], **more: Any) -> None:
        rows.append(len(values))
        create(values, **more)

    monkeypatch.setattr(CheckpointValue.objects, "bulk_create", counting)
    store = CheckpointStore(run, {})
    states: list[Any] = []

    def keep(_: Any) -> None:
        store.store(going.checkpoint())
        states.append(load_state(run, program.persistence))

    options: dict[str, Any] = {"send": world.send, "jac": jac, "clock": lambda: 0.0}
    going = Interpreter(program, **options, record=keep)
    expected = going.run()
    assert len(expected["all"]) == len(ITEMS)
    assert max(rows[2:]) <= 10  # not all that came before
    for state in states[::7]:
        assert Interpreter.resume(program, state, **options).run() == expected
