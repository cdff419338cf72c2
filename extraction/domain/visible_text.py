"""The text of an element as somebody who looks at the page reads it (HTML standard, innerText). Pure.

Elements are told by their names alone: what a style sheet hides or moves is not known here.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborNode

TEXT_NODE = "-text"
_HIDDEN = (
    "script style template noscript noframes noembed iframe head title desc metadata datalist rp audio video canvas"
)
_BLOCKS = """
address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure footer
form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p plaintext pre
search section select summary table tbody tfoot thead tr ul xmp
"""
# Not shown, whatever is in them; the text of a match that is such an element itself is what it holds.
HIDDEN = frozenset(_HIDDEN.split())
BLOCKS = frozenset(_BLOCKS.split())
CELLS = frozenset({"td", "th"})
PARAGRAPH = "p"  # has an empty line before and after it
KEEPS_SPACE = frozenset({"pre", "textarea", "listing", "plaintext", "xmp"})

_TAG = re.compile("<([a-z][a-z0-9]*)")
_BREAKS = CELLS | BLOCKS | {"br"}
_NOT_PLAIN = HIDDEN | _BREAKS
_SPACES = re.compile(r"[ \t\n\r\f]+")


def text_of(node: LexborNode) -> str:
    """The text of an element, on one line as far as its source is: where a line breaks or a block begins is a space.

    White space of the source stays as it is.
    """
    content = node.inner_html or ""  # takes less time than the text
    if "<" not in content:
        return node.text() if "&" in content else content
    if _NOT_PLAIN.isdisjoint(_TAG.findall(content)) or node.tag in HIDDEN:
        return node.text()
    text, breaks = "", False
    pieces: list[str] = []
    for inner, entered in _walk(node):
        if inner.tag != TEXT_NODE:
            breaks = breaks or inner.tag in _BREAKS
        elif entered and (piece := inner.text_content or ""):
            if breaks and text and not (text[-1].isspace() or piece[0].isspace()):
                pieces.append(" ")
            pieces.append(text := piece)
            breaks = False
    return "".join(pieces)


def lines_of(node: LexborNode) -> str:
    """The text of an element in lines: each `<br>` and block begins one, paragraphs have an empty line between them,
    and cells of a row a tab. White space of the source is one space, except in `<pre>`."""
    if node.tag in HIDDEN:
        return node.text()
    lines = _Lines()
    kept = sum(outer.tag in KEEPS_SPACE for outer in _around(node))
    rows: set[int] = set()  # in which a cell was entered
    for inner, entered in _walk(node):
        tag = inner.tag
        if tag == TEXT_NODE:
            if entered:
                lines.add(inner.text_content or "", keeps_space=kept > 0)
        elif tag == "br":
            lines.break_line(entered)
        elif tag in CELLS and entered:
            row = inner.parent.mem_id if inner.parent else 0
            if row in rows:
                lines.add_tab()
            rows.add(row)
        elif tag in BLOCKS:
            lines.begin_block(2 if tag == PARAGRAPH else 1)
        if tag in KEEPS_SPACE:
            kept += 1 if entered else -1
    return lines.text()


def _walk(node: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """What is shown in an element, in the page's order, each twice: when it is entered (True), and when it is left."""
    end, current = node.mem_id, node.child
    while current is not None:
        hidden = current.tag in HIDDEN
        if not hidden:
            yield current, True
            if (child := current.child) is not None:
                current = child
                continue
        while current is not None:
            if not hidden:
                yield current, False
            hidden = False
            if (following := current.next) is not None:
                current = following
                break
            current = current.parent
            if current is None or current.mem_id == end:
                return


def _around(node: LexborNode) -> Iterator[LexborNode]:
    current: LexborNode | None = node
    while current is not None:
        yield current
        current = current.parent


class _Lines:
    """Text in lines, as it is put together: `breaks` and `space` are what comes before the next text, if one comes."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._breaks = 0
        self._space = False
        self._line_begins = True

    def add(self, text: str, *, keeps_space: bool) -> None:
        if keeps_space:
            self._append(text)
            return
        words = _SPACES.sub(" ", text)
        self._space |= words[:1] == " " and not self._line_begins
        if stripped := words.strip(" "):
            self._append(stripped)
            self._space = words[-1] == " "

    def _append(self, text: str) -> None:
        if self._pieces and self._breaks:
            self._pieces.append("\n" * self._breaks)
        elif self._space:
            self._pieces.append(" ")
        self._pieces.append(text)
        self._breaks, self._space, self._line_begins = 0, False, False

    def break_line(self, entered: bool) -> None:
        self._breaks += entered
        self._space, self._line_begins = False, True

    def begin_block(self, breaks: int) -> None:
        self._breaks = max(self._breaks, breaks)
        self._space, self._line_begins = False, True

    def add_tab(self) -> None:
        self._space = False
        self._append("\t")
        self._line_begins = True

    def text(self) -> str:
        return "".join(self._pieces)
