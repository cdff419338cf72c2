"""What helps to write sequences, over HTTP."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone
from jsonschema_rs import Draft202012Validator

from sequences.domain.dry_run import DryRun
from sequences.models import SequenceVersion
from sequences.services import dry_runs
from sequences.services.checkpoints import load_state
from sequences.services.secrets import save_secret
from sequences.services.sequence_runs import submit_sequence
from sequences.services.stored_sequences import save_sequence
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.runs.domain import ENDED, State
from taskhub.runs.models import Run
from tests.conftest import Person
from tests.problems import problem

pytestmark = pytest.mark.django_db


def dry_run(person: Person, *requests: Any, answers: Any = None) -> dict[str, Any]:
    answer = person.post("/sequences/dry-run", {"sequence": {"requests": list(requests)}, "answers": answers})
    assert answer.status_code == 200, answer.content
    report: dict[str, Any] = answer.json()
    return report


def test_a_few_dry_runs_compute_at_once(colleague: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_runs, "PATIENCE_SECONDS", 0)
    with ExitStack() as under_way:
        for number in range(4):
            under_way.enter_context(dry_runs._dry_runs.acquire(UUID(int=number)))
        body = problem(colleague.post("/sequences/dry-run", {"sequence": {"requests": []}}), 503)
    assert body["detail"] == "Too many dry runs are under way."
    assert dry_run(colleague)["requests"] == []


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_computes_without_a_database_connection(colleague: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    run, connections = DryRun.run, list[Any]()

    def look_and_run(self: DryRun) -> Any:
        connections.append(connection.connection)
        return run(self)

    monkeypatch.setattr(DryRun, "run", look_and_run)
    assert dry_run(colleague)["requests"] == []
    assert connections == [None]


def test_a_dry_run_tells_what_would_be_sent_and_does_nothing(colleague: Person) -> None:
    # Nothing listens at this address, and nothing is registered under that name.
    first = {
        "method": "POST",
        "url": "http://127.0.0.1:9/{{#.none}}",
        "body": {"a": 1},
        "save_to": "a",
        "name": "First",
    }
    report = dry_run(
        colleague,
        first,
        {"method": "JAC", "api": "walker_delete", "body": {"name": "{{#.a.id}}"}, "ignore_error": True},
        {"method": "GET", "url": "http://127.0.0.1:9/last"},
        answers={"requests[0]": {"body": {"id": 7}}, "requests[1]": {"status": 401}, "requests[2]": {"status": 404},
                 "requests[3]": {}},
    )  # fmt: skip
    assert report["requests"][0] == {
        "path": "requests[0]",
        "title": "First",
        "attempt": 1,
        "method": "POST",
        "url": "http://127.0.0.1:9/",
        "headers": {},
        "body": {"a": 1},
    }
    assert [sent["body"] for sent in report["requests"][1:]] == [{"name": 7}, None]
    assert report["nothing_found"] == [{"path": "requests[0].url", "expression": "#.none", "times": 1}]
    assert [error["path"] for error in report["errors"]] == ["requests[1]", "requests[2]"]
    assert report["stopped"] == {"path": "requests[2]", "detail": "The answer was 404."}
    assert report["unused_answers"] == ["requests[3]"]
    assert not Run.objects.exists()


def test_a_dry_run_masks_secrets(colleague: Person) -> None:
    save_secret(user=colleague.user, name="KEY", value="canary-48151623", is_global=False)
    requests = [
        {
            "method": "POST",
            "url": "http://h/{{secret.KEY}}",
            "headers": {"X-Sign": "{{secret.KEY}}"},
            "auth": {"basic": {"username": "u", "password": "{{secret.KEY}}"}},
            "body": {"{{secret.KEY}}": ["{{secret.KEY | base64}}", "{{secret.KEY | upper}}"]},
        },
        {"method": "POST", "url": "http://h/", "body": "hidden-text-1", "sensitive": True},
        {"method": "POST", "url": "http://h/", "body": {"password": "written-48", "again": "written-48"}},
        {"method": "GET", "url": "{{secret.KEY}}"},
    ]
    answer = colleague.post("/sequences/dry-run", {"sequence": {"requests": requests}})
    report = answer.json()
    shown = {"url": "http://h/***", "body": {"***": ["***", "***"]}}
    assert report["requests"][0].items() >= shown.items()
    assert report["requests"][0]["headers"] == {"X-Sign": "***", "Authorization": "***"}
    assert report["requests"][1]["body"] == "***"
    assert report["requests"][2]["body"] == {"password": "***", "again": "***"}
    assert report["stopped"]["path"] == "requests[3]"
    text = answer.content.decode().lower()
    assert not [part for part in ("canary", "48151623", "hidden-text", "written-48", "y2fuyxj5") if part in text]


def test_a_dry_run_looks_into_stored_sequences_and_misses_secrets(colleague: Person) -> None:
    inner = {"requests": [{"method": "GET", "url": "http://h/{{#.inputs.name}}/{{#.none}}"}]}
    save_sequence(user=colleague.user, name="inner", sequence=inner)
    report = dry_run(
        colleague,
        {"call": {"sequence": "inner", "inputs": {"name": "Ada"}}},
        {"method": "GET", "url": "http://h/{{secret.NONE}}"},
    )
    assert [(sent["path"], sent["url"]) for sent in report["requests"]] == [
        ("requests[0].call.requests[0]", "http://h/Ada/")
    ]
    assert report["nothing_found"] == [{"path": "inner: requests[0].url", "expression": "#.none", "times": 1}]
    assert report["stopped"] == {"path": "requests[1]", "detail": "There is no secret NONE."}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "sequence"),
        ([], ""),
        ({"sequence": {"requests": [{"method": "GET"}]}}, "sequence.requests[0].url"),
        ({"sequence": {"requests": []}, "answers": {"requests[0]": {"state": 1}}}, 'answers["requests[0]"].state'),
        ({"sequence": {"requests": []}, "stored": True}, "stored"),
    ],
)
def test_a_dry_run_of_nothing_is_refused(colleague: Person, body: Any, path: str) -> None:
    refusal = colleague.post("/sequences/dry-run", body)
    assert refusal.status_code == 400
    assert [error["path"] for error in refusal.json()["errors"]] == [path]


def test_the_dry_run_of_the_documentation(colleague: Person) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "sequences.md").read_text()
    example = text.split("## A dry run")[1].split("An answer has")[0].split("steps:")[1]
    report = colleague.post("/sequences/dry-run", parse_jsonc(example)).json()
    assert [sent["body"] for sent in report["requests"]] == [None, {"of": 1, "age": 36}, {"of": 2, "age": None}]
    assert report["stopped"]["path"] == "requests[0].__def_loop__[1].requests[0]"
    assert report["nothing_found"] == [
        {"path": "requests[0].__def_loop__.requests[0].body.age", "expression": "@.age", "times": 1}
    ]


def test_what_other_tools_wrote_down_becomes_a_sequence(colleague: Person) -> None:
    har = {"log": {"entries": [{"request": {"method": "GET", "url": "http://h/?token=canary-48151623"}}]}}
    for source in (har, json.dumps(har)):
        answer = colleague.post("/sequences/import", {"format": "har", "source": source})
        assert answer.json() == {
            "sequence": {"requests": [{"method": "GET", "url": "http://h/?token={{secret.TOKEN}}"}]},
            "warnings": [{"path": "log.entries[0]", "detail": "Store the value as a secret: PUT /secrets/TOKEN."}],
        }
    assert colleague.post("/sequences/validate", answer.json()["sequence"]).status_code == 200
    for body, path in (
        ({"format": "har", "source": "{"}, "source"),
        ({"format": "har"}, "source"),
        ({"format": "swagger", "source": "{}"}, "format"),
        ({"source": "curl http://h/"}, "format"),
        ({"format": "curl", "source": "curl http://h/", "name": "x"}, "name"),
    ):
        refusal = colleague.post("/sequences/import", body)
        assert refusal.status_code == 400
        assert [error["path"] for error in refusal.json()["errors"]] == [path]


def test_the_language_is_described_for_editors(colleague: Person) -> None:
    answer = colleague.get("/sequences/schema.json")
    assert answer.status_code == 200
    matches = Draft202012Validator(answer.json()).is_valid
    step = {"method": "GET", "url": "http://h/"}
    assert matches({"requests": [step]})
    assert not matches({"requests": [{**step, "uri": "http://h/"}]})


# Resumption of runs that have no worker here: what is refused


@pytest.mark.parametrize("state", [State.PENDING, State.SUCCESS, State.REVOKED])
def test_only_what_failed_is_resumed(colleague: Person, state: State) -> None:
    run = submit_sequence(arguments={"requests": []}, owner=colleague.user)
    ended = {"ready": False, "finished_at": timezone.now()} if state in ENDED else {}
    Run.objects.filter(pk=run.pk).update(state=state, **ended)
    assert problem(colleague.post(f"/sequences/runs/{run.pk}/resume"), 409)["state"] == state


def test_who_resumes_what(owner: Person, colleague: Person, stranger: Person) -> None:
    run = failed_run(colleague)
    place = f"/sequences/runs/{run.pk}/resume"
    stranger.user.user_permissions.add(Permission.objects.get(codename="run_sequence"))
    assert owner.post(place).status_code == 403
    assert stranger.post(place).status_code == 404
    problem(colleague.post(place, {"persistence": [1]}), 400, "/persistence")
    problem(colleague.post(place, {"persist": {}}), 400, "/persist")
    new = colleague.post(place, {"persistence": {"a": "canary"}})
    assert new.status_code == 202
    made = Run.objects.get(pk=new.json()["id"])
    assert (made.retry_of_id, made.state, made.arguments) == (run.pk, "PENDING", run.arguments)
    assert new["Location"].endswith(f"/sequences/runs/{made.pk}")
    state = load_state(made, {"b": 2})
    assert state
    assert state["persistence"] == {"b": 2, "a": "canary"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM sequences_checkpointvalue t WHERE run_id = %s", [made.pk])
        assert "canary" not in str(cursor.fetchall())


def test_a_resumption_that_would_save_too_much_starts_nothing(colleague: Person, settings: Any) -> None:
    settings.SEQUENCE_PERSISTENCE_MAX = 1000
    run = failed_run(colleague)
    place = f"/sequences/runs/{run.pk}/resume"
    problem(colleague.post(place, {"persistence": {"a": "x" * 1000}}), 400, "/persistence")
    assert Run.objects.count() == 1


def failed_run(person: Person) -> Run:
    run = submit_sequence(arguments={"persistence": {"b": 2}, "requests": []}, owner=person.user)
    Run.objects.filter(pk=run.pk).update(state=State.FAILURE, ready=False, finished_at=timezone.now())
    run.refresh_from_db()
    return run


SENSITIVE_STEPS: dict[str, dict[str, Any]] = {
    "body": {"body": {"patient": "canary-60221"}},
    "text": {"text": "canary-60221"},
    "form": {"form": {"name": ["canary-60221"]}},
    "parts": {"multipart": {"a": {"content": "canary-60221", "filename": "a.txt"}}},
    "query": {"query": {"q": "canary-60221"}},
}


@pytest.mark.parametrize("key", SENSITIVE_STEPS)
@pytest.mark.parametrize("place", ["requests", "finally", "catch", "loop", "branch"])
def test_what_a_sensitive_step_sends_is_masked_in_the_arguments_of_its_run(
    colleague: Person, key: str, place: str
) -> None:
    step = {"method": "POST", "url": "http://127.0.0.1:9/", "sensitive": True, **SENSITIVE_STEPS[key]}
    plain = {"method": "GET", "url": "http://127.0.0.1:9/"}
    requests = {
        "catch": [plain | {"catch": [step]}],
        "loop": [plain | {"__def_loop__": {"by": "{{$.x}}", "requests": [step]}}],
        "branch": [{"parallel": {"branches": [[step]]}}],
    }.get(place, [step])
    given = {"requests": requests, **({"finally": [step]} if place == "finally" else {})}
    run_id = colleague.post("/sequences/runs", given).json()["id"]
    shown = json.dumps(colleague.get(f"/runs/{run_id}").json()["arguments"])
    assert "canary" not in shown
    assert '"***"' in shown
    assert "http://127.0.0.1:9/" in shown
    with connection.cursor() as cursor:
        cursor.execute("SELECT arguments::text FROM runs_run WHERE id = %s", [run_id])
        assert "canary" not in cursor.fetchone()[0]
    assert "canary-60221" in json.dumps(Run.objects.get(pk=run_id).arguments)  # it is sent whole


def test_expressions_of_a_sensitive_step_are_shown(colleague: Person) -> None:
    step = {"method": "POST", "url": "http://127.0.0.1:9/", "sensitive": True, "body": {"a": "{{#.name}}"}}
    run_id = colleague.post("/sequences/runs", {"requests": [step]}).json()["id"]
    assert colleague.get(f"/runs/{run_id}").json()["arguments"]["requests"] == [step]


def put(person: Person, body: Any, **headers: str) -> Any:
    return person.call("PUT", "/sequences/greet", body, headers=headers)


def test_a_change_is_for_the_version_that_it_names(colleague: Person) -> None:
    first = put(colleague, {"sequence": {"requests": []}}, **{"If-Match": '"0"'})
    assert (first.status_code, first["ETag"]) == (201, '"1"')
    changed = {"sequence": {"requests": []}, "description": "changed"}
    for wanted in ('"0"', '"2"', "W/x"):
        body = problem(put(colleague, changed, **{"If-Match": wanted}), 412)
        assert body["version"] == 1
    assert put(colleague, changed, **{"If-Match": colleague.get("/sequences/greet")["ETag"]})["ETag"] == '"2"'
    assert put(colleague, changed, **{"If-Match": '"1"'}).status_code == 200  # the same call, sent again
    assert put(colleague, {"sequence": {"requests": []}}, **{"If-Match": "*"}).status_code == 201
    assert put(colleague, changed).status_code == 201


def test_comments_of_a_stored_sequence_are_kept(colleague: Person) -> None:
    text = '{ /* of the whole */ "sequence": {"requests": [] // none yet\n}}'

    def send(body: str) -> int:
        headers = {**colleague.headers, "Content-Type": "application/json"}
        return int(Client().put("/sequences/greet", body, content_type="application/json", headers=headers).status_code)

    assert [send(text), send(text), send('{"sequence": {"requests": []}}')] == [201, 200, 200]
    assert SequenceVersion.objects.get().written == '{"requests": [] // none yet\n}'
    assert send(text.replace("none", "many")) == 201
