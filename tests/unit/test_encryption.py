"""What is encrypted at rest: opened by each of the keys, closed by the newest, and by no other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.models import ExtractionTask
from taskhub.errors import Unavailable
from taskhub.security.encryption import decrypted, encrypted

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_what_was_closed_is_opened(value: Any) -> None:
    closed = encrypted(value)
    assert decrypted(closed) == value
    assert closed.isascii()


def test_nothing_of_it_can_be_read(settings: Any) -> None:
    assert "canary" not in encrypted({"password": "canary"})
    assert encrypted("same") != encrypted("same")


def test_keys_may_be_changed(settings: Any) -> None:
    settings.SECRET_KEYS = ["old"]
    closed = encrypted("secret")
    settings.SECRET_KEYS = ["new", "old"]
    assert decrypted(closed) == "secret"
    again = encrypted("secret")
    settings.SECRET_KEYS = ["new"]
    assert decrypted(again) == "secret"
    with pytest.raises(Unavailable, match="TASKHUB_SECRET_KEY"):
        decrypted(closed)


def test_a_field_is_decrypted_when_it_is_used(settings: Any) -> None:
    """A row is loaded without the key; each use after the first finds the value as it is, also when it was changed."""
    settings.SECRET_KEYS = ["old"]
    names = [field.attname for field in ExtractionTask._meta.concrete_fields]
    field: Any = ExtractionTask._meta.get_field("payload")
    loaded = field.from_db_value(encrypted({"key": ["canary"]}), None, None)
    row = ExtractionTask.from_db("default", names, [loaded if name == "payload" else None for name in names])
    assert "canary" not in repr(row.__dict__)
    assert field.get_prep_value(row.__dict__["payload"]) == loaded.text  # what was not used is stored as it is
    settings.SECRET_KEYS = ["new"]
    with pytest.raises(Unavailable, match="TASKHUB_SECRET_KEY"):
        assert row.payload
    settings.SECRET_KEYS = ["new", "old"]
    row.payload["key"].append("more")
    assert row.payload == {"key": ["canary", "more"]}
    row.payload = None
    assert row.payload is None
