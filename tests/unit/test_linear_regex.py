"""Patterns are RE2's: what is none is refused in RE2's words."""

import pytest

from taskhub.linear_regex import InvalidPattern, compile_pattern


def test_a_pattern_matches_with_or_without_groups() -> None:
    match = compile_pattern("a(b+)").search("xabbb")
    assert match is not None
    assert match[1] == "bbb"
    assert compile_pattern("a(b+)", captures=False).search("xabbb")


@pytest.mark.parametrize(
    ("text", "words"), [("(", "missing )"), ("(?=a)", "invalid perl operator"), ("a{2000}", "invalid repetition size")]
)
def test_what_is_no_pattern_is_refused_in_re2s_words(text: str, words: str) -> None:
    with pytest.raises(InvalidPattern, match=words.replace(")", r"\)")):
        compile_pattern(text)


def test_a_pattern_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(InvalidPattern, match="too large"):
        compile_pattern(r"\pL{1000}")
