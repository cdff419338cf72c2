"""docs/sequences.md and its recipes: every example gives what stands under it, with the server that they describe."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import StepResponse
from sequences.domain.functions import FUNCTIONS
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import PROGRAM_KEYS, parse, parse_stored
from sequences.domain.scope import RunContext
from sequences.domain.step_reader import LOOP_KEYS, STEP_KEYS
from sequences.domain.strand_records import StoredProgram
from sequences.examples.recipes import read_recipes
from sequences.exchange_threads import ExchangeThreads
from sequences.folder_files import FolderFiles
from sequences.http_client import HttpClient
from sequences.services.run_context import utc_now
from taskhub.jsontools.jsonc import parse_jsonc
from tests.integration.sequence_servers import bundled_api

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT, RECIPES = ((DOCS / name).read_text() for name in ("sequences.md", "sequence-recipes.md"))
_OUTCOME = r"\s+```(result|shows|stops|masked)\n(.*?)```"
# An example, its outcome, and what of the result is shown where it stops.
EXAMPLES = re.findall(rf"```json\n(.*?)```{_OUTCOME}(?:\s+```shows\n(.*?)```)?", TEXT + RECIPES, re.DOTALL)
STORED: dict[str, str] = dict(re.findall(r"```json (\w+)\n(.*?)```", TEXT + RECIPES, re.DOTALL))
SECRETS = {"SHOP_KEY": "s3cret"}
WHOLE = "".join(text for text, *_ in EXAMPLES)


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
    assert len(EXAMPLES) == (TEXT + RECIPES).count("```json\n") >= 6
    assert RECIPES.count("\n## ") == RECIPES.count("```json\n") == 10


def test_the_recipes_are_those_of_the_documentation() -> None:
    titled = re.findall(r"^## (.*?)\n.*?```json\n(.*?)```", RECIPES, re.MULTILINE | re.DOTALL)
    assert [(recipe.title, recipe.text) for recipe in read_recipes()] == [
        (title, f"// {title}\n{text.rstrip()}") for title, text in titled
    ]


@pytest.mark.parametrize("key", [*STEP_KEYS, *PROGRAM_KEYS, *LOOP_KEYS])
def test_every_key_is_explained(key: str) -> None:
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example(name: str) -> None:
    assert re.search(rf"\| {name}\b", WHOLE)


@pytest.mark.parametrize(("text", "outcome", "expected", "shown"), EXAMPLES)
def test_an_example_gives_what_stands_under_it(shop: str, text: str, outcome: str, expected: str, shown: str) -> None:
    def load(name: str, version: int | None, inputs: dict[str, Any] | None) -> StoredProgram:
        stored = json.loads(at(shop, STORED[name]))
        program, outputs = parse_stored(stored["sequence"], stored["outputs"])
        return StoredProgram(replace(program, persistence={"inputs": inputs}), 1, outputs)

    context = RunContext(now=utc_now, new_id=lambda: "0" * 36, secret=SECRETS.__getitem__)
    with HttpClient(lambda: 60.0, FolderFiles()) as client, ExchangeThreads(4) as threads:
        run = Interpreter(
            parse(parse_jsonc(at(shop, text))),
            send=client.send,
            jac=refuse,
            clock=time.monotonic,
            performer=threads,
            context=context,
            load=load,
        )
        if outcome == "stops":
            with pytest.raises(SequenceStopped) as caught:
                run.run()
            assert str(caught.value) == expected.strip()
            assert not shown or caught.value.persistence.items() >= json.loads(shown).items()
            return
        result = run.run()
    told = json.loads(at(shop, expected))
    if outcome == "masked":
        result = {key: "***" if key in run.sensitive else value for key, value in result.items()}
        told = {key: value for key, value in told.items() if key in run.sensitive}
    assert {key: result[key] for key in told} == told
    assert outcome != "result" or result.keys() == told.keys()
