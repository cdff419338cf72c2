"""The console's pages of sequences: stored ones, and the editor in which they are checked, tried and stored."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from sequences.models import SequenceVersion, StoredSequence
from sequences.services.sequence_runs import submit_sequence
from sequences.services.stored_sequences import save_sequence
from taskhub.console import sequence_pages
from taskhub.runs.models import Run, Schedule
from taskhub.runs.scheduler.schedules import run_schedule_now
from tests.conftest import Person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("author")]

NEW, CHECK = "/console/sequences/new", "/console/sequences/check"
PARTIAL = {"HX-Request": "true"}
TEXT = """{
  // asks who is there
  "requests": [
    {"method": "GET", "url": "http://shop.example/users", "save_to": "users"},
    {"method": "POST", "url": "http://shop.example/echo", "body": "{{#.inputs.name}} {{$.nobody}}"},
  ],
}"""
INPUTS = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "description": "Whose."}}}


@pytest.fixture
def author(owner: Person) -> None:
    owner.user.user_permissions.add(Permission.objects.get(codename="run_sequence"))


def store(person: Person, name: str = "greet", **more: Any) -> SequenceVersion:
    sequence = {"requests": [{"method": "GET", "url": "http://shop.example/"}], **more.pop("sequence", {})}
    return save_sequence(user=person.user, name=name, sequence=sequence, **more)[0]


def sent(action: str = "save", **more: Any) -> dict[str, Any]:
    return {"action": action, "name": "greet", "version": "0", "sequence": TEXT.replace("\n", "\r\n"), **more}


def places(page: str) -> list[tuple[int, int]]:
    """The lines and columns of the faults on a page."""
    return [(int(line), int(column)) for line, column in re.findall(r'data-line="(\d+)" data-column="(\d+)"', page)]


# The list, and one of them


def test_the_first_sequence_begins_with_a_recipe(browser: Client) -> None:
    page = browser.get("/console/sequences").text
    assert "There are none yet." in page
    address = re.search(r'href="(/console/sequences/new\?recipe=\w+)">Poll until done', page)
    assert address
    assert "// Poll until done" in browser.get(address[1]).text
    assert browser.get(f"{NEW}?recipe=nothing").status_code == 404


def test_sequences_are_listed_with_what_became_of_them(browser: Client, owner: Person, colleague: Person) -> None:
    store(owner, description="Says <b>hello</b>.\n\nAnd more.")
    store(owner, "other")
    store(colleague, "strange")
    run = submit_sequence(arguments={"sequence": "greet"}, owner=owner.user)
    submit_sequence(arguments={"requests": []}, owner=owner.user)
    when = {"interval": {"every": 1, "period": "days"}}
    for name, called in (("daily", "greet"), ("other", "greet"), ("nightly", "other")):
        body = {"name": name, "kind": "sequence", "arguments": {"sequence": called}, "when": when}
        assert owner.post("/schedules", body).status_code == 201
    page = browser.get("/console/sequences").text
    assert "strange" not in page
    assert "Says &lt;b&gt;hello&lt;/b&gt;." in page
    assert "And more." not in page
    assert page.count(f"/console/runs/{run.pk}") == 1
    assert page.index(">other<") < page.index(">greet<")  # the one that was changed last comes first
    row = page.partition(">greet<")[2]
    assert [name in row for name in ("daily", "nightly")] == [True, False]
    found = browser.get("/console/sequences?q=HELLO").text
    assert [f"stored/{name}" in found for name in ("greet", "other")] == [True, False]
    assert "No sequence is called so." in browser.get("/console/sequences?q=x%25").text


def test_many_sequences_come_in_pages(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_pages, "PAGE_ROWS", 2)
    for number in range(3):
        store(owner, f"s{number}")
    page = browser.get("/console/sequences?q=s").text
    more = re.search(r'href="(\?q=s&amp;after=\d+)"', page)
    assert more
    rest = browser.get(f"/console/sequences{more[1].replace('&amp;', '&')}").text
    assert [[f"stored/s{number}" in one for number in range(3)] for one in (page, rest)] == [
        [False, True, True],
        [True, False, False],
    ]


def test_one_sequence_shows_its_versions_runs_and_schedules(browser: Client, owner: Person) -> None:
    store(owner, description="first")
    store(owner, description="second")
    run = submit_sequence(arguments={"sequence": "greet"}, owner=owner.user)
    page = browser.get("/console/sequences/stored/greet").text
    assert [f"?version={number}" in page for number in (1, 2, 3)] == [True, True, False]
    assert f"/console/runs/{run.pk}" in page
    assert "No schedule starts it." in page
    older = browser.get("/console/sequences/stored/greet?version=1").text
    assert "This is version 1." in older
    assert "/edit?version=1" in older
    assert browser.get("/console/sequences/stored/greet?version=9").status_code == 404
    assert browser.get("/console/sequences/stored/nothing").status_code == 404


def test_a_stored_sequence_runs_with_the_inputs_of_its_form(browser: Client, owner: Person) -> None:
    store(owner, inputs=INPUTS)
    assert "Whose." in browser.get("/console/sequences/stored/greet").text
    refused = browser.post("/console/sequences/stored/greet/run", {"in-name": ""})
    assert (refused.status_code, Run.objects.count()) == (400, 0)
    assert "This is required." in refused.text
    answer = browser.post("/console/sequences/stored/greet/run", {"in-name": "Ada"})
    run = Run.objects.get()
    assert answer["Location"] == f"/console/runs/{run.pk}"
    assert run.arguments == {"sequence": "greet", "version": 1, "inputs": {"name": "Ada"}}


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [("{", "Expecting property name"), ("[1]", "This is an object in braces."), ('{"n": 0}', "n")],
)
def test_inputs_without_fields_are_an_object(browser: Client, owner: Person, inputs: str, fault: str) -> None:
    store(owner, inputs={"type": "object", "additionalProperties": {"minimum": 1}})
    page = browser.post("/console/sequences/stored/greet/run", {"inputs": inputs})
    assert page.status_code == 400
    assert fault in page.text
    assert not Run.objects.exists()
    assert browser.post("/console/sequences/stored/greet/run", {"inputs": '{"n": 1}'}).status_code == 302


def test_deleting_asks_and_deletes_all_versions(browser: Client, owner: Person) -> None:
    store(owner)
    assert "Delete greet?" in browser.get("/console/sequences/stored/greet").text
    page = browser.post("/console/sequences/stored/greet/delete", follow=True)
    assert "greet is deleted." in page.text
    assert not StoredSequence.objects.exists()
    assert browser.post("/console/sequences/stored/greet/delete").status_code == 404


# The editor


def test_a_sequence_is_stored_as_it_was_written(browser: Client, owner: Person) -> None:
    answer = browser.post(NEW, sent(description="Greets.", outputs='{"said": "#.users"}'))
    assert answer["Location"] == "/console/sequences/stored/greet"
    stored = SequenceVersion.objects.get()
    assert (stored.number, stored.written, stored.description) == (1, TEXT, "Greets.")
    assert (stored.sequence["requests"][0]["save_to"], stored.outputs) == ("users", {"said": "#.users"})
    page = browser.get("/console/sequences/stored/greet/edit").text
    assert "// asks who is there" in page
    assert "&quot;said&quot;: &quot;#.users&quot;" in page
    edit = "/console/sequences/stored/greet/edit"
    same = browser.post(edit, sent(version="1", description="Greets.", outputs='{"said": "#.users"}'), follow=True)
    assert "It is as it was." in same.text
    other = sent(
        version="1", description="Greets.", outputs='{"said": "#.users"}', sequence=TEXT.replace("who", "what")
    )
    assert "It is stored as version 2." in browser.post(edit, other, follow=True).text
    assert owner.get("/sequences/greet").json()["version"] == 2


@pytest.mark.parametrize(
    ("more", "fault", "place"),
    [
        ({"sequence": '{\n  "requests": [\n    {"method": "GET"}]}'}, "requests[0].url", (3, 5)),
        ({"sequence": '{"requests": []\n "finally": []}'}, "Expecting &#x27;,&#x27; delimiter", (2, 2)),
        ({"sequence": "[]"}, "This is an object in braces.", (1, 1)),
        ({"sequence": ""}, "Expecting value", (1, 1)),
        ({"sequence": '{"requests": [{"call": {"sequence": "none"}}]}'}, "There is no stored sequence none.", (1, 25)),
        ({"outputs": '{\n"a": "{{"}'}, "a", (2, 1)),
        ({"inputs": '{"type": 5}'}, "type", (1, 1)),
        ({"inputs": "5"}, "This is an object in braces.", (1, 1)),
    ],
)
def test_faults_stand_at_their_places_and_nothing_is_lost(
    browser: Client, more: dict[str, str], fault: str, place: tuple[int, int]
) -> None:
    page = browser.post(NEW, sent(description="kept <text>", **more))
    assert page.status_code == 400
    assert places(page.text) == [place]
    assert fault in page.text
    assert "kept &lt;text&gt;" in page.text
    assert "asks who is there" in page.text or "sequence" in more
    assert not StoredSequence.objects.exists()
    (field,) = more
    checked = browser.post(CHECK, sent(**more), headers={**PARTIAL, "HX-Trigger-Name": field}).text
    assert places(checked) == [place]
    assert fault in checked


def test_what_is_right_has_no_faults(browser: Client) -> None:
    for field in ("sequence", "inputs", "outputs", "what"):
        assert "No faults." in browser.post(CHECK, sent(), headers={"HX-Trigger-Name": field}).text


@pytest.mark.parametrize("name", ["", "runs", "-a", "a b", "a/b", "ä"])
def test_a_name_that_is_none_is_told_at_its_field(browser: Client, name: str) -> None:
    page = browser.post(NEW, sent(name=name))
    assert page.status_code == 400
    assert "A name has letters" in page.text.partition('id="sequence-name-fault"')[2]
    assert "asks who is there" in page.text


def test_who_saves_second_is_told(browser: Client, owner: Person) -> None:
    store(owner, description="theirs")
    for address, version in ((NEW, "0"), ("/console/sequences/stored/greet/edit", "7")):
        page = browser.post(address, sent(version=version))
        assert page.status_code == 409
        assert "What you wrote is still here." in page.text
        assert "asks who is there" in page.text
        assert "+  // asks who is there" in page.text  # how the two differ
        assert StoredSequence.objects.get().newest == 1
    over = browser.post("/console/sequences/stored/greet/edit", sent("save-over", version="7"), follow=True)
    assert "It is stored as version 2." in over.text


def test_an_older_version_is_where_an_edit_may_begin(browser: Client, owner: Person) -> None:
    for text in ("first", "second"):
        store(owner, sequence={"persistence": {"is": text}})
    page = browser.get("/console/sequences/stored/greet/edit?version=1").text
    assert "&quot;is&quot;: &quot;first&quot;" in page
    assert 'name="version" value="2"' in page
    assert browser.get("/console/sequences/stored/greet/edit?version=7").status_code == 404


@pytest.mark.parametrize("headers", [{}, PARTIAL], ids=["whole", "partial"])
def test_a_dry_run_tells_what_would_be_sent(browser: Client, headers: dict[str, str]) -> None:
    answers = '{"requests[0]": {"status": 200, "body": {"nobody": null}}, "requests[9]": {}}'
    page = browser.post(NEW, sent("dry-run", given='{"name": "Ada"}', answers=answers), headers=headers)
    assert page.status_code == 200
    assert "It would send 2 requests" in page.text
    assert "Ada" in page.text
    assert (5, 59) in places(page.text)  # {{$.nobody}} found nothing
    assert "Answers for which nothing was sent: requests[9]" in page.text
    assert not Run.objects.exists()
    assert ("<html" in page.text) == (not headers)


def test_a_header_of_a_dry_run_may_have_any_name(browser: Client) -> None:
    text = '{"requests": [{"method": "GET", "url": "http://shop.example/", "headers": {"items": "seven"}}]}'
    assert "items: seven" in browser.post(NEW, sent("dry-run", sequence=text), headers=PARTIAL).text


def test_a_dry_run_tells_where_it_would_stop(browser: Client) -> None:
    answers = '{"requests[0]": {"status": 500}}'
    page = browser.post(NEW, sent("dry-run", answers=answers), headers=PARTIAL).text
    assert "It would stop." in page
    assert "The answer was 500" in page
    assert places(page)[0] == (4, 5)


def test_the_newest_runs_are_found_however_many_schedules_start_it(
    browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    store(owner)
    monkeypatch.setattr(sequence_pages, "RUNS", 2)
    runs = [start_by_schedule(owner, f"s{number}") for number in range(6)]
    with django_assert_max_num_queries(40) as queries:
        page = browser.get("/console/sequences/stored/greet").text
    assert [str(run.pk) in page for run in runs] == [False] * 4 + [True] * 2
    assert sum('"runs_run"."schedule_id" =' in one["sql"] for one in queries.captured_queries) <= 2


def start_by_schedule(person: Person, name: str) -> Run:
    """A run that a schedule of a stored sequence has started."""
    when = {"interval": {"every": 1, "period": "days"}}
    made = {"name": name, "kind": "sequence", "arguments": {"sequence": "greet"}, "when": when}
    number = person.post("/schedules", made).json()["id"]
    return run_schedule_now(schedule=Schedule.objects.get(pk=number))


@pytest.mark.parametrize("action", ["dry-run", "run"])
@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"sequence": '{"requests": 5}'}, "requests"),
        ({"given": "{"}, "Expecting property name"),
        ({"given": '{"name": 5}', "inputs": json.dumps(INPUTS)}, "name"),
        ({"inputs": json.dumps(INPUTS)}, "name"),
    ],
)
def test_what_is_faulty_is_not_tried(browser: Client, action: str, more: dict[str, str], fault: str) -> None:
    page = browser.post(NEW, sent(action, **more), headers=PARTIAL)
    assert places(page.text)
    assert fault in page.text
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("answers", "place"), [("{", (1, 2)), ('{\n"requests[0]": {"status": 5}}', (2, 17)), ('{"a": {"b": 1}}', (1, 8))]
)
def test_answers_of_a_dry_run_have_their_faults(browser: Client, answers: str, place: tuple[int, int]) -> None:
    assert places(browser.post(NEW, sent("dry-run", answers=answers), headers=PARTIAL).text) == [place]


def test_a_run_beside_the_editor_is_followed(browser: Client, owner: Person, stranger: Person) -> None:
    page = browser.post(NEW, sent("run", given='{"name": "Ada"}'), headers=PARTIAL).text
    run = Run.objects.get(owner=owner.user)
    assert run.arguments["persistence"] == {"inputs": {"name": "Ada"}}
    assert f'data-events="/runs/{run.pk}/events"' in page
    assert not StoredSequence.objects.exists()
    followed = f"/console/sequences/followed/{run.pk}"
    assert f'hx-get="{followed}"' in page
    assert "pending" in browser.get(followed).text
    owner.post(f"/runs/{run.pk}/cancel")
    ended = browser.get(followed).text
    assert "hx-get" not in ended
    assert "revoked" in ended
    stranger.user.user_permissions.add(Permission.objects.get(codename="run_sequence"))
    browser.force_login(stranger.user)
    assert browser.get(followed).status_code == 404


CURL = "curl https://api.example/users -H 'Authorization: Bearer abc'"
HAR = json.dumps({"log": {"entries": [{"request": {"method": "GET", "url": "https://api.example/users"}}]}})
POSTMAN = json.dumps(
    {
        "info": {"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
        "item": [{"name": "a", "request": {"method": "GET", "url": {"raw": "https://api.example/users"}}}],
    }
)


@pytest.mark.parametrize("source", [CURL, HAR, POSTMAN], ids=["curl", "har", "postman"])
@pytest.mark.parametrize("how", ["text", "file"])
def test_what_other_tools_wrote_is_imported_into_the_editor(browser: Client, source: str, how: str) -> None:
    file = SimpleUploadedFile("source", b"\xef\xbb\xbf" + source.encode())
    given = {"source": source} if how == "text" else {"source_file": file}
    page = browser.post(NEW, sent("import", **given), headers=PARTIAL).text
    assert 'data-editor-text="editor-sequence"' in page
    assert "https://api.example/users" in page
    assert "abc" not in page
    assert ("secret.TOKEN" in page) == (source is CURL)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"source": "wget x"}, "source"),
        ({"source": "{}", "format": "har"}, "source.log: This is required."),
        ({"source": CURL, "format": "what"}, "format"),
        ({"source_file": SimpleUploadedFile("a", b"\xff\xfe\x00")}, "not text in UTF-8"),
    ],
)
def test_what_cannot_be_imported_is_told(browser: Client, given: dict[str, Any], fault: str) -> None:
    whole = browser.post(NEW, sent("import", **given))
    assert whole.status_code == 400
    assert fault in whole.text.partition('id="beside"')[2]
    assert "asks who is there" in whole.text


def test_a_recipe_takes_the_place_of_what_is_written(browser: Client) -> None:
    page = browser.post(NEW, sent("recipe", recipe="react_to_404"), headers=PARTIAL).text
    assert "// React to 404" in page
    assert browser.post(NEW, sent("recipe", recipe="nothing")).status_code == 404


# Who may open them, and the ways here


def test_who_may_not_run_sequences_is_not_shown_the_way(browser: Client, stranger: Person) -> None:
    assert 'href="/console/sequences"' in browser.get("/").text
    browser.force_login(stranger.user)
    assert 'href="/console/sequences"' not in browser.get("/").text
    refused = browser.get("/console/sequences")
    assert refused.status_code == 403
    assert "sequences.run_sequence" in refused.text


@pytest.mark.parametrize("make", [lambda: {"sequence": "greet"}, lambda: {"requests": []}], ids=["stored", "sent"])
def test_the_run_of_a_stored_sequence_leads_to_its_editor(
    browser: Client, owner: Person, colleague: Person, make: Callable[[], Any]
) -> None:
    store(owner)
    run = submit_sequence(arguments=make(), owner=owner.user)
    address = "/console/sequences/stored/greet/edit"
    shown = [address in browser.get(f"/console/runs/{run.pk}{part}").text for part in ("", "/summary")]
    assert shown == ["sequence" in run.arguments] * 2
    browser.force_login(colleague.user)  # sees the run, and has no such sequence
    assert address not in browser.get(f"/console/runs/{run.pk}").text
