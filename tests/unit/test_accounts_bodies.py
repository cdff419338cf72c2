"""What the account calls say of themselves, and the pure parts of keys. No database."""

from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate

from taskhub.accounts.models import PREFIX, ApiKey, User, hashed, new_key
from taskhub.accounts.serializers import SignInSerializer

METHODS = {"get", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> Any:
    GENERATOR_STATS.reset()
    generator: Any = SchemaGenerator
    made = generator(urlconf="taskhub.accounts.api").get_schema(public=True)
    assert not GENERATOR_STATS, "drf-spectacular had to guess"
    return made


def operations(document: Any) -> list[dict[str, Any]]:
    return [one for path in document["paths"].values() for method, one in path.items() if method in METHODS]


def answers_of(operation: dict[str, Any], document: Any) -> dict[str, Any]:
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in operation["responses"].items()
    }


def test_document_is_valid(document: Any) -> None:
    validate(document)
    assert len(operations(document)) == 9


def test_every_call_is_described_with_examples(document: Any) -> None:
    for operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for body in [*bodies, *answers_of(operation, document).values()]:
            for content in body.get("content", {}).values():
                assert content["schema"]
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            assert set(content) == {"application/json"}
            assert content["application/json"]["examples"]


def test_every_call_names_its_problems(document: Any) -> None:
    for operation in operations(document):
        answers = answers_of(operation, document)
        assert {"401", "429", "503"} <= set(answers)
        assert ({"400", "413", "415"} <= set(answers)) or "requestBody" not in operation
        for status, answer in answers.items():
            if int(status) >= 400:
                assert set(answer["content"]) == {"application/problem+json"}
                assert answer["content"]["application/problem+json"]["examples"]
        assert "Retry-After" in answers["429"]["headers"]
        assert "WWW-Authenticate" in answers["401"]["headers"]


def test_bodies_that_refuse_unknown_fields_say_so(document: Any) -> None:
    schemas = document["components"]["schemas"]
    strict = {name for name, schema in schemas.items() if schema.get("additionalProperties") is False}
    assert strict == {"SignUpRequest", "SignInRequest", "PatchedChangeRequest", "NewKeyRequest"}


def test_both_kinds_of_credential_are_described(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    listed = document["paths"]["/user/apikey"]["get"]["security"]  # a key with the scope that the call needs
    assert listed[:3] == [{"token": []}, {"apiKeyHeader": ["read"]}, {"apiKeyQuery": ["read"]}]


def test_keys_differ_and_fit_their_column() -> None:
    made = [new_key() for _ in range(50)]
    assert len(set(made)) == 50
    for key, prefix in made:
        assert key.startswith(f"{prefix}_")
        assert PREFIX.fullmatch(prefix)
        row = ApiKey(prefix=prefix, hash=hashed(key), user=User(email="ada@example.com"))
        row.clean_fields(exclude=["user"])


def test_jid() -> None:
    user = User(email="ada@example.com")
    assert user.jid == f"urn:uuid:{user.pk}"
    assert (user.get_short_name(), str(user)) == ("ada@example.com", "ada@example.com")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"email": JSON, "password": JSON, "more": JSON}) | JSON)
def test_whatever_is_sent_is_read_or_refused(body: Any) -> None:
    serializer = SignInSerializer(data=body)
    if serializer.is_valid():
        assert set(body) == {"email", "password"}
        assert all(isinstance(value, str) for value in body.values())
        assert serializer.validated_data["password"] == body["password"]
    else:
        assert serializer.errors
