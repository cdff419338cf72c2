"""Suggests payloads for a page: its blocks that repeat, with the fields in them. Pure.

Each suggestion is tried on the page as a process would read it. So its records are what it says, and what does not read
well is left out, however promising it looked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from extraction.domain.findings import has_value
from extraction.domain.found_nodes import find_nodes
from extraction.domain.html_source import HtmlSource, MirroredHtmlSource
from extraction.domain.json_source import find_linked_data, parse_answer
from extraction.domain.page_reader import Record, read_nodes
from extraction.domain.page_sources import HTML, JSON, JSON_LD, XML, PageContent, PageSource, source_kind
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.suggestion.block_groups import BlockGroup, find_groups, nests
from extraction.domain.suggestion.block_slots import Slot, find_slots, sampled_blocks
from extraction.domain.suggestion.data_lists import DataList, find_linked_lists, find_lists
from extraction.domain.suggestion.element_lists import find_element_lists, is_feed, title_of_feed
from extraction.domain.suggestion.page_outline import PageOutline
from extraction.domain.suggestion.pager_links import find_paginator
from extraction.domain.suggestion.slot_fields import fields_of
from extraction.domain.visible_text import text_of
from extraction.domain.xml_source import XmlSource
from taskhub.errors import Rejected

SUGGESTIONS_MAX = 5
RECORDS_MAX = 5  # of each suggestion
TRIED_MAX = 10
ELEMENTS_TRIED = 200_000  # of a page, times the suggestions that are tried on it
BLOCKS_COUNTED = 40  # more do not make a list better
NAME_MAX = 200  # characters
SAME_SHARE = 0.6  # of values that two suggestions have in common, from which on they are the same
SCORE_LEAST = 0.01
SCORE_HALF = 6.0  # of what a list is worth, at which the score is 0.5


@dataclass
class Suggestion:
    """A payload, its first records, and how likely it is what somebody wants, from 0 to 1."""

    payload: dict[str, Any]
    records: list[Record]
    score: float


@dataclass
class _Draft:
    """The rule of a suggestion that is to be tried, and what it is worth so far."""

    rule: dict[str, Any]
    worth: float
    source: PageSource


def suggest(content: PageContent, request: Mapping[str, Any], *, rendered: bool = False) -> list[Suggestion]:
    """Suggests payloads for a page, the best first. `request` is what they ask for the page with.

    Raises `PageFailure` for JSON or XML that is none.
    """
    text = content.texts[-1]
    kind = source_kind("", content.media_type)
    drafts: list[_Draft] = []
    common: dict[str, Any] = {}
    tried = TRIED_MAX
    if kind == JSON:
        source = parse_answer(text)
        drafts = [_data_draft(one, source, {}) for one in find_lists(source.root.value)]
    elif kind == XML or (kind == HTML and is_feed(text)):
        feed = XmlSource(text)
        terms = {} if kind == XML else {"source": XML}  # it is sent as something else
        drafts = [_data_draft(one, feed, terms) for one in find_element_lists(feed)]
        common = _named(title_of_feed(feed))
    else:
        page = MirroredHtmlSource(text)
        outline = PageOutline(page.page)
        drafts = [*_group_drafts(outline, page), *_linked_drafts(text)]
        tried = max(2, min(TRIED_MAX, ELEMENTS_TRIED // max(1, text.count("<"))))
        common = _common_terms(page, outline, content.url, rendered=rendered)
    drafts.sort(key=lambda draft: draft.worth, reverse=True)
    tries = (_try(draft, content, request, common) for draft in drafts[:tried])
    suggestions = [found for found in tries if found and found.score >= SCORE_LEAST]
    return _different(sorted(suggestions, key=lambda one: one.score, reverse=True))[:SUGGESTIONS_MAX]


def _common_terms(page: HtmlSource, outline: PageOutline, url: str, *, rendered: bool) -> dict[str, Any]:
    """What all suggestions for a page have in common: its name, and how its list goes on."""
    title = page.page.css_first("title")
    paginator = find_paginator(outline, page, url, rendered=rendered)
    return {**_named(text_of(title) if title is not None else ""), **({"paginator": paginator} if paginator else {})}


def _named(title: str) -> dict[str, Any]:
    name = " ".join(title.split())[:NAME_MAX]
    return {"name": name} if name else {}


def _group_drafts(outline: PageOutline, source: PageSource) -> Iterator[_Draft]:
    for group in find_groups(outline):
        blocks = sampled_blocks(group)
        slots = find_slots(group, blocks)
        if not slots:
            continue
        worth = _worth(group, slots, outline)
        fields = fields_of(group, slots, blocks)
        if fields:
            rule: dict[str, Any] = {"commonParent": group.selector, "fields": fields}
            if group.follows:
                rule["block"] = "following"
            yield _Draft(rule, worth, source)


def _worth(group: BlockGroup, slots: Sequence[Slot], outline: PageOutline) -> float:
    """What the list of a group is worth: what is in a block, how many there are, how alike they are, and where."""
    worths = sorted((slot.worth for slot in slots), reverse=True)
    value = sum(worth * 0.9**place for place, worth in enumerate(worths))
    best = sorted(slots, key=lambda slot: slot.worth, reverse=True)[:3]
    alike = sum(slot.share for slot in best) / len(best)
    blocks = list(group.blocks())
    weight = sum(block.weight for block in blocks) / len(blocks)
    sizes = [block.size * block.weight for block in blocks]
    size = max(sizes) if nests(group.elements) else sum(sizes)
    share: float = min(1.0, size / max(1.0, outline.size)) ** 0.3
    return value * log2(1 + min(len(blocks), BLOCKS_COUNTED)) * alike * weight * share * group.reliance


def _linked_drafts(html: str) -> Iterator[_Draft]:
    if "ld+json" not in html:
        return
    source = find_linked_data(html)
    for one in find_linked_lists(source.root.value):
        yield _data_draft(one, source, {"source": JSON_LD})


def _data_draft(one: DataList, source: PageSource, terms: Mapping[str, Any]) -> _Draft:
    worth = 0.8 * len(one.fields) * log2(1 + min(len(one.items), BLOCKS_COUNTED))
    return _Draft({**terms, "commonParent": one.path, "fields": one.fields}, worth, source)


def _try(
    draft: _Draft, content: PageContent, request: Mapping[str, Any], common: Mapping[str, Any]
) -> Suggestion | None:
    """A suggestion as it reads the page; None where that gives less than two records."""
    try:
        payload = {"request": dict(request), **common, **draft.rule}
        if draft.rule.get("source"):
            payload.pop("paginator", None)  # of the page, not of its data
        rule = PagesPayload.parse(payload).rule
    except Rejected:
        return None
    reading = read_nodes(find_nodes(draft.source, rule), draft.source, content.url, rule)
    if len(reading.records) < 2:
        return None
    columns = [name for field in rule.fields for _, name in field.columns]
    filled = sum(has_value(record[name]) for record in reading.records for name in columns)
    share = filled / (len(columns) * len(reading.records))
    worth = draft.worth * (0.5 + 0.5 * share)
    return Suggestion(payload, reading.records[:RECORDS_MAX], round(worth / (worth + SCORE_HALF), 3))


def _different(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """Suggestions whose values are not, for the most part, those of a better one."""
    kept: list[Suggestion] = []
    known: list[set[str]] = []
    for one in suggestions:
        values = {repr(value) for record in one.records for value in record.values() if has_value(value)}
        if all(len(values & others) < SAME_SHARE * min(len(values), len(others)) for others in known):
            kept.append(one)
            known.append(values)
    return kept
