"""What somebody looks for: by an id, the end of one, or a part of a name. Each finds only what the person may see.

Whole ids are found by their indexes. A part of a name is looked for in the newest `LOOKED_AT` rows of each kind that
the person may see; in all of them indexes find names by the beginnings of their words, and ids by their ends, as far as
that takes no longer than it may. Runs are found as the list of runs finds them. So no search reads a whole table.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, TextField, Value
from django.db.models.functions import Cast, Lower
from django.urls import reverse

from extraction.models import ID_LENGTH
from sequences.services.sequence_runs import may_run
from taskhub.accounts.models import User
from taskhub.console.search_kinds import (
    BY_FID,
    BY_KSUID,
    HITS_MAX,
    RULE,
    SCHEDULE,
    SEQUENCE,
    SHORT,
    HitGroup,
    SearchHit,
    SearchKind,
)
from taskhub.db.plans import TimeIsUp, reads_along_indexes, reads_by_indexes, time_limit
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.run_filter import RunFilter
from taskhub.runs.run_pages import read_runs
from walkers.authoring.sentinels import all_sentinels
from walkers.domain.ids import GLOBAL

PEOPLE_SECONDS = 0.2  # for comparing the addresses and names of everybody
INDEX_SECONDS = 0.1  # for what indexes find of all kinds together


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
        keys = [kind.find(user, text) for kind in kinds]
    until = time.monotonic() + INDEX_SECONDS
    for kind, found in zip(kinds, keys, strict=True):
        if len(found) <= HITS_MAX:
            found += _found_in_time(kind, user, text, until)
    groups += [_group(kind, user, found) for kind, found in zip(kinds, keys, strict=True)]
    return [group for group in groups if group.hits]


def _found_in_time(kind: SearchKind, user: Any, text: str, until: float) -> list[Any]:
    """What indexes find, or nothing where that would take longer."""
    try:
        with time_limit(until - time.monotonic()), reads_by_indexes():
            return kind.find_by_indexes(user, text)
    except TimeIsUp:
        return []


def _group(kind: SearchKind, user: Any, keys: Collection[Any]) -> HitGroup:
    rows = kind.read(user, keys)
    return HitGroup(kind.title, [kind.hit(row, user) for row in rows[:HITS_MAX]], is_cut=len(rows) > HITS_MAX)


def _runs(user: Any, text: str) -> HitGroup:
    runs = Run.objects.visible_to(user).brief()
    rows: list[Run] = []
    if SHORT.fullmatch(text):
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
