"""Totals of pages, by what became of them."""

from collections.abc import Iterable

from extraction.domain.process_status import PageState
from extraction.services.page_table import PageOutcome
from taskhub.metrics.totals import SharedCounter

AGAIN = "again"  # it is asked for once more

PAGES = SharedCounter("taskhub_pages", "Pages that extraction asked for, by what became of them.", "outcome")


def count_pages(outcomes: Iterable[PageOutcome]) -> None:
    for outcome in outcomes:
        PAGES.add(AGAIN if outcome.state == PageState.READY else outcome.state)
