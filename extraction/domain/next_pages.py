"""Which of the links that a paginator selects leads on: a pager may also lead back, or name all pages. Pure."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from extraction.domain.page_addresses import BaseAddress, fetchable_address, normal_address
from extraction.domain.page_sources import PageSource

LINKS_MAX = 100  # that are looked at
NUMBER_MAX = 15  # digits
_NUMBER = re.compile(r"(\d+)")


def next_addresses(
    nodes: Sequence[Any], attr: str, source: PageSource, base: BaseAddress, here: str, *, rendered: bool = False
) -> list[str]:
    """The addresses that may be the next page of the list, the likeliest first.

    A link is told by its relation (`rel`), by the one number in which its address differs from that of the page, or
    by the order in which it stands. Links to where the page itself is, and to the page before, are left out. In a page
    that was `rendered`, a link to another part of it was clicked already (see `PageActions`).
    """
    links: dict[str, Any] = {}
    for node in nodes[:LINKS_MAX]:
        value = source.attribute(node, attr)
        if not value or (rendered and value.startswith("#")):
            continue
        if url := fetchable_address(base.absolute(value), rendered=rendered):
            links.setdefault(url, node)
    if len(links) < 2:
        return list(links)
    here = normal_address(here)
    related: list[str] = []
    ahead: list[tuple[int, str]] = []
    behind: list[tuple[int, str]] = []
    others: list[str] = []
    first: list[str] = []
    for url, node in links.items():
        relations = (node.attributes.get("rel") or "").lower().split()
        step = _step(here, normal_address(url))
        if "next" in relations:
            related.append(url)
        elif "prev" in relations or node.attributes.get("aria-current") or step == 0:
            continue
        elif step is not None:
            (ahead if step > 0 else behind).append((abs(step), url))
        else:
            (first if (source.text(node) or "").strip() == "1" else others).append(url)
    # The nearest one behind is the next of a list that counts down, in which those ahead have been read.
    return [*related, *(url for _, url in sorted(ahead)), *others, *(url for _, url in sorted(behind)[:1])] or first


def _step(here: str, there: str) -> int | None:
    """How much larger the one number is in which two addresses differ; 0 for the same, None where more differs."""
    steps: list[int] = []
    for place, (one, other) in enumerate(zip_longest(_NUMBER.split(here), _NUMBER.split(there))):
        if one == other:
            continue
        if place % 2 == 0 or not (one and other) or max(len(one), len(other)) > NUMBER_MAX:
            return None
        steps.append(int(other) - int(one))
    return sum(steps) if len(steps) < 2 else None
