"""Whatever an exception is and says, it becomes a type and a message that can be stored, and shown."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.error_texts import MESSAGE_MAX, NO_WORDS, TYPE_MAX, error_of, storable
from taskhub.runs.domain import Interrupted


def error_that_says(words: Any) -> type[Exception]:
    """A class of errors whose `__str__` gives this, or raises it."""

    def say(self: Exception) -> Any:
        if isinstance(words, BaseException):
            raise words
        return words

    return type("Odd", (ValueError,), {"__str__": say})


class ShyMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("It has no name.")


class Shy(Exception, metaclass=ShyMeta):
    pass


class Slippery(str):
    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("It cannot be cut.")


GROUP = BaseExceptionGroup("both", [ValueError("a\x00"), ExceptionGroup("inner", [KeyError("b")]), SystemExit(3)])


@pytest.mark.parametrize(
    ("error", "type_", "message"),
    [
        (ValueError("There is no tea."), "ValueError", "There is no tea."),
        (ValueError("a\x00b"), "ValueError", "a\ufffdb"),
        (ValueError("a\ud800b\udfff"), "ValueError", "a\ufffdb\ufffd"),
        (KeyError("customer"), "KeyError", "'customer'"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError("x" * 10**7), "ValueError", "x" * MESSAGE_MAX),
        (error_that_says("y" * 10**7)(), "Odd", "y" * MESSAGE_MAX),
        (error_that_says(Slippery("words"))(), "Odd", "words"),
        (error_that_says(RuntimeError("no words"))("its argument"), "Odd", "its argument"),
        (error_that_says(SystemExit(1))("its argument"), "Odd", "its argument"),
        (error_that_says(KeyboardInterrupt())("its argument"), "Odd", "its argument"),
        (error_that_says(None)("its argument"), "Odd", "its argument"),
        (error_that_says(b"bytes")("its argument"), "Odd", "its argument"),
        (error_that_says(RuntimeError())(error_that_says(RuntimeError())()), "Odd", NO_WORDS),
        (Shy("where?"), "Shy", "where?"),
        (type("Long" * 1000, (Exception,), {})("why?"), ("Long" * 1000)[:TYPE_MAX], "why?"),
        (SystemExit("bye"), "SystemExit", "bye"),
        (SystemExit(3), "SystemExit", "3"),
        (GROUP, "BaseExceptionGroup", None),
    ],
)
def test_an_error_has_a_type_and_a_message(error: BaseException, type_: str, message: str | None) -> None:
    said = error_of(error)
    assert said["type"] == type_
    assert said["message"] == message or message is None
    assert json.dumps(said, ensure_ascii=False).encode()


def test_a_group_says_what_is_in_it() -> None:
    inner = "ValueError: a\ufffd; ExceptionGroup: inner (1 sub-exception): KeyError: 'b'; SystemExit: 3"
    assert error_of(GROUP)["message"] == f"both (3 sub-exceptions): {inner}"


def test_a_group_of_groups_ends() -> None:
    group: Exception = ValueError("innermost")
    for _ in range(100):
        group = ExceptionGroup("deeper", [group] * 100)
    assert len(error_of(group)["message"]) == MESSAGE_MAX


def test_the_hubs_own_interruption_passes() -> None:
    with pytest.raises(Interrupted):
        error_of(error_that_says(Interrupted())())


@given(st.text(st.characters(), max_size=50))
def test_what_is_storable_is_utf_8_without_u_0000_and_else_as_it_was(text: str) -> None:
    kept = storable(text)
    assert len(kept) == len(text)
    assert "\x00" not in kept
    assert kept.encode().decode() == kept
    assert all(new in (old, "\ufffd") for old, new in zip(text, kept, strict=True))
