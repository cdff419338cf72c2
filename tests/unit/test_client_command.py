"""The command `taskhub` in process, on a transport without a network: what it prints where, and how it ends."""

import functools
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from taskhub_client import exchange
from taskhub_client.command import bulk_changes, output, stream_commands
from taskhub_client.command.main import main
from taskhub_client.hub import Hub
from taskhub_client.runs import Run

RUN = {"id": "r", "name": "echo", "kind": "walker", "state": "STARTED"}
FAILED_RUN = RUN | {"state": "FAILURE", "error": {"type": "ValueError", "message": "no\x9btea"}}
Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command; each call of the hub is answered by the first entry whose words are in its address.

    An answer is a value, the status of a refusal, bytes, an exception, or a list of these for one call after the other.
    """

    def run(answers: dict[str, Any], *arguments: str, typed: str | None = None) -> Result:
        def handle(request: httpx.Request) -> httpx.Response:
            answer = next(answer for words, answer in answers.items() if words in str(request.url))
            if isinstance(answer, list):
                answer = answer.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, int):
                problem = {"title": "No", "status": answer, "detail": "No."}
                return httpx.Response(answer, headers={"content-type": "application/problem+json"}, json=problem)
            return httpx.Response(200, content=answer if isinstance(answer, bytes) else json.dumps(answer))

        monkeypatch.setattr(output, "Hub", functools.partial(Hub, transport=httpx.MockTransport(handle)))
        return CliRunner().invoke(main, ["--url", "http://hub.example", "--key", "k", *arguments], input=typed)

    monkeypatch.setattr(exchange, "PAUSE_MAX", 0.0)
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)  # other tests have given the log to their hub's
    return run


@pytest.mark.parametrize(
    ("answers", "arguments", "code", "member"),
    [
        ({"/runs": 401}, ["runs"], 3, "problem"),
        ({"/runs": b"<html>"}, ["runs"], 3, "error"),
        ({"_wait": FAILED_RUN, "/runs": FAILED_RUN}, ["wait", "r"], 1, "run"),
        ({"_wait": RUN, "/runs": RUN}, ["wait", "r", "--timeout", "0"], 1, "error"),
    ],
)
def test_errors_are_json_for_programs_and_a_sentence_for_people(
    command: Command, answers: dict[str, Any], arguments: list[str], code: int, member: str
) -> None:
    done = command(answers, "--json", *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert member in json.loads(done.stderr)
    for_people = command(answers, *arguments)
    assert (for_people.exit_code, for_people.stdout) == (code, "")
    assert not for_people.stderr.startswith("{")


@pytest.mark.parametrize("as_json", [True, False])
def test_who_interrupts_a_wait_is_told_that_the_run_goes_on(command: Command, as_json: bool) -> None:
    answers = {"walker_run": {"task_id": "r"}, "_wait": KeyboardInterrupt(), "/runs/r": RUN}
    done = command(answers, *(["--json"] if as_json else []), "run", "echo")
    assert (done.exit_code, done.stdout) == (130, "")
    assert "Run r goes on" in done.stderr
    if as_json:
        assert json.loads(done.stderr).keys() == {"message"}


def test_a_run_that_cannot_be_cancelled_does_not_keep_the_others(command: Command) -> None:
    other = RUN | {"id": "other", "state": "REVOKED"}
    answers = {"/runs/r/cancel": 409, "/runs/r": RUN, "/runs/other": other}
    done = command(answers, "--json", "cancel", "r", "other")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["state"] == "REVOKED"
    assert json.loads(done.stderr)["problem"]["status"] == 409


BULK = {"id": "b", "name": "cancel", "kind": "bulk", "state": "SUCCESS"}
CHANGED = {"matched": 2, "changed": 1, "refused": 1, "refusals": [{"run": "r", "detail": "No."}]}
BULK_ANSWERS = {"_wait": BULK, "/runs/b": BULK | {"result": CHANGED}, "/runs/cancel": BULK, "/runs/retry": BULK}


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_many_runs_are_changed_by_a_filter(command: Command, action: str) -> None:
    done = command(BULK_ANSWERS, action, "--tag", "nightly", "--state", "FAILURE", "--yes")
    assert done.exit_code == 0
    assert done.stdout.startswith("1 ")
    assert "r: No." in done.stderr
    assert json.loads(command(BULK_ANSWERS, "--json", action, "--all", "-y").stdout) == CHANGED
    assert command(BULK_ANSWERS, action, "--all", "-y", "-d").stdout == "b\n"


@pytest.mark.parametrize(
    "arguments",
    [["--tag", "a"], ["--all"], [], ["r", "--tag", "a"], ["--tag", "a", "--all", "-y"], ["r", "--all"]],
    ids=str,
)
@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_which_runs_is_said_in_one_way_and_nobody_is_changed_unasked(
    command: Command, action: str, arguments: list[str]
) -> None:
    assert command({}, action, *arguments).exit_code == 2


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1)])
def test_at_a_terminal_the_number_is_told_and_asked_for(
    command: Command, typed: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_changes, "is_asked", lambda: True)
    answers = {**BULK_ANSWERS, "/runs/cancel": [{"matched": 17}, BULK]}
    done = command(answers, "cancel", "--tag", "a", typed=typed)
    assert "17 runs will be cancelled" in done.output
    assert (done.exit_code, "1 cancelled" in done.stdout) == (code, code == 0)
    assert "No run matches." in command({"/runs/retry": {"matched": 0}}, "retry", "--tag", "a").output


@pytest.mark.parametrize(("kind", "sent"), [("walker", {"ctx": {"value": 2}}), ("extraction", {"value": 2})])
def test_values_of_a_retry_are_a_walkers_ctx_or_the_arguments(
    command: Command, kind: str, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def retry(self: Run, arguments: Any) -> Run:
        given.append(arguments)
        return self

    monkeypatch.setattr(Run, "retry", retry)
    assert command({"/runs/r": RUN | {"kind": kind}}, "retry", "r", "value=2").exit_code == 0
    assert command({"/runs/r": RUN}, "retry", "r").exit_code == 0
    assert given == [sent, None]


def change_page(number: int, *changes: int, more: bool = False) -> dict[str, Any]:
    results = [{"op": "put", "id": change} for change in changes]
    return {"payload": {"results": results, "next": f"http://x/changes?cursor=c{number}", "more": more}}


@pytest.mark.parametrize("follow", [True, False])
def test_changes_are_printed_while_there_are_more_and_then_the_cursor(
    command: Command, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_commands, "FOLLOW_SECONDS", 0.0)
    pages: list[Any] = [change_page(1, more=True), change_page(2, 1, 2, more=True), change_page(3, 3)]
    done = command({"/changes": [*pages, KeyboardInterrupt()]}, "stream", "changes", "f", *(["-f"] if follow else []))
    assert done.exit_code == (130 if follow else 0)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert done.stderr == "c3\n"


def test_what_is_printed_as_json_does_not_command_the_terminal(command: Command) -> None:
    value = {"a": "ż \x9b2J \u202e \x7f \ud800"}
    answers = {"_wait": RUN | {"state": "SUCCESS"}, "/runs/r": RUN | {"state": "SUCCESS", "result": value}}
    for options in (["--json"], []):
        done = command(answers, *options, "wait", "r")
        assert done.exit_code == 0
        assert done.stdout.replace("\n", "").isprintable()
        assert json.loads(done.stdout) == value
        assert "ż" in done.stdout


def test_a_file_that_cannot_be_written_is_a_wrong_call(command: Command, tmp_path: Path) -> None:
    done = command({"/docs": b"{}\n"}, "stream", "export", "f", f"{tmp_path}/none/a.csv")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "none/a.csv" in done.stderr


def test_files_with_a_byte_order_mark_are_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"requests": []}', encoding="utf-8-sig")
    assert command({"/validate": {}}, "sequence", "validate", str(tmp_path / "s.json")).exit_code == 0


def test_what_is_not_waited_for_is_named(command: Command) -> None:
    answers = {"/sequences/nightly/runs": {"id": "r"}, "/runs/r": RUN}
    assert command(answers, "sequence", "run", "-d", "nightly").stdout == "r\n"
    done = command(answers, "--json", "sequence", "run", "-d", "nightly")
    assert json.loads(done.stdout) == {"id": "r", "state": "STARTED"}


def test_runs_are_listed_with_their_tags_and_why_they_wait(command: Command) -> None:
    waiting = RUN | {"state": "PENDING", "tags": ["nightly"], "waiting_for": {"reason": "slot", "detail": "No slot."}}
    query = "metadata.customer=4711&state=FAILURE&state=REVOKED&name=a&q=ech&limit=5"
    arguments = ["--state", "FAILURE", "--state", "REVOKED", "--name", "a", "-q", "ech"]
    arguments += ["--metadata", "customer=4711", "-n", "5"]
    shown = command({f"/runs?{query}": {"results": [waiting]}}, "runs", *arguments)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "nightly" in shown.stdout
    assert "No slot." in shown.stdout
    assert command({}, "runs", "--metadata", "customer").exit_code == 2


QUEUE = {"name": "walkers", "waiting": 12, "oldest_seconds": 3.25, "running": 4, "slots": 4, "workers": 1}
WORKER: dict[str, Any] = {
    "name": "walkers@host",
    "host": "host",
    "queues": ["walkers", "removals"],
    "slots": 4,
    "runs": ["0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"],
    "since": "2026-01-31T12:00:00Z",
    "seen_at": "2026-01-31T12:00:00Z",
}
COUNT = {
    "bucket": "2026-01-31T12:00:00Z",
    "group": "SUCCESS",
    "runs": 1204,
    "duration": {"p50": 0.84, "p95": 125.4},
    "waiting": None,
}
COUNTS_QUERY = "name=a&name=b&bucket=hour&by=state&since=2026-01-31"


@pytest.mark.parametrize(
    ("path", "arguments", "entry", "shown"),
    [
        ("/queues", ["queues"], QUEUE, ["walkers", "12", "3.25 s"]),
        ("/queues", ["queues"], QUEUE | {"oldest_seconds": None}, ["walkers", "12"]),
        ("/workers", ["workers"], WORKER, ["walkers@host", "walkers, removals", WORKER["runs"][0]]),
        (
            f"/runs/stats?{COUNTS_QUERY}",
            ["stats", "--name", "a", "--name", "b", "--since", "2026-01-31"],
            COUNT,
            ["2026-01-31 12:00", "SUCCESS", "1204", "0.84 s", "125 s"],
        ),
        ("/runs/stats?bucket=day&by=none", ["stats", "--bucket", "day", "--by", "none"], COUNT, ["2026-01-31", "1204"]),
    ],
    ids=["queues", "idle queues", "workers", "stats", "stats of days"],
)
def test_the_state_of_the_hub_is_a_table_or_json(
    command: Command, path: str, arguments: list[str], entry: dict[str, Any], shown: list[str]
) -> None:
    answers = {path: {"results": [entry]}}
    done = command(answers, *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert [text for text in shown if text not in done.stdout] == []
    assert json.loads(command(answers, "--json", *arguments).stdout) == entry


def test_login_asks_for_the_code_of_a_second_factor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sent: list[dict[str, str]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/user/token/":
            return httpx.Response(200, json={"key": "thk_made", "email": "ada@example.com"})
        sent.append(json.loads(request.content))
        if "otp" in sent[-1]:
            return httpx.Response(200, json={"token": "t"})
        problem = {"type": "second-factor", "title": "No", "status": 401, "detail": "A code is needed."}
        return httpx.Response(401, headers={"content-type": "application/problem+json"}, json=problem)

    module = sys.modules["taskhub_client.command.main"]
    monkeypatch.setattr(module, "Hub", functools.partial(Hub, transport=httpx.MockTransport(handle)))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    arguments = ["--url", "http://hub.example", "login", "--email", "ada@example.com", "--password", "p"]
    done = CliRunner().invoke(main, arguments, input="123456\n")
    assert done.exit_code == 0, done.output
    assert [body.get("otp") for body in sent] == [None, "123456"]
