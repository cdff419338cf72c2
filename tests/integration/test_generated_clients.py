"""Clients that others' generators make of /openapi.json: made, imported whole, type-checked, and called with.

The programs of docs/http.md are among them.
"""

import importlib
import io
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest

from tests import crawler_client
from tests.extraction_sites import FIELDS, bundled_site
from tests.hub import PASSWORD, ROOT, Caller, Hub
from tests.requirements import miss

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("generated clients")]

DOCS = (ROOT / "docs" / "http.md").read_text()
PACKAGES = ROOT / "tests" / "data" / "typescript_client" / "package.json"
# The generator knows neither content type; docs/http.md says what to do.
WARNINGS = {
    "POST /actions/tasks/{fid}/log",
    "POST /c/{capability}/actions/tasks/{fid}/log",
    "POST /actions/tasks/{fid}/upload",
    "POST /c/{capability}/actions/tasks/{fid}/upload",
    "POST /v1/convert/url/pdf",
    "POST /v1/convert/url/screenshot",
}


def program(language: str) -> str:
    section = DOCS.partition("## Generated clients")[2]
    return str(re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[0])


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a program says, which must succeed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the document."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "openapi.json").write_bytes(hub.anonymous.get("/openapi.json").content)
    return folder


@pytest.fixture(scope="module")
def user(hub: Hub) -> Caller:
    return hub.sign_up()


# Python


@pytest.fixture(scope="module")
def generated(folder: Path) -> str:
    """What the generator says of the package `hub_client` that it made."""
    command = "-m openapi_python_client generate --meta none --path openapi.json --output-path hub_client"
    return run(sys.executable, *command.split(), cwd=folder)


@pytest.fixture(scope="module")
def package(generated: str, folder: Path) -> Iterator[SimpleNamespace]:
    """Every module of the client by its name, the calls by theirs, and the models by theirs."""
    sys.path.insert(0, str(folder))
    root: Any = importlib.import_module("hub_client")
    names = [info.name for info in pkgutil.walk_packages(root.__path__, "hub_client.")]
    modules = {name: importlib.import_module(name) for name in names}
    calls = {name.rpartition(".")[2]: module for name, module in modules.items() if name.startswith("hub_client.api.")}
    yield SimpleNamespace(
        **calls, root=root, models=modules["hub_client.models"], File=modules["hub_client.types"].File
    )
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def client(package: SimpleNamespace, user: Caller) -> Iterator[Any]:
    with package.root.AuthenticatedClient(user.url, token=user.token, timeout=httpx.Timeout(60)) as client:
        yield client


def test_each_call_has_its_module(package: SimpleNamespace, generated: str, folder: Path) -> None:
    document = json.loads((folder / "openapi.json").read_bytes())
    calls = [call["operationId"] for path in document["paths"].values() for call in path.values()]
    assert [name for name in calls if not hasattr(package, name)] == []
    assert set(re.findall(r"^WARNING parsing (\S+ \S+) within", generated, re.MULTILINE)) == WARNINGS
    assert "Endpoint will not be generated" not in generated


def test_the_package_is_sound(generated: str, folder: Path) -> None:
    """No name in it is undefined, and the program of docs/http.md keeps to its types."""
    run(sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E9,F63,F7,F82", "hub_client", cwd=folder)
    (folder / "program.py").write_text(program("python"))
    mypy = "-m mypy --no-incremental --strict --follow-imports silent --config-file="
    run(sys.executable, *mypy.split(), "program.py", cwd=folder, MYPYPATH=str(folder))


def test_the_program_of_the_docs_works(generated: str, folder: Path, user: Caller) -> None:
    (folder / "program.py").write_text(program("python"))
    said = run(sys.executable, "program.py", cwd=folder, HUB=user.url, EMAIL=user.email, PASSWORD=PASSWORD)
    assert said.startswith("SUCCESS {'success': True, 'report': ['hello'],")


def test_an_account(package: SimpleNamespace, hub: Hub) -> None:
    models, email = package.models, f"user.{uuid4().hex}@hub.example"
    with package.root.Client(hub.url) as anyone:
        made = package.user_create.sync(client=anyone, body=models.SignUpRequest(email=email, password=PASSWORD))
        assert isinstance(made, models.User)
        token = package.user_token.sync(client=anyone, body=models.SignInRequest(email=email, password=PASSWORD))
        refused = package.user_token.sync(client=anyone, body=models.SignInRequest(email=email, password="x"))
    assert (refused.status, refused.type_) == (401, "not-authenticated")
    with package.root.AuthenticatedClient(hub.url, token=token.token) as client:
        assert package.user_read.sync(client=client).email == email
        key = package.apikey_create.sync(
            client=client, body=models.NewKeyRequest(name="a", scopes=[models.ScopesEnum.READ])
        )
    with package.root.Client(hub.url, headers={"X-API-Key": key.key}) as client:
        assert package.user_read.sync(client=client).email == email


def test_a_walk_at_once_and_in_the_background(package: SimpleNamespace, client: Any) -> None:
    models = package.models
    ctx = models.WalkerRunBodyCtx.from_dict({"value": 1})
    report = package.walker_run_post.sync(client=client, body=models.WalkerRunBody("echo", ctx=ctx))
    assert (report.report, report.success) == ([1], True)
    body = models.WalkerRunBody("echo", ctx=ctx, is_async=False)
    queued = package.walker_run_post.sync(client=client, body=body, is_async=True)
    assert isinstance(queued, models.QueuedResponse)
    ended = package.walker_queue_wait_post.sync(client=client, body=models.WalkerQueueWaitBody(queued.task_id))
    assert (ended.state, ended.result["report"]) == ("SUCCESS", [1])
    failed = package.wapi_taskhub_fail_post.sync(client=client, body=models.FailBody(ctx=models.FailCtx(message="No.")))
    assert (failed.status, failed.error.message, failed.report) == (422, "No.", [])
    wrong = package.walker_run_post.sync(client=client, body=models.WalkerRunBody("nothing"))
    assert (wrong.status, wrong.success) == (404, False)


def test_files_are_sent(package: SimpleNamespace, client: Any) -> None:
    models, file = package.models, package.File(io.BytesIO(b"x" * 100_000), "cup.png", "image/png")
    body = models.EchoForm(ctx=models.EchoCtx(value=[2]), file=file)
    body["another one"] = package.File(io.BytesIO(b"y"), "saucer.txt", "text/plain")
    report = package.wapi_taskhub_echo_post.sync(client=client, body=body)
    assert report.report == [[2]]


def test_a_run_is_followed_and_lists_are_paged(package: SimpleNamespace, client: Any) -> None:
    models = package.models
    ids = [package.wapi_taskhub_echo_post.sync(client=client, is_async=True).task_id for _ in range(3)]
    for run_id in ids:
        events = package.runs_events.sync(UUID(run_id), client=client)
        assert isinstance(events, str)
        last = json.loads(events.rstrip().rpartition("data: ")[2])
        assert last["state"] == "SUCCESS"
    end = package.runs_retrieve.sync(UUID(ids[0]), client=client).revision
    seen = package.runs_events.sync_detailed(UUID(ids[0]), client=client, last_event_id=str(end))
    assert seen.status_code == 204
    states = [models.RunsListStateItem.SUCCESS, models.RunsListStateItem.FAILURE]
    page = package.runs_list.sync(client=client, limit=2, state=states, kind=["walker"])
    assert [str(run.id) for run in page.results] == ids[:0:-1]
    (cursor,) = parse_qs(urlsplit(page.next_).query)["cursor"]
    following = package.runs_list.sync(client=client, limit=1, cursor=cursor, state=states)
    assert [str(run.id) for run in following.results] == ids[:1]


def test_documents_are_uploaded_and_read(package: SimpleNamespace, client: Any) -> None:
    models = package.models
    parameters = [models.ParameterDescription.from_dict(one) for one in crawler_client.PARAMETERS]
    schema = models.ExternalSentSchemaType0.from_dict(crawler_client.SCHEMA)
    with crawler_client.example_crawler() as endpoint:
        meta = models.ExternalSentMeta.from_dict({"name": "shop"})
        sent = models.ExternalSent(meta=meta, endpoint=endpoint, parameters=parameters, schema=schema)
        external = package.externals_create.sync(client=client, body=sent).payload
        assert [one.name for one in external.parameters] == ["query", "count", "pause", "secret"]
        params = models.NewCrawlerSentParams.from_dict({"query": "shoe", "pause": 60})
        body = models.NewCrawlerSent(params=params, start=True)
        made = package.crawlers_create.sync(UUID(external.fid), client=client, body=body).payload
    lines = io.BytesIO(b'{"sku": "a1"}\n{"sku": "a2", "price": 2.5}\n')
    task = UUID(made.task.fid)
    uploaded = package.tasks_upload.sync(task, client=client, body=package.File(lines))
    assert (uploaded.success, uploaded.inserted, uploaded.payload.count) == (True, 2, 2)
    page = package.streams_docs.sync(UUID(made.stream.fid), client=client)
    assert [one.to_dict()["sku"] for one in page.payload.results] == ["a1", "a2"]
    assert package.tasks_delete.sync(task, client=client).success
    problem = package.tasks_upload.sync(task, client=client, body=package.File(io.BytesIO(b"{}")))
    assert (problem.status, problem.type_) == (404, "not-found")


def test_pages_are_extracted(package: SimpleNamespace, client: Any) -> None:
    models = package.models
    with bundled_site() as site:
        payload = {"name": "Books", "request": {"url": f"{site}/"}, "commonParent": ".book", "fields": FIELDS}
        body = models.ExtractionTasksCreateBody.from_dict(payload | {"format": "JSON"})
        task = package.extraction_tasks_create.sync(client=client, body=body)
        process = package.extraction_tasks_run.sync(task.id, client=client, body=models.ExtractionTasksRunBody())
        run = package.runs_list.sync(client=client, kind=["extraction"], limit=1).results[0]
        package.runs_events.sync(run.id, client=client)
    process = package.extraction_processes_info.sync(process.id, client=client)
    assert (process.status, process.response_count) == ("finished", 1)
    link = package.extraction_link.sync(client=client, name=process.results)
    assert isinstance(link, str)
    assert httpx.get(link).json()[0].keys() == {"title_href", "title_text"}
    assert package.extraction_file.sync(*link.split("/")[-2:], client=client).startswith("[")
    (page,) = package.extraction_processes_pages.sync(process.id, client=client).results
    assert page.records == 8


# TypeScript


@pytest.fixture(scope="module")
def packages(folder: Path) -> Path:
    """A folder with the packages of npm; without npm, or out of reach of its registry, the test is skipped."""
    npm = shutil.which("npm")
    words = "" if npm and shutil.which("node") else "There is no npm or no node."
    if not words:
        shutil.copy(PACKAGES, folder)
        options = "--no-package-lock --no-audit --no-fund --ignore-scripts"
        done = subprocess.run(
            [str(npm), "install", *options.split()], cwd=folder, capture_output=True, text=True, timeout=170
        )
        words = f"npm installs nothing: {done.stderr[-500:]}" if done.returncode else ""
    if words:
        miss(words)
    return folder


def test_types_of_typescript_are_made_and_called_with(packages: Path, user: Caller) -> None:
    binaries = packages / "node_modules" / ".bin"
    run(binaries / "openapi-typescript", "openapi.json", "--output", "hub.ts", cwd=packages)
    (packages / "program.ts").write_text(program("typescript"))
    options = "--strict --target es2022 --lib es2022,dom,dom.iterable --module nodenext --outDir compiled"
    run(binaries / "tsc", *options.split(), "program.ts", cwd=packages)
    said = run("node", "compiled/program.js", cwd=packages, HUB=user.url, EMAIL=user.email, PASSWORD=PASSWORD)
    status, _, result = said.partition(" ")
    assert (status, json.loads(result)["report"]) == ("SUCCESS", ["hello"])


def test_what_a_type_forbids_does_not_compile(packages: Path) -> None:
    """The types say something: a misspelt name and a wrong type are told."""
    options = "--strict --noEmit --skipLibCheck --module nodenext"
    tsc = [packages / "node_modules" / ".bin" / "tsc", *options.split()]
    (packages / "wrong.ts").write_text(
        'import type { components, paths } from "./hub.js";\n'
        'const run: components["schemas"]["Run"]["state"] = "DONE";\n'
        'const query: paths["/runs"]["get"]["parameters"]["query"] = { stat: ["SUCCESS"] };\n'
    )
    done = subprocess.run([*map(str, tsc), "wrong.ts"], cwd=packages, capture_output=True, text=True, timeout=170)
    assert re.findall(r"^wrong.ts\((\d)", done.stdout, re.MULTILINE) == ["2", "3"]
