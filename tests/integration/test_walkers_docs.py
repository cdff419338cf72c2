"""Every example of docs/walkers.md runs, in its order, and answers what the page says."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import MULTIPART_CONTENT

from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from taskhub.runs.queue.worker_process import work
from tests.conftest import ROOT, Person
from tests.integration.walkers_shop import installed
from walkers.walks.walk_execution import perform_walk

PAGE = (ROOT / "docs" / "walkers.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SOURCE = "\n".join(text for language, text in BLOCKS if language == "python" and "def test_" not in text)
CALLS = [
    (text, BLOCKS[index + 1][1]) for index, (language, text) in enumerate(BLOCKS) if language == "bash"
]  # each is followed by its answer


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's file, and a worker that hears."""
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: True)
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)
    with installed(source=SOURCE):
        yield


@pytest.mark.django_db(transaction=True)
def test_each_call_answers_as_printed(owner: Person) -> None:
    assert len(CALLS) >= 10
    for command, printed in CALLS:
        same(curl(owner, command), json.loads(printed), command)
    assert work("walker", perform_walk, node="walkers@here") == 3  # the one that is called, and two that a walk starts
    assert set(Run.objects.values_list("state", flat=True)) == {State.SUCCESS}
    assert {"done": 2, "total": 3, "message": "batch 3"} in Run.objects.values_list("progress", flat=True)


@pytest.mark.django_db(transaction=True)
def test_the_test_of_the_page_passes(owner: Person) -> None:
    from django.test import Client

    (example,) = [text for language, text in BLOCKS if language == "python" and "def test_" in text]
    names: dict[str, Any] = {}
    exec(example, names)
    names["test_greets"](Client(), owner.headers["Authorization"])
    assert "report" in example


def test_the_page_and_the_code_have_the_same_options() -> None:
    from walkers.authoring.walker import Walker

    options = set(re.findall(r"^\| `(\w+) = ", PAGE, re.MULTILINE))
    assert options == {name for name in Walker.__annotations__ if not name.startswith("_")}


def curl(person: Person, command: str) -> Any:
    """What the command would be answered; the headers are checked and the person's own are sent."""
    name, address, *options = shlex.split(command)
    assert name == "curl"
    assert address.startswith("$HUB/")
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given.pop("-H") == "Authorization: token $TOKEN"
    path = address.removeprefix("$HUB")
    match given:
        case {"-d": body}:
            return person.post(path, body, content_type="application/x-www-form-urlencoded").json()
        case {"-F": field}:
            name, _, file = field.partition("=@")
            return person.post(
                path, {name: SimpleUploadedFile(Path(file).name, b"png")}, content_type=MULTIPART_CONTENT
            ).json()
    raise AssertionError(f"The page shows options that are not known here: {command}")


def same(answer: Any, printed: Any, command: str) -> None:
    """An ellipsis stands for the end of any text."""
    if isinstance(printed, str) and printed.endswith("..."):
        assert isinstance(answer, str), command
        assert answer.startswith(printed.removesuffix("...")), command
    elif isinstance(printed, dict):
        assert answer.keys() == printed.keys(), (command, answer)
        for key, value in printed.items():
            same(answer[key], value, command)
    elif isinstance(printed, list):
        assert len(answer) == len(printed), (command, answer)
        for one, value in zip(answer, printed, strict=True):
            same(one, value, command)
    else:
        assert answer == printed, command
