"""The console's search: an id leads to its page, a name to groups of hits; nobody finds what others have."""

import html
import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from crawlers.models import Crawler, CrawlerTask, External, Stream
from extraction.models import ExtractionTask, Process
from sequences.services.stored_sequences import save_sequence
from taskhub.console import search_hits, search_kinds
from taskhub.console.search_kinds import HITS_MAX
from taskhub.db.plans import TimeIsUp
from taskhub.runs.models import NotificationRule, Run
from taskhub.runs.webhooks.services import send_test
from tests import crawler_client
from tests.conftest import Person
from tests.faults.credentials import PAYLOAD, RULE
from tests.integration.test_console_runs import run_of, signed_in
from tests.integration.test_run_plans import nodes
from tests.table_statistics import forget_statistics

pytestmark = pytest.mark.django_db


class Things:
    """What the owner has, and the page of each by a name for it."""

    def __init__(self, owner: Person) -> None:
        run = run_of(owner, "reap")
        daily = {"name": "harvest", "kind": "walker", "arguments": {"name": "echo"}, "when": {"crontab": "0 6 * * *"}}
        schedule = owner.post("/schedules", daily).json()["id"]
        external = crawler_client.external(owner, "http://127.0.0.1:9/shop", meta={"name": "harvester"})
        made = crawler_client.crawler(owner, external, meta={"name": "harvest shoes"})
        task = crawler_client.start(owner, made["crawler"])
        extraction = owner.post("/v1/task/create", {**PAYLOAD, "name": "harvest prices"}).json()["id"]
        process = owner.post(f"/v1/task/{extraction}/run").json()["id"]
        delivery = send_test(owner=owner.user, url="http://127.0.0.1:9/hook").pk
        self.pages = {
            str(run.pk): f"/console/runs/{run.pk}",
            str(schedule): f"/console/schedules/{schedule}",
            external["fid"]: f"/console/crawlers/externals/{external['fid']}",
            made["crawler"]["fid"]: f"/console/crawlers/{made['crawler']['fid']}",
            made["stream"]["fid"]: f"/console/streams/{made['stream']['fid']}",
            task["fid"]: f"/console/crawlers/tasks/{task['fid']}",
            extraction: f"/console/extraction?task={extraction}",
            process: f"/console/extraction/process/{process}",
            str(delivery): f"/console/webhooks/{delivery}",
        }


@pytest.fixture
def things(owner: Person) -> Things:
    return Things(owner)


def search(browser: Client, text: str) -> Any:
    return browser.get("/console/search", {"q": text})


def found(page: Any) -> dict[str, list[str]]:
    """The addresses of the hits by the titles of their groups."""
    groups = re.findall(r"<caption>(.*?)</caption>(.*?)</table>", page.text, re.S)
    return {
        re.sub(r"<.*", "", title).strip(): [
            html.unescape(link) for link in re.findall(r'<td[^>]*><a href="([^"]*)"', rows)
        ]
        for title, rows in groups
    }


def test_an_id_leads_to_its_page(
    browser: Client, owner: Person, stranger: Person, colleague: Person, things: Things
) -> None:
    for id, page in things.pages.items():
        answer = search(browser, f" {id} ")
        assert (answer.status_code, answer["Location"]) == (302, page)
        assert browser.get(page).status_code == 200
        assert search(signed_in(colleague), id)["Location"] == page
        others = search(signed_in(stranger), id)
        assert (others.status_code, found(others)) == (200, {})


def test_a_number_may_be_that_of_several_things(browser: Client, owner: Person, things: Things) -> None:
    rule = owner.post("/notifications", RULE).json()["id"]
    assert found(search(browser, RULE["name"]))["Notification rules"] == [f"/console/notifications/{rule}"]
    schedule = next(id for id in things.pages if len(id) < 20)
    NotificationRule.objects.filter(pk=rule).update(id=int(schedule))
    assert found(search(browser, schedule)) == {
        "With this id": [things.pages[schedule], f"/console/notifications/{schedule}"]
    }


def test_sequences_are_found_by_whose_they_are(browser: Client, colleague: Person) -> None:
    save_sequence(user=colleague.user, name="harvest-all", sequence={"requests": []})
    assert found(search(signed_in(colleague), "harvest")) == {"Sequences": ["/console/sequences/stored/harvest-all"]}
    assert found(search(browser, "harvest")) == {}


@pytest.mark.parametrize("write", [str.upper, lambda id: id.replace("-", ""), lambda id: f"urn:uuid:{id}"])
def test_an_id_may_be_written_otherwise(browser: Client, owner: Person, write: Any) -> None:
    run = run_of(owner)
    assert search(browser, write(str(run.pk)))["Location"] == f"/console/runs/{run.pk}"


def test_the_end_of_an_id_is_found(browser: Client, owner: Person, stranger: Person, things: Things) -> None:
    for id, page in things.pages.items():
        if len(id) > 20:  # schedules count theirs
            assert page in [address for group in found(search(browser, id[-8:])).values() for address in group]
            assert found(search(signed_in(stranger), id[-8:])) == {}


def test_names_are_found_in_groups(browser: Client, owner: Person, stranger: Person, things: Things) -> None:
    groups = found(search(browser, "HARVEST"))
    pages = list(things.pages.values())
    assert groups == {
        "Schedules": [pages[1]],
        "Crawlers": [pages[3]],
        "External crawlers": [pages[2]],
        "Streams": [pages[4]],
        "Extraction tasks": [pages[6]],
        "Runs": groups["Runs"],  # that of the crawler's task has its name
    }
    assert found(search(browser, "rea"))["Runs"] == [pages[0]]
    assert found(search(browser, "ech"))["Walkers"] == ["/console/start/echo?snt=taskhub"]
    assert found(search(signed_in(stranger), "harvest")) == {}
    assert "owner@example.com" not in search(browser, "harvest").text.partition("<main")[2]


def test_staff_find_people(browser: Client, colleague: Person, stranger: Person) -> None:
    staff = signed_in(colleague)
    whole, part = (found(search(staff, text)).get("People", []) for text in ("Stranger@Example.com", "stranger@"))
    assert whole == part
    assert str(stranger.user.pk) in whole[0]
    assert found(search(browser, "stranger@")) == {}
    assert str(stranger.user.pk) in search(staff, str(stranger.user.pk))["Location"]
    assert search(browser, str(stranger.user.pk)).status_code == 200


def test_where_people_are_too_many_the_whole_address_is_found(
    colleague: Person, stranger: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(seconds: float) -> None:
        raise TimeIsUp

    monkeypatch.setattr(search_hits, "time_limit", refuse)
    staff = signed_in(colleague)
    assert "People" not in found(search(staff, "stranger@"))
    assert "People" in found(search(staff, stranger.user.email))


@pytest.mark.parametrize("text", ["winter shoes", "WINT", "shoes (winter)", "größ", "id"])
def test_behind_the_newest_the_beginnings_of_words_and_the_ends_of_ids_are_found(
    browser: Client, owner: Person, stranger: Person, things: Things, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    meta = {"name": "Größe-42_winter.shoes"}
    old = Stream.objects.create(owner=owner.user, meta=meta)
    Stream.objects.create(owner=owner.user, meta={"name": "newest"})
    monkeypatch.setattr(search_kinds, "LOOKED_AT", 1)
    sought = str(old.fid)[-8:] if text == "id" else text
    assert found(search(browser, sought)) == {"Streams": [f"/console/streams/{old.fid}"]}
    assert found(search(browser, "inter")) == found(search(browser, "summer winter")) == {}
    assert found(search(signed_in(stranger), sought)) == {}


def test_each_kind_is_searched_by_its_indexes(colleague: Person) -> None:
    """What is left to PostgreSQL where it may look along no rows; as staff, of everybody's."""
    indexes: set[str] = set()
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX crawler_one_a_stream")  # which has what is searched anyway
    for model in (Crawler, CrawlerTask, External, ExtractionTask, Process, Stream):
        forget_statistics(model)

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("WITH fitting"):
            with connection.connection.cursor() as cursor:
                for way in ("seqscan", "indexscan", "indexonlyscan"):
                    cursor.execute(f"SET LOCAL enable_{way} = off")
                (plan,) = cursor.execute(f"EXPLAIN (FORMAT json) {sql}", params).fetchone()
            indexes.update(node["Index Name"] for node in nodes(plan[0]["Plan"]) if "Index Name" in node)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        assert search(signed_in(colleague), "deadbeef").status_code == 200
    words = {f"{kind}_words" for kind in ("crawler", "external", "stream", "extraction_task")}
    ends = {f"{kind}_id_end" for kind in ("crawler", "external", "stream", "task", "extraction_task", "process")}
    assert (words | ends) - indexes == set()


def test_a_group_has_an_end(browser: Client, owner: Person) -> None:
    Stream.objects.bulk_create(Stream(owner=owner.user, meta={"name": f"shop {n}"}) for n in range(HITS_MAX + 1))
    page = search(browser, "shop")
    assert len(found(page)["Streams"]) == HITS_MAX
    assert "and more" in page.text


@pytest.mark.parametrize("text", ["", " ", "\x01", "%", "_", "'", "<b>", "9" * 30, "💥", "x" * 5000, "12345"])
def test_whatever_is_looked_for_is_answered(browser: Client, owner: Person, text: str) -> None:
    page = search(browser, text)
    assert page.status_code == 200
    assert "<b>" not in page.text.partition("<main")[2]


def test_each_page_has_the_search(browser: Client) -> None:
    for path in ("/", "/console/runs", "/console/streams", "/console/password"):
        assert browser.get(path).text.count("data-search") == 1


@pytest.mark.parametrize("person", ["owner", "colleague"])
def test_a_search_reads_no_whole_table(person: str, request: pytest.FixtureRequest, monkeypatch: Any) -> None:
    """Also where PostgreSQL knows nothing of a table that has just grown."""
    somebody: Person = request.getfixturevalue(person)
    request.getfixturevalue("owner")
    plans: list[dict[str, Any]] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith("SELECT") and any(table in sql for table in ("crawlers_", "extraction_", "runs_")):
            with connection.connection.cursor() as cursor:
                (plan,) = cursor.execute(f"EXPLAIN (FORMAT json) {sql}", params).fetchone()
                plans.extend(nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
        return execute(sql, params, many, context)

    browser = signed_in(somebody)
    with connection.execute_wrapper(explain):
        for text in ("harvest", "deadbeef", str(uuid4())):
            assert search(browser, text).status_code == 200
    scanned = {node["Relation Name"] for node in plans if node["Node Type"] == "Seq Scan"}
    assert plans
    assert scanned & {model._meta.db_table for model in (Run, Stream)} == set()
