"""`manage.py sequence`, as its author types it."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.core.management import call_command, execute_from_command_line

from sequences.services.secrets import save_secret
from sequences.services.stored_sequences import save_sequence
from tests.conftest import Person
from tests.document_sequences import Printed
from tests.hub import ADMIN, Hub, environment
from tests.integration.outbound_servers import Serve, answer, serving
from tests.integration.sequence_servers import bundled_api

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


def sequence(home: Path, *arguments: str, text: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "sequence", *arguments]
    options.setdefault("env", environment(home))
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=60, **options)


Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """The same in this process, where nothing has to be loaded for it."""
    # To be set up again would let all that is logged from then on go to what this test has for stderr.
    monkeypatch.setattr("django.setup", lambda: None)

    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(text.encode())))
        argv, code = ["manage.py", "sequence", *arguments], 0
        try:
            execute_from_command_line(argv)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return subprocess.CompletedProcess(argv, code, *capsys.readouterr())

    return run


def get(url: str, **more: Any) -> dict[str, Any]:
    return {"method": "GET", "url": url, **more}


def test_a_valid_one_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    text = (ROOT / "sequences" / "examples" / "sequence.jsonc").read_text()
    file = tmp_path / "a.jsonc"
    file.write_text(f"\ufeff// žluť\n{text}", encoding="utf-8")
    env = {**environment(tmp_path), "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = sequence(tmp_path, "validate", str(file), env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: valid, 6 requests\n", "")
    assert not (tmp_path / "processes.json").exists()  # no server was started for it


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('{"requests": [{"method": "GET", "url": "http://h/", "body": ...}]}', 1, "line 1, column 61: '...' stands"),
        ('{"requests": [{"method": "BREW", "url": "http://h/"}], "more": 1}', 1, "requests[0].method: "),
        ("[]", 1, "the whole: A sequence is an object"),
    ],
)
def test_each_fault_has_its_place(typed: Typed, tmp_path: Path, text: str, code: int, words: str) -> None:
    file = tmp_path / "a.jsonc"
    file.write_text(text)
    for verb in ("validate", "run"):
        done = typed(verb, str(file))
        assert done.returncode == code
        assert f"{file}: {words}" in done.stderr
        assert done.stdout == ""


def test_what_is_not_utf_8_has_its_place(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonc"
    file.write_bytes(b'{"requests": [\n"\xe9"]}')
    done = typed("validate", str(file))
    assert done.returncode == 1
    assert "line 2, column 2: This is not UTF-8." in done.stderr


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    example = "sequences/examples/first.jsonc"
    assert example in (ROOT / "README.md").read_text()
    with bundled_api() as address:
        text = (ROOT / example).read_text().replace("http://127.0.0.1:9002", address)
        done = sequence(tmp_path, "run", "--json", "-", text=text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"base": address, "greeting_Ada": {"text": "Hello Ada!"}}


@pytest.mark.parametrize("arguments", [["validate", "/no/such/file"], ["validate"], ["brew", "-"], []])
def test_wrong_usage(typed: Typed, arguments: list[str]) -> None:
    done = typed(*arguments)
    assert done.returncode == 2
    assert done.stderr


def test_run_says_each_step_on_a_line_and_the_result_as_json(typed: Typed, serve: Serve) -> None:
    url = serve(answer(b'{"items": [1, 2]}')).url
    loop = {"by": "$.items", "requests": [get(f"{url}/{{{{$}}}}?token=hidden", save_to="got_{{$}}")]}
    text = json.dumps({"requests": [get(url, __def_loop__=loop)]})
    done = typed("run", "--json", "-", text=text)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == ["got_1", "got_2"]
    lines = done.stderr.splitlines()
    assert [line.split()[:4] for line in lines[:-1]] == [
        ["requests[0]", "GET", url, "200"],
        ["requests[0].__def_loop__[0].requests[0]", "GET", f"{url}/1?token=***", "200"],
        ["requests[0].__def_loop__[1].requests[0]", "GET", f"{url}/2?token=***", "200"],
    ]
    assert lines[-1].startswith("finished; 3 steps in ")


def test_one_that_stops_exits_with_1(typed: Typed, serve: Serve) -> None:
    url = serve(answer(b"no", status="404 Nowhere")).url
    done = typed("run", "-", text=json.dumps({"requests": [get(url)]}))
    assert done.returncode == 1
    assert "stopped: requests[0]: The answer was 404: Nowhere; 1 steps" in done.stdout


def test_private_addresses_are_not_called(typed: Typed) -> None:
    done = typed("run", "-", text=json.dumps({"requests": [get("http://10.0.0.1/")]}))
    assert done.returncode == 1
    assert "is not called" in done.stdout


def test_interrupted(tmp_path: Path, serve: Serve) -> None:
    begun = Event()

    def script(server: Any, connection: Any) -> None:
        begun.set()
        server.over.wait()

    file = tmp_path / "a.json"
    file.write_text(json.dumps({"requests": [get(serve(script).url)]}))
    command = [sys.executable, "manage.py", "sequence", "run", str(file)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert begun.wait(120)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; 0 steps" in said


def test_in_a_terminal_it_is_a_tree(tmp_path: Path, serve: Serve) -> None:
    url = serve(answer(b"[1, 2, 3, 4, 5, 6, 7, 8]")).url
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"requests": [get(url, __def_loop__={"by": "$", "requests": [get(url)]})]}))
    ours, theirs = pty.openpty()
    command = [sys.executable, "manage.py", "sequence", "run", str(file)]
    env = environment(tmp_path) | {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # the end of a terminal on Linux
            pass
    os.close(ours)
    assert process.returncode == 0
    last = said.decode().rpartition(str(file))[2]
    assert "... 3 items before" in last
    assert "__def_loop__[2]" not in last
    assert "└── __def_loop__[7]" in last
    assert f"GET\x1b[0m {url} 200" in last


@pytest.mark.slow
def test_as_a_user_of_a_hub_that_runs(hub: Hub) -> None:
    printed = Printed(hub, "sequence_v2.jsonc")
    options = {"env": hub.environment | {"TASKHUB_OUTBOUND_ALLOW": "loopback"}}
    done = sequence(hub.home, "run", "--json", "--as", ADMIN, "-", text=printed.with_master(hub.admin.id), **options)
    assert done.returncode == 0, done.stderr
    printed.check_result(json.loads(done.stdout))


@pytest.mark.django_db
def test_as_nobody(typed: Typed) -> None:
    done = typed("run", "--as", "nobody@hub.example", "-", text='{"requests": []}')
    assert (done.returncode, "There is no active user nobody@hub.example." in done.stderr) == (2, True)


# Dry runs


def test_a_dry_run_prints_what_would_be_sent(typed: Typed, tmp_path: Path) -> None:
    text = json.dumps({"requests": [get("http://127.0.0.1:9/a", save_to="a"), get("http://127.0.0.1:9/{{#.a.id}}")]})
    tried = typed("dry-run", "-", text=text)
    assert tried.returncode == 0, tried.stderr
    report = json.loads(tried.stdout)
    assert [sent["url"] for sent in report["requests"]] == ["http://127.0.0.1:9/a", "http://127.0.0.1:9/"]
    assert report["nothing_found"] == [{"path": "requests[1].url", "expression": "#.a.id", "times": 1}]
    (tmp_path / "answers.json").write_text('{"requests[0]": {"body": {"id": 7}}, "requests[1]": {"status": 500}}')
    tried = typed("dry-run", "-", "--answers", str(tmp_path / "answers.json"), text=text)
    assert (tried.returncode, json.loads(tried.stdout)["stopped"]["path"]) == (1, "requests[1]")
    assert json.loads(tried.stdout)["requests"][1]["url"] == "http://127.0.0.1:9/7"


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [('{"a": {"status": 1}}', 1, "answers.a.status"), ("{", 1, "line 1"), (None, 2, "cannot be read")],
)
def test_answers_that_cannot_be_used(typed: Typed, tmp_path: Path, answers: str | None, code: int, told: str) -> None:
    if answers is not None:
        (tmp_path / "answers.json").write_text(answers)
    tried = typed("dry-run", "-", "--answers", str(tmp_path / "answers.json"), text='{"requests": []}')
    assert tried.returncode == code
    assert told in tried.stderr


def test_an_import_prints_the_sequence_and_tells_what_to_do(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "requests.txt"
    file.write_bytes(b"\xef\xbb\xbfcurl -L http://h/ -H 'Authorization: Bearer canary'")
    done = typed("import", str(file))
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "requests": [{"method": "GET", "url": "http://h/", "auth": {"bearer": "{{secret.TOKEN}}"}}]
    }
    assert done.stderr == f"{file}: commands[0]: Store the value as a secret: PUT /secrets/TOKEN.\n"
    for arguments, code, told in (
        (("import", str(file), "--format", "har"), 1, f"{file}: source: A HAR is JSON, which this is not: "),
        (("import", str(tmp_path / "none")), 2, "cannot be read"),
    ):
        done = typed(*arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert told in done.stderr


@pytest.mark.django_db
def test_secrets_are_read_and_never_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, serve: Serve, colleague: Person
) -> None:
    save_secret(user=colleague.user, name="KEY", value="canary-48151623", is_global=False)
    save_sequence(user=colleague.user, name="inner", sequence={"requests": [], "persistence": {"in": "{{x}}"}})
    server = serve(answer(b'{"echo": "canary-48151623"}'))
    file = tmp_path / "a.json"
    steps = [
        get(f"{server.url}/{{{{secret.KEY}}}}", auth={"bearer": "{{secret.KEY}}"}, save_to="got"),
        get(f"{server.url}/2", sensitive=True, save_to="sensitive"),
        {"call": {"sequence": "inner"}, "save_to": "called"},
    ]
    file.write_text(json.dumps({"requests": steps}))
    with pytest.raises(SystemExit, match="0"):
        call_command("sequence", "run", "--json", "--as", colleague.user.email, str(file))
    printed, shown = capsys.readouterr()
    result = json.loads(printed)
    assert (result["got"], result["sensitive"]) == ({"echo": "***"}, "***")
    assert result["called"]["in"] == "{{x}}"
    assert "Authorization: Bearer canary-48151623" in server.heads[0]
    assert "canary" not in printed + shown
    file.write_text(json.dumps({"requests": [get("http://{{secret.KEY}}/")]}))
    with pytest.raises(SystemExit, match="1"):
        call_command("sequence", "run", str(file))
    assert "There is no secret KEY." in capsys.readouterr().out


def test_answers_are_kept_in_a_folder(typed: Typed, tmp_path: Path, serve: Serve) -> None:
    server = serve(answer(b"\x00\xff", "Content-Disposition: attachment; filename=a.bin"))
    steps = [
        get(server.url, response="bytes", save_to="file"),
        {"method": "POST", "url": server.url, "file": "{{#.file}}"},
        {"method": "POST", "url": server.url, "file": "file:///etc/passwd", "ignore_error": True, "save_to": "other"},
    ]
    done = typed("run", "--json", "--files", str(tmp_path / "kept"), "-", text=json.dumps({"requests": steps}))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["file"] == (tmp_path / "kept" / "1-a.bin").as_uri()
    assert (tmp_path / "kept" / "1-a.bin").read_bytes() == b"\x00\xff" == server.bodies[1]
    assert "no link" in result["other"]["worker_error"]
