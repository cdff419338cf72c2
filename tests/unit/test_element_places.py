"""Positions among siblings: found as the parser finds them, but in linear time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from extraction.domain.element_places import TAGS_LEAST, ElementPlaces

KINDS = ("nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type")
PLACES = ("odd", "EVEN", "n", "-n+3", "+2n-1", "3n + 2", "-2n+5", "4", "+1", "0n+2", "0", "n+2", "-3")
TREES = st.recursive(
    st.sampled_from(["", "text", "<br>", "<!-- c -->"]),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>", st.sampled_from("bip"), st.lists(inner, max_size=6)
    ),
    max_leaves=25,
)


@given(TREES, st.sampled_from(KINDS), st.sampled_from(PLACES), st.sampled_from(["{}", "p{} b", "b > {}", "i:not({})"]))
def test_what_is_found_is_what_the_parser_finds(tree: str, kind: str, place: str, around: str) -> None:
    selector = around.format(f":{kind}({place})")
    page = LexborHTMLParser(f"<body>{tree}")
    before = page.html
    found = [node.mem_id for node in ElementPlaces(page, TAGS_LEAST).find(selector)]
    assert page.html == before
    assert found == [node.mem_id for node in page.css(selector)]


@pytest.mark.parametrize(
    ("selector", "texts"),
    [
        ("li:nth-child(2)", ["b"]),
        ("li:nth-child(2):nth-last-child(2)", ["b"]),
        ("li:nth-child(1), li:nth-child( 3 )", ["a", "c"]),
        ("li[title=':nth-child(2)']", ["c"]),
        ('li[title=":nth-child(2)"]', ["c"]),
        (r".\:nth-child\(2\)", ["a"]),
        ("li:NTH-CHILD(ODD)", ["a", "c"]),
    ],
)
def test_selectors_as_they_are_written(selector: str, texts: list[str]) -> None:
    page = LexborHTMLParser('<ul><li class=":nth-child(2)">a<li>b<li title=":nth-child(2)">c')
    assert [node.text().strip() for node in ElementPlaces(page, TAGS_LEAST).find(selector)] == texts


def test_a_small_page_is_left_to_the_parser() -> None:
    page = LexborHTMLParser("<ul><li>a<li>b")
    assert len(ElementPlaces(page, 3).find("li:nth-child(2)")) == 1
