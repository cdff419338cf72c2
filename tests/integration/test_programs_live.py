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
    make, major = re.fullmatch(r"(Redis|Valkey) (\d+)\.\d+\.\d+", version).groups()  # type: ignore[union-attr]
    assert int(major) >= 7, make
    assert f"up | Redis is {version}" in hub.log.read_text()
