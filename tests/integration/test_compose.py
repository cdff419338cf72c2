"""docker-compose.yml, Dockerfile and .env.example against the code, and the commands run by hand without an engine."""

import ast
import fnmatch
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests
import yaml
from django.conf import settings
from django.db import connections
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from psycopg import sql

import taskhub
from taskhub.start.programs import commands
from tests.hub import ROOT, environment
from tests.ports import free_port

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if "build" in service}
THEIRS = {name: service for name, service in SERVICES.items() if "build" not in service}
PROGRAMS = commands("0.0.0.0", 8000, 4, apart=True)
NAMES = r"TASKHUB_[A-Z_]+|DATABASE_URL|REDIS_URL|CELERY_BROKER_URL|EMAIL_URL"
PACKAGES = [init.parent for init in ROOT.glob("*/__init__.py") if init.parent.name != "tests"]
ONLY_COMPOSE = {"POSTGRES_PASSWORD"}  # for the PostgreSQL of docker-compose.yml
ONLY_CHILDREN = {"TASKHUB_SUPERVISED", "TASKHUB_STARTED_BY"}  # marks of what was started


def service_of(program: str) -> str:
    return program.replace(":", "-")


def portable(command: list[str]) -> list[str]:
    return ["python" if part == sys.executable else part for part in command]


def read_by_the_code() -> set[str]:
    files = [ROOT / "manage.py", *(file for package in PACKAGES for file in package.rglob("*.py"))]
    found = {name for file in files for name in re.findall(rf'"({NAMES})"', file.read_text())}
    return found - ONLY_CHILDREN


def example() -> dict[str, str]:
    """Every variable of .env.example, commented out or not, and its value."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", text, re.MULTILINE))


# Parsed


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_of_up_is_a_service_with_its_very_command(program: str) -> None:
    assert SERVICES[service_of(program)]["command"] == portable(PROGRAMS[program])


def test_every_queue_has_a_worker() -> None:
    workers = {name.removeprefix("worker-") for name in SERVICES if name.startswith("worker-")}
    assert workers == set(settings.QUEUES)


def test_there_are_no_other_services() -> None:
    assert OWN.keys() == {service_of(program) for program in PROGRAMS} | {"migrate"}
    assert THEIRS.keys() == {"postgres", "redis"}


def test_programs_start_when_the_servers_are_healthy_and_the_database_is_migrated() -> None:
    for name, service in OWN.items():
        waits = {other: how["condition"] for other, how in service["depends_on"].items()}
        wanted = {"postgres": "service_healthy"}
        if name != "migrate":
            wanted |= {"redis": "service_healthy", "migrate": "service_completed_successfully"}
        assert waits == wanted, name
    assert SERVICES["migrate"]["restart"] == "no"


def test_what_others_wait_for_has_a_health_check() -> None:
    assert all("test" in SERVICES[name]["healthcheck"] for name in ("postgres", "redis", "web"))


def test_images_are_pinned_to_a_version() -> None:
    assert {service["image"] for service in OWN.values()} == {f"taskhub:{taskhub.__version__}"}
    sources = [service["image"] for service in THEIRS.values()] + docker("FROM")
    for image in sources:
        _, _, tag = image.partition(" ")[0].partition(":")
        assert re.match(r"\d", tag), f"{image} has no version"


def test_data_is_in_named_volumes_and_files_are_shared() -> None:
    mounts = {name: service["volumes"] for name, service in SERVICES.items()}
    assert mounts["postgres"] == ["postgres:/var/lib/postgresql"]
    assert mounts["redis"] == ["redis:/data"]
    home = OWN["web"]["environment"]["TASKHUB_HOME"]
    assert {tuple(mounts[name]) for name in OWN} == {(f"files:{home}",)}
    assert COMPOSE["volumes"].keys() == {"postgres", "redis", "files"}
    assert f"VOLUME {home}" in (ROOT / "Dockerfile").read_text()


def test_only_the_web_server_is_reachable_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:8000:8000"]}


def test_no_secret_is_written_down() -> None:
    needed = set(re.findall(r"\$\{(\w+)(?=:\?)", (ROOT / "docker-compose.yml").read_text()))
    assert needed == {"POSTGRES_PASSWORD", "TASKHUB_SECRET_KEY"}
    assert {name: value for name, value in example().items() if name in needed} == dict.fromkeys(needed, "")
    assert {service["env_file"] for service in OWN.values()} == {".env"}


def test_the_example_explains_exactly_what_the_code_reads() -> None:
    assert example().keys() - ONLY_COMPOSE == read_by_the_code()


def test_each_variable_of_the_example_is_explained() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"(# )?[A-Z_]+=", line):
            assert before.startswith("# "), f"{line} has no explanation"


def test_the_example_shows_the_defaults() -> None:
    shown = example()
    for name, default in defaults():
        assert shown[name] == default, name


def defaults() -> Iterator[tuple[str, str]]:
    """The literal defaults of settings.py; others depend on where the hub runs, or are examples."""
    for call in ast.walk(ast.parse((ROOT / "taskhub" / "settings.py").read_text())):
        match call:
            case ast.Call(func=ast.Name(id="env_int" | "env_flag" | "env_text" | "env_list"), args=[name, default, *_]):
                if not any(isinstance(part, ast.Name | ast.Call | ast.JoinedStr) for part in ast.walk(default)):
                    value = eval(compile(ast.Expression(default), "settings", "eval"))
                    yield ast.literal_eval(name), str(value).lower() if isinstance(value, bool) else str(value)


def test_variables_that_are_named_exist() -> None:
    known = example().keys()
    files = [ROOT / "docker-compose.yml", ROOT / "Dockerfile", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for file in files:
        named = set(re.findall(rf"\b({NAMES})\b", file.read_text()))
        assert named <= known, file.name


# The image


def docker(instruction: str) -> list[str]:
    """The arguments of each such line of the Dockerfile."""
    return re.findall(rf"^{instruction} (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_image_installs_what_is_pinned_and_runs_as_nobody_in_particular() -> None:
    install = next(line for line in docker("RUN") if "pip install" in line)
    make = re.search(r"^PIP := .* pip install (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert make is not None
    for options in (install, make[1]):  # so that what make has installed here is what the image gets
        assert "--require-hashes --only-binary :all:" in options
    assert len(docker("FROM")) == 2
    assert docker("USER") == ["taskhub"]
    assert f"{docker('FROM')[-1].partition('-')[0]}" == "python:3.11"


def pinned(file: str) -> dict[str, Requirement]:
    """What a requirement file pins for this platform, by its names."""
    lines = [line.partition("\\")[0] for line in (ROOT / file).read_text().splitlines() if re.match(r"\w", line)]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one for one in found if not one.marker or one.marker.evaluate()}


@pytest.mark.parametrize("use", ["", "-chrome", "-otel", "-client"])
def test_what_is_installed_is_complete_and_goes_together(use: str) -> None:
    """As pip would find, of the wheels that are here: each has what it requires, in a version that it takes."""
    pins = pinned(f"requirements{use}.txt")
    assert len(pins) > 50
    left = [(name, frozenset(pin.extras)) for name, pin in pins.items()]
    seen = set(left)
    while left:
        name, extras = left.pop()
        package = distribution(name)
        assert pins[name].specifier.contains(package.version, prereleases=True), f"{name} {package.version} is here"
        assert package.read_text("WHEEL"), name
        for one in map(Requirement, package.requires or []):
            if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                continue
            needed = canonicalize_name(one.name)
            assert needed in pins, f"{name} requires {one}, which is not pinned"
            assert one.specifier.contains(distribution(needed).version, prereleases=True), f"{name} requires {one}"
            if (more := (needed, frozenset(one.extras))) not in seen:
                seen.add(more)
                left.append(more)


def test_the_image_holds_the_apps_and_nothing_else() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    tops = {name.partition("/")[0] for name in [*listed, ".env", ".git", ".venv", "var", "shop"] if name}
    kept = {top for top in tops if not any(fnmatch.fnmatchcase(top, pattern) for pattern in ignored)}
    assert kept - {package.name for package in PACKAGES} == {
        "manage.py",
        "requirements.txt",
        "requirements-chrome.txt",
        "requirements-otel.txt",
        "shop",
    }


# By hand


@pytest.fixture
def database(django_db_setup: None) -> Iterator[str]:
    """The address of a database, as a server that was not made by `up` has it; with tables where some are at hand."""
    name = f"compose_{uuid4().hex[:12]}"
    address, template = os.environ["DATABASE_URL"], connections["default"].settings_dict["TEST"].get("TEMPLATE")
    with psycopg.connect(address, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template or "template1")))
        yield f"{address.rpartition('/')[0]}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running(service: str, environ: dict[str, str], port: int, log: Path) -> Iterator[None]:
    """A service's very command, at another port; it ends when it is asked to."""
    places = {"python": sys.executable, "0.0.0.0": "127.0.0.1", "8000": str(port)}
    command = [places.get(part, part) for part in SERVICES[service]["command"]]
    with open(log / f"{service}.log", "wb") as output:
        program = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
        assert program.poll() is None, (log / f"{service}.log").read_text()
    finally:
        if program.poll() is None:
            program.send_signal(signal.SIGTERM)
            program.wait(60)


def health(url: str, until: dict[str, str]) -> requests.Response:
    """The first answer of /healthz that says at least `until`."""
    session = requests.Session()
    session.trust_env = False
    session.mount(url, requests.adapters.HTTPAdapter(max_retries=requests.adapters.Retry(60, backoff_factor=0.1)))
    with session:
        while not (answer := session.get(f"{url}/healthz", timeout=30)).json()["checks"].items() >= until.items():
            time.sleep(0.1)  # or it would take what the programs need to start
    return answer


@pytest.mark.slow
@pytest.mark.xdist_group("starts")
def test_the_services_run_by_hand(database: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = environment(tmp_path / "home") | {
        "DATABASE_URL": database,
        "REDIS_URL": os.environ["REDIS_URL"].partition("?db=")[0] + "?db=15",
        "TASKHUB_SECRET_KEY": uuid4().hex,
        "TASKHUB_PUBLIC_URL": url,
    }
    migrate = [sys.executable, *SERVICES["migrate"]["command"][1:]]
    done = subprocess.run(migrate, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    with ExitStack() as stack:
        stack.enter_context(running("web", environ, port, tmp_path))
        missing = {f"worker:{queue}": "no worker" for queue in settings.QUEUES} | {"beat": "no leader"}
        answer = health(url, missing)
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        assert answer.json()["checks"] == {"database": "ok", "broker": "ok", **missing}

        stack.enter_context(running("worker-walkers", environ, port, tmp_path))
        stack.enter_context(running("beat", environ, port, tmp_path))
        answer = health(url, {"worker:walkers": "ok", "beat": "ok"})
        assert answer.status_code == 503
        assert answer.json()["checks"]["worker:extraction"] == "no worker"

        refused = requests.post(f"{url}/user/create/", json={"email": "a@b.example", "password": "x"}, timeout=30)
        assert refused.status_code == 403, "sign-up is closed where the servers are given"
