"""What is encrypted at rest: opened by each of the keys, closed by the newest, and by no other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
