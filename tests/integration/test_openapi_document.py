"""/openapi.json as its readers take it: whole, valid, an example everywhere; and its page, which needs nobody else."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from taskhub.web.openapi.document import document
from taskhub.web.openapi.schema_tree import with_parts
from tests.conftest import Person
from tests.routes import routes, spelled_otherwise
from walkers.authoring import sentinels

DOCUMENT: dict[str, Any] = json.loads(document())
PROBLEM = "application/problem+json"
UNWRITTEN = ("admin/", "docs/", "openapi.json", "console/", "sign-")  # pages for people, and the document itself
OPEN = {"livez", "readyz", "healthz", "version"}  # they need no credentials and are not limited; a 503 is an answer
CAPABLE = {
    "capable_tasks_upload",
    "capable_tasks_status",
    "capable_tasks_log",
    "capable_tasks_state",
    "capable_tasks_state_save",
    "extraction_file",
}  # who has the address needs no credentials
CHUNKED = {"tasks_upload", "capable_tasks_upload"}  # their bodies may come in chunks


class Operation(NamedTuple):
    path: str
    method: str
    said: dict[str, Any]

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        return {status: resolved(answer) for status, answer in self.said["responses"].items()}

    @property
    def contents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is sent and what is answered, each with a name for messages."""
        for kind, content in self.said.get("requestBody", {}).get("content", {}).items():
            yield f"request {kind}", content
        for status, answer in self.answers.items():
            for kind, content in answer.get("content", {}).items():
                yield f"{status} {kind}", content


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    _, *steps = part["$ref"].split("/")
    for step in steps:
        part = DOCUMENT[step] if part is not DOCUMENT and step == "components" else part[step]
    return part


PATHS = DOCUMENT["paths"]
OPERATIONS = [Operation(path, method, said) for path, entry in PATHS.items() for method, said in entry.items()]
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")


def test_the_document_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_nothing_in_it_was_guessed() -> None:
    GENERATOR_STATS.reset()
    generator: Any = SchemaGenerator
    generator().get_schema(public=True)
    assert not GENERATOR_STATS, "drf-spectacular had to guess"


def test_it_has_every_call_and_no_other() -> None:
    others = spelled_otherwise()
    written = [route for route, _ in routes() if route and not route.startswith(UNWRITTEN) and route not in others]
    found = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{route}") for route in written}
    walkers = {f"/js/wapi/{name}" for name in sentinels.global_sentinel().walkers}
    assert set(PATHS) == found | walkers


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema of the document that is written down somewhere, with its place."""

    def within(place: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield place, schema
        parts: list[dict[str, Any]] = []
        with_parts(schema, parts.append)
        for part in parts:
            yield from within(f"{place}/{part.get('title', '')}", part)

    for name, schema in DOCUMENT["components"]["schemas"].items():
        yield from within(name, schema)
    for operation in OPERATIONS:
        place = f"{operation.method} {operation.path}"
        for name, content in operation.contents:
            yield from within(f"{place} {name}", content["schema"])
        for parameter in operation.said.get("parameters", []):
            inner = parameter.get("content", {}).get("application/json", parameter)
            yield from within(f"{place} {parameter['name']}", inner["schema"])


SCHEMAS = list(schemas())


def test_what_has_a_name_is_written_down_once() -> None:
    """As a component: a client has one class for it."""
    shared = DOCUMENT["components"]["schemas"]
    named = [place for place, schema in SCHEMAS if "properties" in schema and "title" in schema]
    assert [place for place in named if place not in shared] == []
    assert len(named) > 100
    references = {schema["$ref"] for _, schema in SCHEMAS if "$ref" in schema}
    assert {reference.rpartition("/")[2] for reference in references} <= shared.keys()
    assert len({json.dumps(schema, sort_keys=True) for schema in shared.values()}) > 0.95 * len(shared)


def test_nothing_has_a_default() -> None:
    """A client would send it, and is_async of the query would meet is_async of the body."""
    assert [place for place, schema in SCHEMAS if "default" in schema] == []
    (limit,) = [one for one in PATHS["/runs"]["get"]["parameters"] if one["name"] == "limit"]
    assert limit["description"].endswith("Default: `100`.")


def test_every_list_says_what_is_in_it() -> None:
    arrays = [(place, schema) for place, schema in SCHEMAS if "array" in (schema.get("type"), *schema.get("type", []))]
    assert [place for place, schema in arrays if "items" not in schema] == []


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation.said["operationId"] for operation in OPERATIONS]
    assert len(set(names)) == len(names)


@each_operation
def test_every_operation_is_described_with_examples(operation: Operation) -> None:
    said = operation.said
    assert said["summary"]
    assert said["description"]
    assert said["tags"]
    assert all(answer["description"] for answer in operation.answers.values())
    for parameter in said.get("parameters", []):
        assert parameter.get("description"), parameter["name"]
    answered = [content for name, content in operation.contents if name.startswith("2")]
    assert all(content.get("examples") for content in answered)
    if sent := said.get("requestBody", {}).get("content", {}).get("application/json"):
        assert sent.get("examples") or "required" not in resolved(sent["schema"])


@each_operation
def test_every_operation_names_its_problems(operation: Operation) -> None:
    answers = operation.answers
    refusals = {status: answer for status, answer in answers.items() if status >= "400"}
    if operation.said["operationId"] in OPEN:
        return
    assert {"429", "503"} <= refusals.keys()
    assert ("401" in refusals) == (operation.said["operationId"] not in CAPABLE)
    for answer in refusals.values():
        assert list(answer["content"]) == [PROBLEM]
        assert answer["content"][PROBLEM]["examples"]
    assert "401" not in refusals or "WWW-Authenticate" in answers["401"]["headers"]
    assert "Retry-After" in answers["429"]["headers"]
    assert "Retry-After" in answers["503"]["headers"]
    if "requestBody" in operation.said:
        assert {"400", "413", "415"} <= refusals.keys()
        assert ("411" in refusals) == (operation.said["operationId"] not in CHUNKED)
    if operation.method != "get" and {"cookieAuth": []} in operation.said.get("security", []):
        assert "403" in refusals  # a browser's session without its CSRF token


@each_operation
def test_examples_are_what_the_schemas_say(operation: Operation) -> None:
    for name, content in operation.contents:
        check(content, name)
    for parameter in operation.said.get("parameters", []):
        inner = parameter.get("content", {}).get("application/json", parameter)
        check(inner, parameter["name"])


def check(content: Mapping[str, Any], name: str) -> None:
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    for example in content.get("examples", {}).values():
        faults = [error.message for error in Draft202012Validator(schema).iter_errors(example["value"])]
        assert faults == [], name


def test_it_is_made_once(anonymous: Person) -> None:
    assert document() is document()
    answer = anonymous.get("/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT


class TestThePage:
    def test_it_asks_nothing_of_other_servers(self, anonymous: Person) -> None:
        page = anonymous.get("/docs/")
        text = page.content.decode()
        assert page.status_code == 200
        assert not re.search(r"(?:https?:)?//[a-z0-9]", re.sub(r"^\s*//.*$", "", text, flags=re.M))
        assert '"validatorUrl": null' in text
        policy = page["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert not re.search(r"https?:|\*", policy)

    def test_what_it_needs_is_here(self, anonymous: Person) -> None:
        text = anonymous.get("/docs/").content.decode()
        needed = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert len(needed) >= 4
        for address in [*needed, "/openapi.json"]:
            answer = anonymous.get(address)
            assert answer.status_code == 200, address
            answer.close()

    def test_what_it_refuses_is_a_problem(self, anonymous: Person) -> None:
        for method in ("POST", "OPTIONS", "DELETE"):
            answer = anonymous.call(method, "/docs/")
            assert (answer.status_code, answer["Content-Type"]) == (405, PROBLEM)
            assert answer.json()["status"] == 405
