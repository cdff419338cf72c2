"""Pages of runs, whichever filter they are asked for by, in bounded time: also where a million runs are looked through.

The newest runs are looked through first, for what is common is found there. What is rare is found by the indexes of
what is asked for, all of it at once. Where that takes too long, much is found that lies far back, or what fulfils each
condition but hardly any all of them: then more and more of the runs are looked through until the time is over. The page
ends where that got, with fewer runs than asked for or none, and the next one goes on there.
"""

import time
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from taskhub.db.plans import TimeIsUp, reads_along_indexes, time_limit
from taskhub.runs.models import Run
from taskhub.web.cursor_pagination import NewestFirstPagination, RowPage, read_page

FIRST_STRETCH = 1000  # runs that are looked through first
STRETCH_MAX = 32_000
INDEX_SECONDS = 0.1  # for finding all that fulfils the filter by its indexes
PAGE_SECONDS = 0.2  # then no further stretch is begun


def read_runs(runs: QuerySet[Run], limit: int, *, after: UUID | None = None, backwards: bool = False) -> RowPage:
    """One page of runs, newest first, as `read_page` gives it; shorter, with `reached`, where the time is over."""
    until = time.monotonic() + PAGE_SECONDS
    search = _Search(runs, limit, after, backwards)
    stretch = max(FIRST_STRETCH, 2 * limit)
    search.look_through(stretch)
    if not search.is_done:
        search.find_rest()
    while not search.is_done and time.monotonic() < until:
        stretch = min(4 * stretch, STRETCH_MAX)
        search.look_through(stretch)
    return search.page()


class _Search:
    """The search for one page: from `after` on, in the order of reading."""

    def __init__(self, runs: QuerySet[Run], limit: int, after: UUID | None, backwards: bool) -> None:
        self._runs, self._limit, self._after, self._backwards = runs, limit, after, backwards
        self._reached = after  # up to this id all was looked through; None for nothing
        self._has_all = False  # whether nothing is left to look through
        self._ids: list[UUID] = []  # of what was found, one more than the page has at most

    @property
    def is_done(self) -> bool:
        return self._has_all or len(self._ids) > self._limit

    def look_through(self, number: int) -> None:
        """Looks through the next runs, so many, whosesoever they are."""
        with reads_along_indexes():
            beyond = self._rest_of(Run.objects.all()).values_list("pk", flat=True)
            end = next(iter(beyond[number - 1 : number]), None)
            found = self._rest_of(self._runs)
            if end is not None:
                found = found.filter(**{"id__lte" if self._backwards else "id__gte": end})
            self._ids += found.values_list("pk", flat=True)[: self._wanted]
        self._reached, self._has_all = end, end is None

    def find_rest(self) -> None:
        """Finds all that is left by the indexes of the filter, unless that takes too long."""
        statement, values = self._rest_of(self._runs).order_by().values("pk").query.sql_with_params()
        # Planned without the limit: for its sake all runs might be looked through in their order.
        first = f"ORDER BY id {'ASC' if self._backwards else 'DESC'} LIMIT {self._wanted}"
        try:
            with time_limit(INDEX_SECONDS), connection.cursor() as cursor:
                cursor.execute(f"WITH found (id) AS MATERIALIZED ({statement}) SELECT id FROM found {first}", values)  # noqa: S608
                self._ids += [run_id for (run_id,) in cursor.fetchall()]
                self._has_all = True
        except TimeIsUp:
            return

    def page(self) -> RowPage:
        ids = self._ids[: self._limit]
        with reads_along_indexes():
            page = read_page(self._runs.filter(pk__in=ids), "-id", self._limit, backwards=self._backwards)
        is_cut = page.has_previous if self._backwards else page.has_next  # for what its rows weigh
        is_full = len(self._ids) > self._limit
        has_more = is_cut or is_full or not self._has_all
        reached = None if is_cut else ids[-1] if is_full else self._reached
        if self._backwards:
            return RowPage(page.rows, True, has_more, reached)
        return RowPage(page.rows, has_more, self._after is not None, reached)

    @property
    def _wanted(self) -> int:
        return self._limit + 1 - len(self._ids)

    def _rest_of(self, runs: QuerySet[Run]) -> QuerySet[Run]:
        if self._reached is not None:
            runs = runs.filter(**{"id__gt" if self._backwards else "id__lt": self._reached})
        return runs.order_by("id" if self._backwards else "-id")


class RunPagination(NewestFirstPagination):
    """Pages of runs that are read in bounded time."""

    def read_rows(self, queryset: Any, limit: int, *, after: Any, backwards: bool) -> RowPage:
        return read_runs(queryset, limit, after=None if after is None else UUID(after), backwards=backwards)
