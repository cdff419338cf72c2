"""The text of an element: nothing is glued together, nothing shows that is not shown; on one line, or in lines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.visible_text import lines_of, text_of

# An element's content, its text, and its lines, which are what browsers have as its innerText, where they are given.
TEXTS = {
    "letters": ("plain", "plain", "plain"),
    "entities": ("a &amp; b &lt;c&gt;", "a & b <c>", "a & b <c>"),
    "a space that does not break": ("a&nbsp;b", "a\xa0b", "a\xa0b"),
    "inline elements": ("un<b>believ</b><i>able</i>", "unbelievable", "unbelievable"),
    "a line break": ("a<br>b", "a b", "a\nb"),
    "a line break as of XHTML": ("a<br/>b", "a b", "a\nb"),
    "line breaks with space": ("a <br> b", "a  b", "a\nb"),
    "two line breaks": ("a<br><br>b", "a b", "a\n\nb"),
    "line breaks at the ends, which browsers keep": ("<br>a<br>", "a", None),
    "paragraphs": ("<p>a</p><p>b</p>", "a b", "a\n\nb"),
    "paragraphs and space": ("<p>a</p>\n  <p>b</p>", "a\n  b", "a\n\nb"),
    "blocks": ("<div>a</div><div>b</div>c", "a b c", "a\nb\nc"),
    "blocks in each other": ("<div><section><h2>a</h2></section></div><div>b</div>", "a b", "a\nb"),
    "a list": ("<ul><li>a</li><li>b</li></ul>", "a b", "a\nb"),
    "a list of definitions": ("<dl><dt>a</dt><dd>b</dd></dl>", "a b", "a\nb"),
    "a rule": ("a<hr>b", "a b", "a\nb"),
    "a table": (
        "<table><tr><th>a</th><td>b</td></tr><tr><td>c</td><td></td><td>d</td></tr></table>",
        "a b c d",
        "a\tb\nc\t\td",
    ),
    "a break in an inline element": ("<b>a<br>b</b>c", "a bc", "a\nbc"),
    "a possible break": ("a<wbr>b", "ab", "ab"),
    "space": ("  a \n\t b  <b> c</b>", "  a \n\t b   c", "a b c"),
    "no space at all": ("<b>a</b> <b>b</b>", "a b", "a b"),
    "space between blocks": ("<div>a </div> <div> b</div>", "a   b", "a\nb"),
    "text that is set": ("<pre>a\n  b</pre>c", "a\n  b c", "a\n  b\nc"),
    "a script": ("a<script>var b = '<p>c</p>'</script>d", "ad", "ad"),
    "a style": ("<style>p { color: red }</style>a", "a", "a"),
    "a template": ("a<template><p>b</p></template>c", "ac", "ac"),
    "a comment": ("a<!-- <p>b</p> -->c", "ac", "ac"),
    "markup in an attribute": ('<b title="<p>">a</b>b', "ab", "ab"),
    "a script in a block": ("<div>a<script>b()</script></div><div>c</div>", "a c", "a\nc"),
    "a name in a drawing": ("<svg><title>a</title></svg>b", "b", "b"),
    "ruby": ("<ruby>a<rp>(</rp><rt>b</rt><rp>)</rp></ruby>", "ab", None),
    "what shows without scripts": ("a<noscript><p>b</p></noscript>c", "ac", None),
    "choices": ("<select><option>a</option><option>b</option></select>", "a b", None),
}


def element(content: str, name: str = "section") -> LexborNode:
    node = LexborHTMLParser(f"<!doctype html><body><{name}>{content}</{name}>").css_first(name)
    assert node is not None
    return node


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_of(name: str) -> None:
    content, text, lines = TEXTS[name]
    assert text_of(element(content)) == text
    if lines is not None:
        assert lines_of(element(content)) == lines


@pytest.mark.parametrize("name", ["script", "style", "noscript", "title"])
def test_what_is_not_shown_has_its_text_where_it_is_asked_for(name: str) -> None:
    page = LexborHTMLParser(f"<head><{name}>a &lt;</{name}>")
    node = page.css_first(name)
    assert node is not None
    assert text_of(node) == lines_of(node) == node.text()


@pytest.mark.parametrize("name", ["pre", "textarea"])
def test_text_that_is_set_stays_as_it_is(name: str) -> None:
    assert lines_of(element("<i>a\n  b</i>" if name == "pre" else "a\n  b", name)) == "a\n  b"
    assert text_of(element("\n\n  b\n", name)) == element("\n\n  b\n", name).text()


def test_cells_of_a_table_in_a_table_stay_in_their_rows() -> None:
    inner = "<table><tr><td>x</td><td>y</td></tr></table>"
    node = element(f"<table><tr><td>a</td><td>{inner}</td><td>b</td></tr></table>")
    assert lines_of(node) == "a\t\nx\ty\n\tb"


WORDS = st.text("abc<>&\xa0é ", min_size=1, max_size=5)
INLINE, BLOCK = st.sampled_from(["a", "b", "i", "span"]), st.sampled_from(["div", "p", "li", "h3", "td", "pre"])
HIDDEN = st.sampled_from(["<script>no()</script>", "<style>no</style>", "<!--no-->", "<template>no</template>"])


def written(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


CONTENTS = st.recursive(
    WORDS.map(written) | HIDDEN | st.just("<br>"),
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", INLINE | BLOCK, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(CONTENTS, max_size=4).map("".join))
def test_lines_and_text_have_the_same_letters_whatever_is_in_an_element(content: str) -> None:
    node = element(content)  # which no end of an inner element closes
    shown = LexborHTMLParser(re.sub(r"<(script|style|template)>.*?</\1>", "", content)).text()
    text, lines = text_of(node), lines_of(node)
    assert "".join(text.split()) == "".join(lines.split()) == "".join(shown.split())
    assert text.split() == lines.split()


@given(st.lists(st.text("abcé", min_size=1, max_size=5), min_size=1, max_size=6), BLOCK)
def test_words_of_several_blocks_are_never_glued(words: list[str], name: str) -> None:
    inner = "".join(f"<{name}>{word}</{name}>" for word in words)
    node = element(f"<table><tr>{inner}</tr></table>" if name == "td" else inner)
    assert text_of(node) == " ".join(words)
    assert lines_of(node).split() == words


@given(st.text(max_size=30).map(written))
def test_a_text_alone_is_the_text(content: str) -> None:
    node = element(content)
    assert text_of(node) == node.text()
