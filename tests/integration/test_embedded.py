"""The private PostgreSQL and Redis: started, shared, stopped, and found again after a kill."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from taskhub.embedded import OWNER, CannotStart, Home, Servers, check_addresses, ensure_services
from taskhub.embedded import home as home_module
from taskhub.embedded.postgres import Postgres
from tests.migrated_home import fill
from tests.unprivileged import as_user, give

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
BORROW = """
import json, sys
from taskhub.embedded import ensure_services
with ensure_services(sys.argv[1]) as environment:
    print(json.dumps(environment), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with spaces and capitals in its path that every account can reach; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="taskhub Test "))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(place: Path) -> Path:
    """One that was used before, for what is not about making it: to make a cluster takes a second."""
    home = place / "var"
    fill(home)
    return home


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "TASKHUB_SECRET_KEY", "TASKHUB_PRIVATE"):
        monkeypatch.delenv(name, raising=False)


def borrower(home: Path, *, user: bool = False) -> "subprocess.Popen[str]":
    """Another process that uses the home's servers until it reads a line."""
    argv = [sys.executable, "-c", BORROW, str(home)]
    return subprocess.Popen(
        as_user(argv) if user else argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def told(process: "subprocess.Popen[str]") -> dict[str, str]:
    assert process.stdout is not None
    found: dict[str, str] = json.loads(process.stdout.readline())
    return found


def servers_of(home: Path) -> list[psutil.Process]:
    return [process for server in Servers.of(Home(home), {}).private for process in server.processes()]


def started_by_server(process: psutil.Process) -> bool:
    """Such as those of PostgreSQL that come and go."""
    parent = process.parent()
    return parent is not None and parent.name() == process.name()


def query(environment: dict[str, str], sql: str) -> Any:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Starting and stopping


def test_servers_start_in_a_folder_with_spaces_and_keep_their_data(place: Path) -> None:
    home = place / "var"
    with ensure_services(home) as environment:
        assert query(environment, "SHOW server_version_num")[:2] == "18"
        assert query(environment, "SELECT current_database() || current_user") == "taskhubtaskhub"
        assert query(environment, "SHOW fsync") == "on"
        assert query(environment, "SHOW server_encoding") == "UTF8"
        assert query(environment, "SHOW listen_addresses") == ""
        query(environment, "CREATE TABLE kept (id int)")
        with redis.Redis.from_url(environment["REDIS_URL"]) as client:
            options = client.config_get("*")
            assert (options["port"], options["appendonly"], options["maxmemory-policy"]) == ("0", "yes", "noeviction")
            client.set("kept", 1)
    assert servers_of(home) == []
    with ensure_services(home) as again:
        assert again == environment
        assert query(again, "SELECT count(*) FROM kept") == 0
        with redis.Redis.from_url(again["REDIS_URL"]) as client:
            assert client.get("kept") == b"1"
    assert servers_of(home) == []


def test_home_data_and_sockets_are_closed_to_other_users(place: Path) -> None:
    home = place / "var"
    home.mkdir(mode=0o755)
    Home(home)  # as a command does that needs no servers
    with ensure_services(home):
        assert mode(home) & 0o007 == 0
        data, _ = Home(home).locate_data()
        assert {mode(data / name) for name in ("postgres", "redis", "sockets")} == {0o700}
        assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in (data / "sockets").iterdir())


def test_a_user_who_is_not_root_starts_them(place: Path) -> None:
    give(place)
    process = borrower(place / "var", user=True)
    with process:
        environment = told(process)
        assert query(environment, "SELECT 1") == 1
        assert all(server.uids().real != 0 for server in servers_of(place / "var"))
        process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0
    assert servers_of(place / "var") == []


def test_borrowers_share_the_servers_and_the_last_one_stops_them(home: Path) -> None:
    with borrower(home) as first:
        told(first)
        with borrower(home) as second:
            environment = told(second)
            started = {process.pid for process in servers_of(home) if not started_by_server(process)}
            assert first.stdin is not None
            first.stdin.write("\n")
            first.stdin.flush()
            assert query(environment, "SELECT 1") == 1
            assert first.poll() is None  # waits for the second
            assert started <= {process.pid for process in servers_of(home)}
            second.communicate("\n", timeout=PATIENCE)
        first.wait(PATIENCE)
    assert servers_of(home) == []


@pytest.mark.parametrize("name", ["x" * 100, "one,two"])
def test_sockets_move_where_their_path_would_not_work(place: Path, name: str) -> None:
    fill(place / name)
    with ensure_services(place / name) as environment:
        sockets = Servers.of(Home(place / name), {}).private[0].sockets
        assert sockets.parent == Path("/tmp")
        assert mode(sockets) == 0o700
        assert query(environment, "SELECT 1") == 1
    assert not sockets.exists()


def test_somebody_elses_socket_folder_is_refused(place: Path) -> None:
    sockets = Servers.of(Home(place / ("x" * 100)), {}).private[0].sockets
    sockets.symlink_to(place)
    try:
        with pytest.raises(CannotStart, match="belongs to somebody else"), ensure_services(place / ("x" * 100)):
            pytest.fail("it was used")
    finally:
        sockets.unlink()


def test_root_puts_the_data_where_its_servers_can_reach_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "SHARED_DATA", place)
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with ensure_services(closed / "var") as environment:
        data, account = Home(closed / "var").locate_data()
        assert query(environment, "SELECT 1") == 1
        assert (data.parent == place) is (account is not None) is (os.geteuid() == 0)
        assert all(server.uids().real != 0 for server in servers_of(closed / "var"))


def test_programs_that_the_account_cannot_reach_are_copied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskhub.embedded.postgres.can_execute", lambda account, path: False)
    monkeypatch.setattr("taskhub.embedded.redis.can_execute", lambda account, path: False)
    with ensure_services(place / "var") as environment:
        assert query(environment, "SELECT 1") == 1
        if os.geteuid() == 0:
            assert all(str(place) in server.exe() for server in servers_of(place / "var"))


# After a kill


def test_a_killed_borrower_leaves_servers_that_the_next_one_ends(home: Path) -> None:
    with borrower(home) as first:
        told(first)
        before = {process.pid for process in servers_of(home)}
        first.kill()
    with ensure_services(home) as environment:
        assert query(environment, "SELECT 1") == 1
        assert not before & {process.pid for process in servers_of(home)}


def test_a_killed_postgres_is_recovered(home: Path) -> None:
    with borrower(home) as first:
        environment = told(first)
        query(environment, "CREATE TABLE kept AS SELECT 1 AS id")
        first.kill()
    for process in servers_of(home):
        process.kill()
    with ensure_services(home) as environment:
        assert query(environment, "SELECT count(*) FROM kept") == 1


def test_a_lock_file_that_names_a_stranger_is_stale(home: Path) -> None:
    with ensure_services(home):
        server = Servers.of(Home(home), {}).postgres
        assert isinstance(server, Postgres)
        lines = (server.folder / "postmaster.pid").read_text().splitlines()
    with subprocess.Popen(as_user(["sleep", "600"])) as stranger:
        try:
            (server.folder / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            with ensure_services(home) as environment:
                assert query(environment, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_half_a_cluster_is_made_anew(place: Path) -> None:
    data, _ = Home(place / "var").locate_data()
    (data / "postgres.new" / "base").mkdir(parents=True)
    with ensure_services(place / "var") as environment:
        assert query(environment, "SELECT 1") == 1


# What stops a start


def test_the_key_is_made_once_and_for_its_owner_alone(place: Path) -> None:
    key = Home(place).secret_key()
    assert len(key) >= 50
    assert Home(place).secret_key() == key
    assert mode(place / "secret_key") == 0o600


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is not text"), (None, "cannot be read")],
)
def test_a_key_that_cannot_be_used_is_told(place: Path, content: bytes | None, sentence: str) -> None:
    file = place / "secret_key"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(CannotStart, match=sentence):
        Home(place).secret_key()


def test_a_home_that_cannot_be_made_is_told(place: Path) -> None:
    (place / "file").touch()
    with pytest.raises(CannotStart, match="cannot be used"):
        Home(place / "file" / "var")


def test_a_folder_that_held_other_things_keeps_its_mode(place: Path) -> None:
    (place / "something else").touch()
    for _ in range(2):
        with ensure_services(place) as environment:
            assert mode(place) == 0o755
            assert query(environment, "SELECT 1") == 1


def test_a_closed_folder_that_held_other_things_has_its_data_in_one_place(place: Path) -> None:
    home = place / "restored"
    home.mkdir(mode=0o700)
    (home / "secret_key").write_text("from a back-up")
    with ensure_services(home) as environment:
        query(environment, "CREATE TABLE kept ()")
    with ensure_services(home) as environment:
        assert query(environment, "SELECT count(*) FROM kept") == 0
        assert environment["TASKHUB_SECRET_KEY"] == "from a back-up"


def test_no_redis_is_told_in_one_sentence(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    server = Servers.of(Home(place), {}).redis
    assert server is not None
    with pytest.raises(CannotStart, match="No Redis: install redis-server or valkey-server, or set REDIS_URL"):
        server.prepare()


def test_the_wheels_redis_serves_when_none_is_on_the_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home.parent))
    with ensure_services(home) as environment, redis.Redis.from_url(environment["REDIS_URL"]) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.info("server")["server_name"] == "valkey"


def fake_server(folder: Path, name: str, version: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0:1 malloc=libc bits=64'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("on_path", "chosen"),
    [
        ({}, "bundled"),
        ({"redis-server": "6.2.14"}, "bundled"),
        ({"redis-server": "7.0.15"}, "redis-server"),
        ({"valkey-server": "8.1.0"}, "valkey-server"),
        ({"redis-server": "8.2.1", "valkey-server": "8.1.0"}, "redis-server"),
        ({"redis-server": "7.2.4", "valkey-server": "10.0.0"}, "valkey-server"),
        ({"redis-server": "6.2.14", "valkey-server": "nonsense"}, "bundled"),
    ],
)
def test_a_supported_server_of_the_path_is_preferred(
    place: Path, monkeypatch: pytest.MonkeyPatch, on_path: dict[str, str], chosen: str
) -> None:
    programs = {name: fake_server(place, name, version) for name, version in on_path.items()}
    monkeypatch.setenv("PATH", str(place))
    server = Servers.of(Home(place / "var"), {}).redis
    assert server is not None
    server.folder.parent.mkdir(parents=True, exist_ok=True)
    program = Path(server.prepare().argv[0])
    assert program == programs.get(chosen, program)
    assert (program in programs.values()) == (chosen != "bundled")


def test_an_old_server_of_the_path_serves_where_the_wheel_is_missing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fake_server(place, "redis-server", "6.2.14")
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    server = Servers.of(Home(place), {}).redis
    assert server is not None
    program = server.prepare()
    assert program.argv[0] == str(old)
    assert "--appenddirname" not in program.argv


def test_a_server_that_does_not_start_is_told(home: Path) -> None:
    data, _ = Home(home).locate_data()
    (data / "postgres" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(CannotStart, match=r"did not start: see .*servers\.log"), ensure_services(home):
        pytest.fail("it started")
    assert servers_of(home) == []


def test_a_lock_says_who_holds_it(home: Path) -> None:
    with borrower(home) as first:
        told(first)
        with Home(home).lock(OWNER) as owner:
            assert not owner.try_take("me")
            assert f"(pid {first.pid})" in owner.holder()
        first.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL": "mysql://u:secret@h/db"}, "DATABASE_URL is not an address"),
        ({"DATABASE_URL": "postgresql://u:secret@h:port/db"}, "DATABASE_URL is not an address"),
        ({"DATABASE_URL": "postgresql://u:secret@h"}, "DATABASE_URL is not an address"),
        ({"DATABASE_URL": "u:secret@h/db"}, "DATABASE_URL is not an address"),
        ({"REDIS_URL": "http://:secret@h"}, "REDIS_URL is not an address"),
        ({"REDIS_URL": "redis://"}, "REDIS_URL is not an address"),
        ({"REDIS_URL": "unix://"}, "REDIS_URL is not an address"),
        ({"CELERY_BROKER_URL": "secret"}, "CELERY_BROKER_URL is not an address"),
        ({"DATABASE_URL": "postgresql://u:secret@h/db"}, "TASKHUB_SECRET_KEY is not"),
    ],
)
def test_addresses_that_cannot_be_used_are_told_without_their_passwords(
    variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(CannotStart, match=sentence) as caught:
        check_addresses(variables)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DATABASE_URL": "postgresql://u:p@h:5432/db", "TASKHUB_SECRET_KEY": "k"},
        {"DATABASE_URL": "postgres://%2Frun%2Fpg/db", "TASKHUB_SECRET_KEY": "k"},
        {"DATABASE_URL": "postgresql:///db?host=/run/pg", "TASKHUB_SECRET_KEY": "k"},
        {"REDIS_URL": "unix:///run/redis.sock?db=1"},
        {"REDIS_URL": "rediss://:p@h:6380/0", "CELERY_BROKER_URL": "amqp://u:p@h:5672//"},
    ],
)
def test_addresses_that_can_be_used_pass(variables: dict[str, str]) -> None:
    try:
        check_addresses(variables)
    except CannotStart as error:
        pytest.fail(str(error))


def test_given_servers_are_not_started(place: Path) -> None:
    given = {"DATABASE_URL": "postgresql://h/db", "REDIS_URL": "redis://h"}
    servers = Servers.of(Home(place), given)
    assert servers.private == []
    assert servers.environment() == {"TASKHUB_HOME": str(place)}


def test_the_private_addresses_are_known_again(place: Path) -> None:
    environment = Servers.of(Home(place), {}).environment()
    assert len(Servers.of(Home(place), environment).private) == 2
