"""docs/sequences.md: every example gives what stands under it."""

import json
import re
from pathlib import Path

import pytest

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from taskhub.jsontools.jsonc import parse_jsonc

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sequences.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```\s+```(result|shows|stops)\n(.*?)```", TEXT, re.DOTALL)
USERS = json.loads(re.findall(r"\| `GET /users` \| `(.*?)` \|", TEXT)[0])
MISSING = json.loads(re.findall(r"\| `GET /missing` \| 404, `(.*?)` \|", TEXT)[0])


def send(outgoing: StepRequest) -> StepResponse:
    match outgoing.method, outgoing.address:
        case "GET", "http://shop/users":
            return StepResponse(200, USERS)
        case "POST", "http://shop/echo":
            return StepResponse(200, outgoing.body)
    return StepResponse(404, MISSING, "Not Found")


def refuse(name: str, arguments: object, master: object) -> StepResponse:
    return StepResponse(401, None, "Who is calling?")


def test_every_example_has_its_outcome() -> None:
    assert len(EXAMPLES) == TEXT.count("```json") >= 6


@pytest.mark.parametrize(("text", "outcome", "expected"), EXAMPLES)
def test_an_example_gives_what_stands_under_it(text: str, outcome: str, expected: str) -> None:
    run = Interpreter(parse(parse_jsonc(text)), send=send, jac=refuse, clock=lambda: 0.0)
    if outcome == "result":
        assert run.run() == json.loads(expected)
    elif outcome == "shows":
        assert run.run().items() >= json.loads(expected).items()
    else:
        with pytest.raises(SequenceStopped) as caught:
            run.run()
        assert str(caught.value) == expected.strip()
