"""What somebody looks for: by an id, the end of one, or a part of a name. Each finds only what the person may see.

Ids are found by their indexes. Names are compared among the newest `LOOKED_AT` rows of each kind that the person may
see, and runs as the list of runs finds them, so that no search reads a whole table.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Lower, NullIf
from django.urls import reverse

from crawlers.models import Crawler, CrawlerTask, External, Stream
from extraction.models import ID_LENGTH, ExtractionTask, Process
from sequences.models import StoredSequence
from sequences.services.sequence_runs import may_run
from taskhub.accounts.models import User
from taskhub.db.plans import TimeIsUp, reads_along_indexes, time_limit
from taskhub.runs.models import NotificationRule, Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.run_filter import RunFilter
from taskhub.runs.run_pages import read_runs
from taskhub.runs.schedules.services import schedules_visible_to
from walkers.authoring.sentinels import all_sentinels
from walkers.domain.ids import GLOBAL

LOOKED_AT = 5_000
HITS_MAX = 8  # of a group
PEOPLE_SECONDS = 0.2  # for comparing the addresses and names of everybody
# What is found is sought in what a subquery with a limit gives: PostgreSQL moves no condition into that.
_FIND = """
SELECT key FROM ({newest}) AS newest (key, sought, id_text)
WHERE strpos(upper(sought), upper(%s)) > 0 OR right(id_text, 8) = ANY(%s) LIMIT %s
"""
_NO_NAME = Value("")
_SHORT = re.compile(r"[0-9A-Za-z]{8}")  # as lists show ids: their last characters


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
        """Of the newest rows those with a part of their name, or the end of their id; one more than a group shows."""
        names = {"sought": self.name, "id_text": Cast(self.id, TextField())}
        newest = self.rows(user).select_related(None).annotate(**names).order_by("-pk").values("pk", *names)[:LOOKED_AT]
        statement, values = newest.query.sql_with_params()
        ends = [text, text.lower()] if _SHORT.fullmatch(text) else []
        with connection.cursor() as cursor:
            cursor.execute(_FIND.format(newest=statement), [*values, text, ends, HITS_MAX + 1])
            keys = [key for (key,) in cursor.fetchall()]
        return list(self.visible_to(user).filter(pk__in=keys).order_by("-pk")) if keys else []


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


# Whole ids


def find_id(user: Any, text: str) -> list[SearchHit]:
    """What has this id. An id of the kinds that count theirs may be that of several things."""
    if id := _uuid(text):
        return list(_with_uuid(user, id))
    if len(text) == ID_LENGTH and text.isascii() and text.isalnum():
        return list(_with_id(user, BY_KSUID, text))
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return list(_with_id(user, [SCHEDULE, RULE], int(text)))
    return []


def _uuid(text: str) -> UUID | None:
    """As RFC 9562 writes it, as a URN, or its digits alone."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _with_uuid(user: Any, id: UUID) -> Iterator[SearchHit]:
    if run := Run.objects.visible_to(user).brief().filter(pk=id).first():
        yield _run_hit(run)
    yield from _with_id(user, BY_FID, id)
    if user.is_staff:
        yield from map(_person_hit, User.objects.filter(pk=id))


def _with_id(user: Any, kinds: Sequence[SearchKind], id: Any) -> Iterator[SearchHit]:
    for kind in kinds:
        if row := kind.visible_to(user).filter(**{kind.id: id}).first():
            yield kind.hit(row, user)


def _run_hit(run: Run) -> SearchHit:
    page = "webhooks-delivery" if run.kind == WEBHOOK else "runs-run"
    address = reverse(f"console:{page}", args=[run.pk])
    return SearchHit(run.name, address, f"{run.kind}, {run.state.lower()}", run.created_at)


def _person_hit(person: User) -> SearchHit:
    return SearchHit(person.email, reverse("console:users-user", args=[person.pk]), person.name, person.date_joined)


# Parts of names, and ends of ids


def find_groups(user: Any, text: str) -> list[HitGroup]:
    """What has a part of its name, or the end of its id, in common with a text; groups without hits are left out."""
    kinds = [SCHEDULE, *([SEQUENCE] if may_run(user) else []), *BY_FID, *BY_KSUID, RULE]
    groups = [*([_people(text)] if user.is_staff else []), _runs(user, text), _walkers(text)]
    with reads_along_indexes():
        groups += [_group(kind, user, text) for kind in kinds]
    return [group for group in groups if group.hits]


def _group(kind: SearchKind, user: Any, text: str) -> HitGroup:
    rows = kind.find(user, text)
    return HitGroup(kind.title, [kind.hit(row, user) for row in rows[:HITS_MAX]], is_cut=len(rows) > HITS_MAX)


def _runs(user: Any, text: str) -> HitGroup:
    runs = Run.objects.visible_to(user).brief()
    rows: list[Run] = []
    if _SHORT.fullmatch(text):
        ends_so = runs.alias(id_text=Cast("id", TextField())).filter(id_text__endswith=text.lower())
        rows += read_runs(ends_so, HITS_MAX).rows
    page = read_runs(RunFilter(q=text).narrow(runs), HITS_MAX)
    rows += page.rows
    more = f"{reverse('console:runs')}?{urlencode({'q': text})}" if page.has_next else ""
    return HitGroup("Runs", [_run_hit(run) for run in rows[:HITS_MAX]], all=more)


def _walkers(text: str) -> HitGroup:
    hits = [
        SearchHit(name, _walker_address(name, sentinel.name), sentinel.name)
        for sentinel in all_sentinels()
        if sentinel.name != GLOBAL
        for name in sorted(sentinel.walkers)
        if text.lower() in name.lower()
    ]
    return HitGroup("Walkers", hits[:HITS_MAX], all=reverse("console:start") if len(hits) > HITS_MAX else "")


def _walker_address(name: str, sentinel: str) -> str:
    return f"{reverse('console:start-walker', args=[name])}?{urlencode({'snt': sentinel})}"


def _people(text: str) -> HitGroup:
    """Whoever has this address; else those with a part of it, or of their name, if that can be told in time."""
    whole = User.objects.alias(folded=Lower("email")).filter(folded=Lower(Value(text)))
    people: list[Any] = list(whole)
    if not people:
        parts = User.objects.filter(Q(email__icontains=text) | Q(name__icontains=text))
        try:
            with time_limit(PEOPLE_SECONDS):
                people = list(parts[: HITS_MAX + 1])
        except TimeIsUp:
            people = []
    return HitGroup("People", [_person_hit(one) for one in people[:HITS_MAX]], is_cut=len(people) > HITS_MAX)
