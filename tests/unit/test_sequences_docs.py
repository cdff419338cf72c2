"""docs/sequences.md: every example gives what stands under it, against the server that it describes."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import StepResponse
from sequences.domain.functions import FUNCTIONS
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import PROGRAM_KEYS, parse
from sequences.domain.scope import RunContext
from sequences.domain.step_reader import LOOP_KEYS, STEP_KEYS
from sequences.exchange_threads import ExchangeThreads
from sequences.http_client import HttpClient
from sequences.services.run_context import utc_now
from taskhub.jsontools.jsonc import parse_jsonc
from tests.integration.sequence_servers import bundled_api

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sequences.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```\s+```(result|shows|stops|masked)\n(.*?)```", TEXT, re.DOTALL)
WHOLE = "".join(text for text, _, _ in EXAMPLES)


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with bundled_api() as address:
        yield address


def at(shop: str, text: str) -> str:
    """An example with the server's address in place of that in the documentation."""
    return text.replace("http://shop", shop).replace('"shop"', f'"{shop.removeprefix("http://")}"')


def refuse(name: str, arguments: object, master: object) -> StepResponse:
    return StepResponse(401, None, "Who is calling?")


def test_every_example_has_its_outcome() -> None:
    assert len(EXAMPLES) == TEXT.count("```json") >= 6


@pytest.mark.parametrize("key", [*STEP_KEYS, *PROGRAM_KEYS, *LOOP_KEYS])
def test_every_key_is_explained(key: str) -> None:
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example(name: str) -> None:
    assert re.search(rf"\| {name}\b", WHOLE)


@pytest.mark.parametrize(("text", "outcome", "expected"), EXAMPLES)
def test_an_example_gives_what_stands_under_it(shop: str, text: str, outcome: str, expected: str) -> None:
    context = RunContext(now=utc_now, new_id=lambda: "0" * 36, secret=lambda name: "s3cret")
    with HttpClient(lambda: 60.0) as client, ExchangeThreads(4) as threads:
        run = Interpreter(
            parse(parse_jsonc(at(shop, text))),
            send=client.send,
            jac=refuse,
            clock=time.monotonic,
            performer=threads,
            context=context,
        )
        if outcome == "stops":
            with pytest.raises(SequenceStopped) as caught:
                run.run()
            assert str(caught.value) == expected.strip()
            return
        result = run.run()
    told = json.loads(at(shop, expected))
    if outcome == "masked":
        result = {key: "***" if key in run.sensitive else value for key, value in result.items()}
        told = {key: value for key, value in told.items() if key in run.sensitive}
    assert {key: result[key] for key in told} == told
    assert outcome != "result" or result.keys() == told.keys()
