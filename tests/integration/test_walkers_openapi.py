"""What /openapi.json says about the calls and about each walker."""

from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field

from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.http.registry import functions

pytestmark = pytest.mark.django_db


class Item(BaseModel):
    price: Annotated[float, Field(gt=0)]


class Basket(Walker):
    """Adds up a basket."""

    items: list[Item]

    def visit(self, here: Place) -> None:
        self.report(sum(item.price for item in self.items))


@pytest.fixture
def document(anonymous: Person) -> Any:
    with installed(Basket):
        return anonymous.get("/openapi.json").json()


def resolved(document: Any, schema: Any) -> Any:
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_the_document_is_valid(document: Any) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_each_call_has_its_own_operations(document: Any) -> None:
    for function in functions():
        folder = "js_admin" if function.scope == "admin" else "js"
        operations = document["paths"][f"/{folder}/{function.name}"]
        assert set(operations) == {"get", "post"}
        for method, operation in operations.items():
            assert operation["summary"] == function.summary
            assert operation["description"]
            assert {"200", "400", "401", "429", "503"} <= operation["responses"].keys(), (function.name, method)
            assert operation["security"]
        names = {one["name"] for one in operations["get"].get("parameters", []) if one["in"] == "query"}
        assert names == set(function.arguments_schema.names)


def test_each_walker_has_an_entry_with_its_ctx(document: Any, owner: Person) -> None:
    with installed(Basket):
        walkers = owner.get("/js/walker_list").json()["results"]
    for walker in walkers:
        entry = document["paths"][f"/js/wapi/{walker['name']}"]
        assert entry["post"]["description"] == walker["description"]
        body = resolved(document, entry["post"]["requestBody"]["content"]["application/json"]["schema"])
        ctx = resolved(document, body["properties"]["ctx"])
        assert ctx["properties"].keys() == walker["schema"]["properties"].keys()
        assert "name" not in body["properties"]
    assert "/js/wapi/{walker}" in document["paths"]
    identifiers = [one["operationId"] for entry in document["paths"].values() for one in entry.values()]
    assert len(set(identifiers)) == len(identifiers)


def test_a_walkers_ctx_is_described_with_all_it_refers_to(document: Any) -> None:
    entry = document["paths"]["/js/wapi/basket"]
    schema = {"$ref": "#/paths/~1js~1wapi~1basket/post/requestBody/content/application~1json/schema", **document}
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"ctx": {"items": [{"price": 2.5}]}})
    assert not validator.is_valid({"ctx": {"items": [{"price": 0}]}})
    assert not validator.is_valid({"ctx": {}})
    assert not validator.is_valid({})
    assert entry["post"]["requestBody"]["required"] is True
    (ctx,) = [one for one in entry["get"]["parameters"] if one["name"] == "ctx"]
    assert ctx["required"] is True
    assert "application/json" in ctx["content"]


def test_a_components_title_is_its_name(document: Any) -> None:
    """Generators of clients name classes by titles, and two walkers may have an `Item` each."""
    schemas = document["components"]["schemas"]
    assert "basket.ctx.Item" in schemas
    assert [name for name, schema in schemas.items() if schema.get("title", name) != name] == []


def test_examples_are_what_the_schemas_say(document: Any) -> None:
    seen = 0
    for entry in document["paths"].values():
        for operation in entry.values():
            contents = operation.get("requestBody", {}).get("content", {})
            for content in contents.values():
                for example in content.get("examples", {}).values():
                    schema = {**content["schema"], "components": document["components"]}
                    Draft202012Validator(schema).validate(example["value"])
                    seen += 1
    assert seen >= 10
