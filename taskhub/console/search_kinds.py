"""Kinds of things that people look for: which of them somebody may see, and how some are found by a part of a name, or
by the end of their id."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import BooleanField, F, Q, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, NullIf
from django.urls import reverse

from crawlers.models import Crawler, CrawlerTask, External, Stream
from extraction.models import ExtractionTask, Process
from sequences.models import StoredSequence
from taskhub.db.name_search import beginnings_of, end_of, words_of
from taskhub.runs.models import NotificationRule
from taskhub.runs.schedules.services import schedules_visible_to

LOOKED_AT = 5_000
HITS_MAX = 8  # of a group
# What is found is sought in what a subquery with a limit gives: PostgreSQL moves no condition into that.
_FIND = """
SELECT key FROM ({newest}) AS newest (key, sought, id_text)
WHERE strpos(upper(sought), upper(%s)) > 0 OR right(id_text, 8) = ANY(%s) LIMIT %s
"""
# Planned without the limit, for whose sake all rows might be looked through in their order.
_FIND_ALL = "WITH fitting (key) AS MATERIALIZED ({fitting}) {chosen}"
_IS_FITTING = '"{table}"."{key}" = ANY(ARRAY(SELECT key FROM fitting))'  # no join, which may read the whole table
_NO_NAME = Value("")
SHORT = re.compile(r"[0-9A-Za-z]{8}")  # as lists show ids: their last characters


@dataclass(frozen=True)
class SearchHit:
    """One thing that was found, with the address of its page."""

    label: str
    address: str
    detail: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class HitGroup:
    """Hits of one kind. `all` is the address of a list with others; without it `is_cut` says that there are some."""

    title: str
    hits: Sequence[SearchHit]
    all: str = ""
    is_cut: bool = False


@dataclass(frozen=True)
class SearchKind:
    """Things of one kind: which of them somebody may see, the column of their id, their page, their name as an
    expression, if they have one, and the columns that are shown of them.
    """

    title: str
    rows: Callable[[Any], QuerySet[Any]]
    id: str
    address: Callable[[Any], str]
    name: Any = _NO_NAME
    columns: tuple[str, ...] = ()

    def hit(self, row: Any, viewer: Any) -> SearchHit:
        owner = row.owner.email if viewer.is_staff and row.owner is not None else ""
        named = getattr(row, "name", "") or getattr(row, self.id)
        return SearchHit(str(named), self.address(row), owner, getattr(row, "created_at", None))

    def visible_to(self, user: Any) -> QuerySet[Any]:
        """What is shown of a row, and nothing of it that is large or encrypted."""
        columns = (self.id, *self.columns, "owner__email")
        related = {column.partition("__")[0] for column in columns if "__" in column}
        return self.rows(user).select_related(None).select_related(*related).only(*columns)

    def find(self, user: Any, text: str) -> list[Any]:
        """The keys of those of the newest rows with a part of their name, or the end of their id; one more than a group
        shows."""
        names = {"sought": self.name, "id_text": Cast(self.id, TextField())}
        newest = self.rows(user).select_related(None).annotate(**names).order_by("-pk").values("pk", *names)[:LOOKED_AT]
        statement, values = newest.query.sql_with_params()
        return _keys(_FIND.format(newest=statement), [*values, text, _ends(text), HITS_MAX + 1])

    def find_by_indexes(self, user: Any, text: str) -> list[Any]:
        """The same of all rows whose names have words that begin as those of the text do, or that have the end of their
        id."""
        ends, visible = _ends(text), self.rows(user).select_related(None)
        condition = Q(id_end__in=ends) if ends else Q()
        if self.name is not _NO_NAME:
            condition |= Q(words=beginnings_of(text))
        if not condition:
            return []
        # At first everybody's, for the index of an owner's rows would lead through all of them.
        names = {"id_end": end_of(self.id), "words": words_of(self.name)}
        fitting = visible.model._base_manager.alias(**names).filter(condition).values("pk")
        is_fitting = _IS_FITTING.format(table=visible.model._meta.db_table, key=visible.model._meta.pk.column)
        chosen = visible.filter(RawSQL(is_fitting, (), BooleanField()))  # noqa: S611  # of names alone
        (inner, inner_values), (outer, outer_values) = (
            rows.query.sql_with_params() for rows in (fitting, chosen.order_by("-pk").values("pk")[: HITS_MAX + 1])
        )
        return _keys(_FIND_ALL.format(fitting=inner, chosen=outer), [*inner_values, *outer_values])

    def read(self, user: Any, keys: Collection[Any]) -> list[Any]:
        """The newest of the rows with these keys; one more than a group shows."""
        rows = self.visible_to(user).filter(pk__in=set(keys)).order_by("-pk")
        return list(rows[: HITS_MAX + 1]) if keys else []


def _keys(statement: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [key for (key,) in cursor.fetchall()]


def _ends(text: str) -> list[str]:
    """What ids may end with that are looked for by their last characters; nothing for any other text."""
    return [text, text.lower()] if SHORT.fullmatch(text) else []


def _page(name: str, column: str = "fid") -> Callable[[Any], str]:
    return lambda row: reverse(f"console:{name}", args=[getattr(row, column)])


def _task_address(task: ExtractionTask) -> str:
    return f"{reverse('console:extraction')}?{urlencode({'task': task.id})}"


SCHEDULE = SearchKind(
    "Schedules",
    schedules_visible_to,
    "pk",
    _page("schedules-schedule", "pk"),
    name=Coalesce(NullIf("own_name", Value("")), "periodic__name"),
    columns=("own_name", "periodic__name"),
)


RULE = SearchKind(
    "Notification rules",
    NotificationRule.objects.visible_to,
    "pk",
    _page("notifications-rule", "pk"),
    name=F("name"),
    columns=("name", "created_at"),
)


def _own_sequences(user: Any) -> QuerySet[StoredSequence]:
    return StoredSequence.objects.filter(owner=user)


SEQUENCE = SearchKind(
    "Sequences", _own_sequences, "pk", _page("sequences-sequence", "name"), F("name"), ("name", "created_at")
)


_NAME = KeyTextTransform("name", "meta")


def _with_fid(title: str, model: Any, page: str, name: Any = _NAME) -> SearchKind:
    return SearchKind(title, model.objects.visible_to, "fid", _page(page), name, ("meta", "created_at"))


BY_FID = (
    _with_fid("Crawlers", Crawler, "crawlers-crawler"),
    _with_fid("External crawlers", External, "crawlers-external"),
    _with_fid("Streams", Stream, "streams-stream"),
    _with_fid("Tasks of crawlers", CrawlerTask, "crawlers-task", _NO_NAME),  # which have the crawler's name
)
BY_KSUID = (
    SearchKind(
        "Extraction tasks", ExtractionTask.objects.visible_to, "id", _task_address, F("name"), ("name", "created_at")
    ),
    SearchKind(
        "Processes", Process.objects.visible_to, "id", _page("extraction-process", "id"), columns=("created_at",)
    ),
)
