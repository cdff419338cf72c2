"""The payloads of docs/extraction-examples.md and docs/extraction-recipes.md give the records that stand below them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel

from extraction.domain.browser_actions import PageAction
from extraction.domain.followed_links import FollowedLinks
from extraction.domain.logins import LoginTerms
from extraction.domain.page_request import PagesRequest
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.paginator import Paginator
from extraction.domain.record_field import FieldTerms
from extraction.domain.result_formats import CsvOptions
from extraction.services import process_lifecycle, processes
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_runs import carried, records
from tests.extraction_sites import bundled_site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "".join((DOCS / f"extraction-{name}.md").read_text() for name in ("examples", "recipes"))
EXAMPLE = re.compile(
    r"\n### (?P<name>[^\n]+)\n|```json\n(?P<payload>\{\"request\".*?)```(?:\s*```text\n(?P<records>.*?)```)?", re.DOTALL
)
RENDERED = '"type": "chrome"'


def examples() -> list[Any]:
    found, name = list[Any](), ""
    for match in EXAMPLE.finditer(PAGES):
        if match["name"]:
            name = match["name"]
        elif match["records"]:
            marks = [pytest.mark.xdist_group("chrome")] if RENDERED in match["payload"] else []
            found.append(pytest.param(match["payload"], match["records"], id=f"{name} {len(found)}", marks=marks))
    return found


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with bundled_site() as site:
        yield site


def same(found: Any, shown: Any) -> bool:
    """Whether a value is the one that is shown, in which `...` stands for anything."""
    if isinstance(shown, str) and isinstance(found, str):
        return re.fullmatch(re.escape(shown).replace(r"\.\.\.", ".*"), found, re.DOTALL) is not None
    if isinstance(shown, dict) and isinstance(found, dict):
        return list(found) == list(shown) and all(same(found[name], shown[name]) for name in shown)
    return bool(found == shown) and type(found) is type(shown)


@pytest.mark.parametrize(("payload", "shown"), examples())
def test_an_example(owner: Person, shop: str, request: pytest.FixtureRequest, payload: str, shown: str) -> None:
    if RENDERED in payload:
        request.getfixturevalue("rendering_here")
    sent = json.loads(payload.replace("http://127.0.0.1:9001", shop))
    process = processes.run_payload(owner=owner.user, body=sent)
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    process = carried(process)
    assert process.status == "finished", process.error
    expected = [json.loads(line) for line in shown.replace('http://127.0.0.1:9001/news"', f'{shop}/news"').splitlines()]
    found = records(process)[: len(expected)]
    assert [list(record) for record in found] == [list(record) for record in expected]
    for record, wanted in zip(found, expected, strict=True):
        assert all(same(record[name], wanted[name]) for name in wanted), (record, wanted)


def keys_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys_in, value))
    return set(value).union(*map(keys_in, value.values())) if isinstance(value, dict) else set()


def keys_of(model: type[BaseModel]) -> set[str]:
    """The keys that a model reads, in each of their spellings."""
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        other = field.validation_alias
        keys |= {str(one) for one in other.choices} if isinstance(other, AliasChoices) else {str(other or name)}
    return keys


# What changes no record, or is an older word for what has an example. Of `changes` docs/extraction-examples.md has one
# that takes two processes.
WITHOUT_EXAMPLE = {"name", "delay", "gzip", "ignoreRobots", "maxCredits", "waitDelay", "input", "changes"}


def test_each_key_of_a_payload_has_an_example() -> None:
    shown = [json.loads(match["payload"]) for match in EXAMPLE.finditer(PAGES) if match["payload"]]
    models: tuple[type[BaseModel], ...] = (
        PagesPayload,
        PagesRequest,
        FieldTerms,
        FollowedLinks,
        LoginTerms,
        Paginator,
        CsvOptions,
        PageAction,
    )
    known = {key for model in models for key in keys_of(model)}
    assert sorted(known - keys_in(shown) - WITHOUT_EXAMPLE) == []
