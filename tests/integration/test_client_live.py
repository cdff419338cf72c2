"""The client, its command and crawlers written with it, against a running hub; its package; its README."""

import asyncio
import json
import os
import pty
import re
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from taskhub_client import (
    AsyncHub,
    Conflict,
    HubUnreachable,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    RunCancelled,
    RunFailed,
    WaitTimeout,
)
from taskhub_client import Hub as ClientHub
from taskhub_client.crawler import Crawler, CrawlTask, crawler
from taskhub_client.walkers import RunOptions
from tests.extraction_sites import bundled_site
from tests.hub import ROOT, Hub
from tests.integration.outbound_servers import Server, answer, serving

CLIENT = ROOT / "client"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def key(hub: Hub) -> str:
    """A key of a new user's."""
    return str(hub.sign_up().post("/user/apikey", {"name": "client"}).json()["key"])


@pytest.fixture
def client(hub: Hub, key: str) -> Iterator[ClientHub]:
    with ClientHub(hub.url, key) as client:
        yield client


# Runs


def test_a_walker_is_called_and_submitted(client: ClientHub) -> None:
    assert client.walkers.run("echo", value={"a": [1]}) == [{"a": [1]}]
    assert client.walkers.run("echo", {"value": 2}) == [2]
    run = client.walkers.submit("pause", seconds=0.4, steps=2, options=RunOptions(webhook=None))
    states = [record.state for record in run.events()]
    assert states[-1] == run.state == "SUCCESS"
    assert run.wait()["report"] == run.report == [0.4]
    assert run.id in {record.id for record in client.runs.list(limit=5, state=["SUCCESS", "FAILURE"], name="pause")}
    assert {"echo", "pause"} <= {walker["name"] for walker in client.walkers.list()}


def test_what_a_walker_did_not_take_or_do_is_raised(client: ClientHub) -> None:
    with pytest.raises(RunFailed, match="no tea") as failed:
        client.walkers.run("fail", message="no tea")
    assert failed.value.report == []
    run = client.walkers.submit("fail", message="no tea")
    with pytest.raises(RunFailed, match="no tea") as failed:
        run.wait()
    assert failed.value.run is not None
    assert failed.value.run.id == run.id
    assert failed.value.error is not None
    assert failed.value.error.where
    assert [line.level for line in run.logs("error")] == ["ERROR"]
    with pytest.raises(InvalidRequest) as invalid:
        client.walkers.run("pause", seconds="many")
    assert [error["pointer"] for error in invalid.value.errors] == ["/ctx/seconds"]
    with pytest.raises(NotFound):
        client.walkers.run("nothing of this name")


def test_a_run_is_waited_for_cancelled_and_tried_again(client: ClientHub) -> None:
    run = client.walkers.submit("pause", seconds=60)
    with pytest.raises(WaitTimeout):
        run.wait(0.1)
    assert run.cancel().state == "REVOKED"
    with pytest.raises(RunCancelled):
        run.wait()
    with pytest.raises(Conflict):
        run.cancel()
    again = run.retry()
    assert again.id != run.id
    again.cancel()
    assert again.refresh().state == "REVOKED"


def test_many_are_submitted_counted_cancelled_and_tried_again(client: ClientHub) -> None:
    tag = "many"
    later = RunOptions(tags=[tag], run_at=datetime(2999, 1, 1, tzinfo=UTC))
    runs = client.walkers.submit_many("echo", [{"value": number} for number in range(3)], options=later)
    assert [run.record.name for run in runs] == ["echo"] * 3
    assert client.runs.count_matched("cancel", tag=tag) == 3
    assert client.runs.cancel_many(tag=tag).wait(60)["changed"] == 3
    assert {run.refresh().state for run in runs} == {"REVOKED"}
    assert client.runs.retry_many(tag=tag, state=["REVOKED"]).wait(60)["changed"] == 3
    assert client.runs.retry_many(tag=tag, state=["REVOKED"]).wait(60)["changed"] == 0
    again = [next(iter(client.runs.list(retry_of=run.id))) for run in runs]
    assert [client.runs.get(record.id).wait(60)["report"] for record in again] == [[0], [1], [2]]
    other = runs[0].retry({"ctx": {"value": "other"}})
    assert other.wait(60)["report"] == ["other"]


def test_asyncio_has_the_same(hub: Hub, key: str) -> None:
    async def work() -> None:
        async with AsyncHub(hub.url, key) as client:
            assert await asyncio.gather(*(client.walkers.run("echo", value=n) for n in range(3))) == [[0], [1], [2]]
            run = await client.walkers.submit("pause", seconds=0.2, steps=1)
            assert [record.ended async for record in run.events()][-1]
            assert (await run.wait())["report"] == [0.2]
            assert run.id in [record.id async for record in client.runs.list(limit=3)]
            with pytest.raises(RunFailed):
                await client.walkers.run("fail", message="no tea")

    asyncio.run(work())


def test_a_stranger_and_a_bad_key_are_told(hub: Hub, client: ClientHub) -> None:
    run = client.walkers.submit("echo", value=1)
    with ClientHub(hub.url, token=hub.sign_up().token) as stranger, pytest.raises(NotFound):
        stranger.runs.get(run.id)
    with ClientHub(hub.url, "thk_nothing") as nobody, pytest.raises(NotSignedIn):
        nobody.me()


# The other rooms


def test_sequences_secrets_and_schedules(hub: Hub) -> None:
    sequence = {"requests": [{"method": "JAC", "api": "walker_list", "master": hub.admin.id, "save_to": "walkers"}]}
    with ClientHub(hub.url, token=hub.admin.token) as client:
        client.secrets.put("client_token", "s3cr3t")
        assert "client_token" in {secret["name"] for secret in client.secrets.list()}
        client.secrets.delete("client_token")
        assert "walkers" in client.sequences.run(sequence)
        with pytest.raises(InvalidRequest) as invalid:
            client.sequences.validate({"requests": [{"method": "GOT"}]})
        assert "requests[0].method" in {error["path"] for error in invalid.value.errors}
        client.sequences.put("client-test", sequence, description="who am I", if_version=0)
        assert client.sequences.get("client-test")["description"] == "who am I"
        run = client.sequences.submit("client-test")
        run.wait()
        assert [step["method"] for step in client.sequences.steps(run.id)] == ["JAC"]
        client.sequences.delete("client-test")
        schedule = client.schedules.create("client test", "walker", {"name": "echo"}, "0 4 * * *", enabled=False)
        assert client.schedules.update(schedule["id"], when="0 5 * * *")["when"]["crontab"] == "0 5 * * *"
        assert client.schedules.run(schedule["id"]).wait()["report"] == [None]
        calendar = client.schedules.calendar(
            date(2026, 2, 2), days=3, timezone="Europe/Warsaw", schedule=schedule["id"]
        )
        assert calendar["timezone"] == "Europe/Warsaw"
        assert [day["date"] for day in calendar["days"]] == ["2026-02-02", "2026-02-03", "2026-02-04"]
        assert [row["id"] for row in client.schedules.list(name="client test")] == [schedule["id"]]
        client.schedules.delete(schedule["id"])


def test_an_extraction_gives_records_and_a_file(client: ClientHub, tmp_path: Path) -> None:
    with bundled_site() as site:
        fields = [{"name": "Title", "selector": "h2 a", "attrs": ["text"]}]
        process = client.extraction.extract({"request": {"url": site}, "commonParent": ".book", "fields": fields})
        process.wait(60)
    records = list(process.records())
    assert records[0] == {"Title": "Book 1"}
    assert json.loads(process.download(tmp_path / "books.json").read_text()) == records
    assert process.download(tmp_path / "books.csv").read_text().startswith('"Title"')


def test_a_message_of_the_hub_is_verified_with_its_own_secrets(client: ClientHub) -> None:
    secret, now = client.webhooks.secrets()["current"]["secret"], datetime.now(UTC)
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(secret).sign("m", now, "{}")
    assert client.webhooks.verify(b"{}", headers) == {}


def test_a_rule_of_notifications_tells_of_a_failure(client: ClientHub) -> None:
    rule = client.notifications.create("client test", ["run.failed"], {"webhook": "http://127.0.0.1:9/hook"})
    assert client.notifications.update(rule["id"], filter={"name": "fail"})["filter"] == {"name": "fail"}
    assert rule["id"] in [row["id"] for row in client.notifications.list(on="run.failed", enabled=True)]
    [test] = client.notifications.test(rule["id"])
    run = client.walkers.submit("fail", message="no tea")
    with pytest.raises(RunFailed):
        run.wait()
    messages = {message["event"]: message for message in client.notifications.messages(rule["id"])}
    assert messages["notification.test"]["id"] == test["id"]
    assert messages["run.failed"]["run"] == str(run.id)
    client.notifications.delete(rule["id"])


# Faults of the network


def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    def script(server: Server, connection: Any) -> None:
        if len(server.heads) == 1:
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(answer(b'{"report": [1]}', "Content-Type: application/json"))

    with serving() as serve:
        server = serve(script)
        with ClientHub(server.url, "k") as client:
            assert client.walkers.run("echo", value=1) == [1]
    assert server.bodies[0] == server.bodies[1]
    keys = [re.search(r"idempotency-key: (\w+)", head, re.IGNORECASE) for head in server.heads]
    assert len({found[1] for found in keys if found}) == 1
    assert len(keys) == 2


def test_a_file_that_breaks_off_is_fetched_anew_and_never_half_there(tmp_path: Path) -> None:
    def script(server: Server, connection: Any) -> None:
        assert not (tmp_path / "docs.ndjson").exists()
        whole = answer(b'{"n": 1}\n' * 1000)
        connection.sendall(whole[: -500 if len(server.heads) == 1 else None])
        if len(server.heads) == 1:
            connection.shutdown(socket.SHUT_RDWR)

    with serving() as serve, ClientHub(serve(script).url, "k") as client:
        path = client.streams.export("fid", tmp_path / "docs.ndjson")
    assert len(path.read_bytes().splitlines()) == 1000
    assert [file.name for file in tmp_path.iterdir()] == ["docs.ndjson"]


def test_records_that_break_off_raise() -> None:
    def script(server: Server, connection: Any) -> None:
        connection.sendall(answer(b'{"n": 1}\n' * 1000)[:-500])
        connection.shutdown(socket.SHUT_RDWR)

    with serving() as serve, ClientHub(serve(script).url, "k") as client:
        found = client.streams.docs("fid")
        assert next(found) == {"n": 1}
        with pytest.raises(HubUnreachable, match="broke off"):
            list(found)


# Crawlers


@contextmanager
def served(made: Crawler, **options: Any) -> Iterator[str]:
    with made.make_server("127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.endpoint
        finally:
            made.stop_all()
            server.shutdown()
            thread.join()


def started(client: ClientHub, endpoint: str, **members: Any) -> dict[str, Any]:
    """A task of a new crawler of that endpoint."""
    external = client.crawlers.register(
        "client's", endpoint, parameters=[{"name": "count", "type": "integer"}], **members
    )
    made = client.crawlers.create(external["fid"], "client's", params={"count": 7})
    return client.crawlers.start(made["fid"])


def test_a_crawler_uploads_and_ends_its_task(client: ClientHub) -> None:
    @crawler(batch=3)
    def shop(task: CrawlTask) -> Iterator[dict[str, Any]]:
        for number in range(task.params["count"]):
            task.progress(number + 1, task.params["count"])
            task.stats["pages"] = task.state["page"] = number + 1
            yield {"sku": f"a{number}"}

    with served(shop, token="t0k3n") as endpoint:
        task = started(client, endpoint, headers={"Authorization": "Bearer t0k3n"}, docIdField="sku")
        client.runs.get(task["run"]).wait(60)
        task = client.crawlers.task(task["fid"])
    assert (task["status"]["code"], task["counts"]["inserted"], task["stats"]) == (200, 7, {"pages": 7})
    assert sum(count["inserted"] for count in client.usage(bucket="minute")) >= 7
    assert {document["sku"] for document in client.streams.docs(task["stream"])} == {f"a{n}" for n in range(7)}
    assert client.crawlers.state(task["crawler"]) == {"page": 7}
    client.crawlers.set_state(task["crawler"], None)
    assert client.crawlers.state(task["crawler"]) is None
    changes = client.streams.changes(task["stream"], limit=5)
    assert (len(changes.changes), changes.more) == (5, True)
    assert len(next(client.streams.follow(task["stream"], changes.cursor)).changes) == 2


def test_a_crawler_of_asyncio_and_one_that_fails(client: ClientHub) -> None:
    @crawler
    async def shop(task: CrawlTask) -> Any:
        yield {"sku": "a"}
        raise ValueError("the shop is closed")

    with served(shop) as endpoint:
        task = started(client, endpoint)
        with pytest.raises(RunFailed, match="the shop is closed"):
            client.runs.get(task["run"]).wait(60)


def test_a_deleted_task_is_left(client: ClientHub) -> None:
    began, left = threading.Event(), threading.Event()

    @crawler
    def shop(task: CrawlTask) -> Iterator[dict[str, Any]]:
        try:
            began.set()
            while not task.stopped:
                left.wait(0.05)
                yield {"sku": "a"}
        finally:
            left.set()

    with served(shop) as endpoint:
        task = started(client, endpoint)
        assert began.wait(60)
        client.crawlers.delete_task(task["fid"])
        assert left.wait(60)


def test_a_crawler_serves_only_whom_it_knows_and_starts_a_task_once() -> None:
    release = threading.Event()

    @crawler
    def shop(task: CrawlTask) -> None:
        release.wait(60)

    sent = {"fid": "1", "endpoint": "http://127.0.0.1:9/c/x", "params": {}}
    with served(shop, token="t0k3n") as endpoint, requests.Session() as session:
        assert session.post(f"{endpoint}/task", json=sent, timeout=60).status_code == 401
        session.headers["Authorization"] = "Bearer t0k3n"
        callbacks = [session.post(f"{endpoint}/task?version=1", json=sent, timeout=60).json()["payload"] for _ in "ab"]
        assert callbacks[0] == callbacks[1]
        refused = {
            "/task": [
                (b"{", 400),
                (b"[" * 100_000, 400),
                (b"[]", 400),
                (b"{}", 400),
                (b'{"fid": "1", "endpoint": "file:///"}', 400),
                (b'{"fid": "1", "endpoint": "http://[::1"}', 400),
                (b'{"fid": "1", "endpoint": "http://127.0.0.1:9/", "params": [1]}', 400),
            ],
            "/elsewhere": [(b"{}", 404)],
        }
        for path, cases in refused.items():
            for body, status in cases:
                assert session.post(endpoint + path, data=body, timeout=60).status_code == status, body
        told = endpoint + callbacks[0]["callback"] + "/status"
        for body, status in ((b'{"code": "x"}', 400), (b"{}", 400), (b'{"code": 408}', 200)):
            assert session.patch(told, data=body, timeout=60).status_code == status, body
        release.set()


TERMINATED = """
import signal, sys, time
from taskhub_client.crawler import crawler

@crawler
def shop(task):
    while signal.getsignal(signal.SIGTERM) is not signal.default_int_handler:  # until it is served
        time.sleep(0.01)
    print("began", flush=True)
    time.sleep(60)

shop.start({"fid": "1", "endpoint": sys.argv[1]})
shop.serve(port=0)
"""


def test_a_crawler_whose_process_is_terminated_tells_that_its_tasks_failed() -> None:
    with serving() as serve:
        server = serve(answer(b"{}", "Content-Type: application/json"))
        variables = {**os.environ, "PYTHONPATH": str(CLIENT / "src")}
        argv = [sys.executable, "-c", TERMINATED, f"{server.url}/c/x"]
        with subprocess.Popen(argv, env=variables, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "began\n"
            process.terminate()
            assert process.wait(60) == 0
    assert [json.loads(body) for body in server.bodies] == [{"code": 500, "message": "the crawler was stopped"}]


# The command


def command(hub: Hub, key: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, "PYTHONPATH": str(CLIENT / "src"), "TASKHUB_URL": hub.url, "TASKHUB_KEY": key}
    argv = [sys.executable, "-m", "taskhub_client", *arguments]
    return subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [
        (["run", "echo", "value=[1]"], 0, "1"),
        (["--json", "run", "echo", "value=1"], 0, '"report": [1]'),
        (["run", "fail", "message=no tea"], 1, "no tea"),
        (["run", "nothing of this name"], 3, "404"),
        (["run", "echo", "value"], 2, "name=value"),
        (["run", "echo", "--ctx", "["], 2, "--ctx is not JSON"),
        (["wait", "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"], 3, "404"),
        (["--url", "http://127.0.0.1:9", "--key", "k", "runs"], 3, "does not answer"),
        (["--key", "thk_wrong", "runs"], 3, "taskhub login"),
        (["runs", "--name", "echo", "-n", "1"], 0, "SUCCESS"),
        (["schedule", "preview", "0 16 * * 1"], 0, "16:00:00"),
        (["nothing"], 2, "No such command"),
        (["completion", "bash"], 0, "_TASKHUB_COMPLETE"),
    ],
)
def test_a_command_prints_and_ends(hub: Hub, key: str, arguments: list[str], code: int, printed: str) -> None:
    done = command(hub, key, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert printed in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_login_keeps_a_key(hub: Hub, tmp_path: Path) -> None:
    user = hub.sign_up()
    variables = {**os.environ, "PYTHONPATH": str(CLIENT / "src"), "XDG_CONFIG_HOME": str(tmp_path)}
    variables = {name: value for name, value in variables.items() if not name.startswith("TASKHUB_")}

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "taskhub_client", *arguments]
        return subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=60, check=False)

    done = call("--url", hub.url, "login", "--email", user.email, "--password", "correct horse battery")
    assert done.returncode == 0, done.stderr
    assert user.email in done.stdout
    assert call("run", "echo", "value=1").stdout.split() == ["[", "1", "]"]
    assert call("logout").returncode == 0
    assert call("--url", hub.url, "runs").returncode == 3


def test_a_bar_moves_on_a_terminal(hub: Hub, key: str) -> None:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "PYTHONPATH": str(CLIENT / "src"), "TASKHUB_URL": hub.url, "TASKHUB_KEY": key}
    argv = [sys.executable, "-m", "taskhub_client", "run", "pause", "seconds=1", "steps=4"]
    with subprocess.Popen(
        argv, env={**variables, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # Linux's way to say that the other end is closed
            pass
        assert process.wait(60) == 0
    os.close(ours)
    assert b"of 4" in shown
    assert b"1.0" in shown


# The package and its page


def test_the_package_is_built_and_works_alone(tmp_path: Path) -> None:
    """In an environment of its own; what it needs is lent by that of the tests, so nothing is fetched."""
    uv = [sys.executable, "-m", "uv"]
    python = tmp_path / "venv/bin/python"

    def said(*command: str | Path, **variables: str) -> str:
        environment = {**os.environ, **variables}
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    said(*uv, "build", "--offline", "--quiet", CLIENT, "--out-dir", tmp_path)
    [wheel], [_] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    said(*uv, "venv", "--offline", "--quiet", tmp_path / "venv", "--python", sys.executable)
    said(*uv, "pip", "install", "--offline", "--no-deps", "--quiet", "--python", python, wheel)
    lent = sysconfig.get_path("purelib")
    assert said(tmp_path / "venv/bin/taskhub", "--version", PYTHONPATH=lent).endswith("0.1.0")
    named = said(python, "-c", "import importlib.metadata as m; print(*m.requires('taskhub-client'))")
    assert re.findall(r"[a-z]+(?=[>=])", named) == ["httpx", "click", "rich"]
    # These make an import longer than 0.3 s, and wait until they are needed.
    loaded = said(python, "-c", "import sys, taskhub_client; print(*sys.modules)")
    assert {"httpx", "asyncio", "rich", "click"} & set(loaded.split()) == set()


def test_the_package_fits_the_oldest_python_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\npython_version = 3.10\n")
    checked = [
        "-m",
        "mypy",
        "--config-file",
        str(tmp_path / "mypy.ini"),
        "--cache-dir",
        str(tmp_path),
        "-p",
        "taskhub_client",
    ]
    done = subprocess.run([sys.executable, *checked], cwd=CLIENT / "src", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_page_does_what_it_shows(hub: Hub, tmp_path: Path) -> None:
    key = hub.admin.post("/user/apikey", {"name": "page"}).json()["key"]
    blocks = BLOCK.findall((CLIENT / "README.md").read_text())
    programs = [text for language, text in blocks if language == "python"]
    assert len(programs) >= 6
    printed = "".join(text for language, text in blocks if language == "text")
    variables = {**os.environ, "PYTHONPATH": str(CLIENT / "src"), "TASKHUB_URL": hub.url, "TASKHUB_KEY": key}
    (tmp_path / "page.py").write_text(
        "\n".join(program.replace('__name__ == "__main__"', "False") for program in programs)
    )
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
