"""The filters of runs that people keep: saved under a name, renamed, deleted."""

from typing import Any
from urllib.parse import urlencode

from django.db import IntegrityError, transaction
from django.http import QueryDict
from django.urls import reverse

from taskhub.console.models import NAME_MAX, QUERY_MAX, SavedFilter
from taskhub.errors import Conflict, NotFound, invalid
from taskhub.runs.run_filter import RunFilter, RunFilters
from taskhub.web.query_values import query_values

FILTERS_MAX = 50  # of one person
LISTS = frozenset({"state", "kind", "name", "owner", "tag", "error"})
POSITIONS = ("after", "before")  # ids between which a page of the list lies


def read_filter(query: QueryDict, user: Any) -> RunFilter:
    """The filter that the address of the list says. Raises `Rejected` and REST framework's `ValidationError`."""
    values = query_values(query, LISTS)
    filters = RunFilters(data={name: value for name, value in values.items() if name not in POSITIONS})
    filters.is_valid(raise_exception=True)
    filters.filter.check_viewer(user)
    return filters.filter


def normal_query(query: QueryDict) -> str:
    """A query that is the same text for the same filter, wherever in the list it stands."""
    return urlencode(sorted((name, text) for name, texts in query.lists() for text in texts if name not in POSITIONS))


def filters_of(user: Any) -> list[dict[str, Any]]:
    """A person's filters by name, each `{id, name, query, address}`."""
    rows = SavedFilter.objects.filter(owner=user)[:FILTERS_MAX]
    return [
        {"id": row.pk, "name": row.name, "query": row.query, "address": f"{reverse('console:runs')}?{row.query}"}
        for row in rows
    ]


def save_filter(*, user: Any, name: str, query: QueryDict) -> SavedFilter:
    """Raises `Rejected` and `ValidationError` for what is no filter, and `Conflict` for one name or filter too many."""
    name, text = _checked_name(name), normal_query(query)
    read_filter(query, user)
    if not text or len(text) > QUERY_MAX:
        raise invalid("/query", "Choose a filter first." if not text else "The filter is too long to be kept.")
    if SavedFilter.objects.filter(owner=user).count() >= FILTERS_MAX:
        raise Conflict(f"You have {FILTERS_MAX} filters already; delete one first.")
    return _stored(SavedFilter(owner=user, name=name, query=text))


def rename_filter(*, user: Any, id: int, name: str) -> SavedFilter:
    row = _own_filter(user, id)
    row.name = _checked_name(name)
    return _stored(row)


def delete_filter(*, user: Any, id: int) -> None:
    _own_filter(user, id).delete()


def _own_filter(user: Any, id: int) -> SavedFilter:
    row = SavedFilter.objects.filter(owner=user, pk=id).first()
    if row is None:
        raise NotFound("There is no such filter, or it is not yours.")
    return row


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise invalid("/name", f"Must be a text of 1 to {NAME_MAX} characters on one line.")
    return name


def _stored(row: SavedFilter) -> SavedFilter:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise Conflict(f"You have a filter {row.name} already.") from None
    return row
