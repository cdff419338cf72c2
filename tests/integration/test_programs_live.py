"""The programs of a running hub: what they are, and what they know."""

import re

import psutil

from taskhub.embedded import ProcessRegister
from tests.hub import Hub


def test_no_program_has_the_administrators_password(hub: Hub) -> None:
    assert hub.environment["TASKHUB_ADMIN_PASSWORD"]
    leaders = [psutil.Process(entry.pid) for entry in ProcessRegister(hub.home).read()]
    programs = [*leaders, *(child for leader in leaders for child in leader.children(recursive=True))]
    assert len(programs) > 8
    for program in programs:
        try:
            environment = program.environ()
        except psutil.NoSuchProcess:  # a connection of PostgreSQL's that has ended
            continue
        assert "TASKHUB_ADMIN_PASSWORD" not in environment
        assert hub.environment["TASKHUB_ADMIN_PASSWORD"] not in environment.values()


def test_the_redis_is_supported_and_named(hub: Hub) -> None:
    version = hub.anonymous.get("/healthz").json()["versions"]["redis"]
    named = re.fullmatch(r"(Redis|Valkey) (\d+)\.\d+\.\d+", version)
    assert named, version
    assert int(named[2]) >= 7, version
    assert f"up | Redis is {version}" in hub.log.read_text()


def test_programs_are_forked_from_one_process_that_has_loaded_their_code(hub: Hub) -> None:
    leaders = {entry.name: psutil.Process(entry.pid) for entry in ProcessRegister(hub.home).read()}
    server = leaders["fork-server"]
    programs = {name for name, process in leaders.items() if process.ppid() == server.pid}
    assert programs == leaders.keys() - {"fork-server", "postgres", "redis"}
    assert {"web", "beat"} < programs
    assert leaders["beat"].name() == "beat"
    # It can be forked safely: no thread of another, no connection but to the supervisor, which holds the other end.
    assert server.num_threads() == 1
    assert server.net_connections("inet") == []
    assert len(server.net_connections("unix")) == 1
