"""Values that are known to be secret are sealed where they are stored, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.errors import Unavailable
from taskhub.runs.models import Run
from taskhub.security.masking import MASK, hiding_texts, mask_all, secrets_of
from taskhub.security.sealed_values import SEALED, SealedTextField, seal, unseal

CANARY = "Zq7canary"
NAMES = st.sampled_from(["password", "X-API-Key", "name", "token", "a", SEALED, "cookies"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(f"Bearer {CANARY * 3}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_was_sealed_is_opened(value: Any) -> None:
    assert unseal(json.loads(json.dumps(seal(value)))) == value


@pytest.mark.parametrize(
    "value",
    [
        {"password": CANARY},
        {"headers": {"Authorization": f"Basic {CANARY}"}},
        {"deep": [{"clientSecret": {"a": [CANARY]}}]},
        {"credential": [CANARY]},
        {"url": f"https://user:{CANARY}@shop.example/"},
        {"url": f"https://shop.example/?api_key={CANARY}"},
        {"text": f'{{"password": "{CANARY}"}}'},
        {"password": CANARY, "again": f"it is {CANARY}."},
        [{"password": CANARY}, CANARY],
    ],
)
def test_nothing_secret_is_stored_in_clear(value: Any) -> None:
    stored = json.dumps(seal(value))
    assert CANARY not in stored
    assert unseal(json.loads(stored)) == value
    assert CANARY not in json.dumps(mask_all(value, frozenset({CANARY})))


def test_what_is_not_secret_stays_as_it_is() -> None:
    value = {"name": "echo", "nd": "urn:uuid:1", "ctx": {"count": 3, "password": "", "token": None, "tags": ["a"]}}
    assert seal(value) is not value
    assert seal(value) == value


def test_secrets_of_what_it_belongs_to_are_sealed_too() -> None:
    assert CANARY not in json.dumps(seal({"report": [f"<{CANARY}>"]}, frozenset({CANARY})))


def test_what_is_hidden_from_the_log_is_sealed_and_stays_secret_where_it_goes_on_to() -> None:
    """As the secrets of the store are, which a sequence passes to a walker under any name."""
    value = {"name": "echo", "ctx": {"value": CANARY, "words": [f"<{CANARY}>"]}}
    with hiding_texts(frozenset({CANARY})):
        stored = json.loads(json.dumps(seal(value)))
    assert CANARY not in json.dumps(stored)
    assert stored["name"] == "echo"
    opened = unseal(stored)
    assert opened == value
    assert CANARY in secrets_of(opened)
    assert CANARY not in json.dumps(seal(opened))
    assert CANARY not in json.dumps(seal({"report": [CANARY]}, Run(arguments=opened).secrets))


def test_what_a_user_sends_is_not_taken_for_a_sealed_value() -> None:
    """Or whoever has read the database could have its secrets opened for him."""
    stolen = seal({"password": CANARY})["password"]
    assert stolen.keys() == {SEALED}
    sent = {"value": stolen, "deep": [{SEALED: "junk", "more": 1}]}
    assert unseal(json.loads(json.dumps(seal(sent)))) == sent


def test_a_field_opens_it_when_it_is_used(settings: Any) -> None:
    settings.SECRET_KEYS = ["old"]
    field: Any = Run._meta.get_field("arguments")
    stored = json.dumps(seal({"password": CANARY, "name": "echo"}))
    run = Run(arguments=field.from_db_value(stored, None, None))
    assert CANARY not in repr(run.__dict__)
    settings.SECRET_KEYS = ["new"]
    assert run.secrets == frozenset()
    with pytest.raises(Unavailable, match="TASKHUB_SECRET_KEY"):
        assert run.arguments
    settings.SECRET_KEYS = ["new", "old"]
    assert run.arguments == {"password": CANARY, "name": "echo"}
    assert field.from_db_value('{"password": "of an older version"}', None, None) == {"password": "of an older version"}


def test_addresses_are_sealed_if_they_hold_a_secret() -> None:
    field = SealedTextField()
    plain, secret = "https://shop.example/list?page=2", f"https://shop.example/?token={CANARY}"
    assert field.get_prep_value(plain) == plain
    assert field.get_prep_value("") == ""
    stored = field.get_prep_value(secret)
    assert stored is not None
    assert CANARY not in stored
    assert field.from_db_value(stored, None, None).open() == secret  # type: ignore[union-attr]
    assert field.from_db_value(secret, None, None) == secret  # as an older version stored it


def test_masks_and_seals_agree() -> None:
    value = {"a": f"Bearer {CANARY * 3}", "password": "x"}
    masked, sealed = mask_all(value), seal(value)
    assert (masked["password"], masked["a"]) == (MASK, f"Bearer {MASK}")
    assert all(isinstance(inner, dict) for inner in sealed.values())
