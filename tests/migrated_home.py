"""A home whose database has all tables, made once a session: hubs get a copy of it, test processes of its dump.

`python -m tests.migrated_home DUMP` makes the home that TASKHUB_HOME names, and the dump.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path

import redis
from filelock import FileLock

from taskhub.embedded import Home, client_programs, ensure_services
from tests.plain_environment import plain_environment

ROOT = Path(__file__).resolve().parent.parent


def fill(home: Path) -> None:
    """Makes an empty folder a copy of the migrated home."""
    migrated = make_once()
    for source, target in {(migrated, home), (_data(migrated), _data(home))}:
        subprocess.run(["cp", "--archive", "--reflink=auto", f"{source}/.", target], check=True)  # with their owners


def restore(address: str) -> None:
    """Makes the tables in an empty database."""
    command = [_client_program("psql"), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", address]
    dump = _dump_of(make_once())
    subprocess.run([*command, "--file", dump], stdout=subprocess.DEVNULL, check=True)


def make_once() -> Path:
    """The migrated home, whichever test process needs it first."""
    home = Path(os.environ["MIGRATED_HOME"])
    with FileLock(f"{home}.lock"):
        if not (done := home.with_suffix(".done")).exists():
            command = [sys.executable, "-m", "tests.migrated_home", str(_dump_of(home))]
            subprocess.run(command, cwd=ROOT, env=plain_environment(TASKHUB_HOME=str(home)), check=True)
            done.touch()
    return home


def let_redis_hurry(address: str) -> None:
    """It writes its file without waiting for the disk, as PostgreSQL does in tests.

    Of a disk that is busy it waits for seconds, and the hub for Redis some tenths of one only.
    """
    with redis.Redis.from_url(address) as client:
        client.config_set("appendfsync", "no")


def _dump_of(home: Path) -> Path:
    return home.with_suffix(".sql")


def _data(home: Path) -> Path:
    """The folder of the servers' files, which may be another where their account cannot reach the home."""
    return Home(home).locate_data()[0]


def _client_program(name: str) -> str:
    return client_programs(name)[-1][1]


def _main(dump: str) -> None:
    gc.disable()  # as in taskhub/management/startup.py
    with ensure_services() as variables:
        os.environ.update(variables)
        os.environ["DJANGO_SETTINGS_MODULE"] = "taskhub.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        subprocess.run([_client_program("pg_dump"), "--file", dump, variables["DATABASE_URL"]], check=True)
    with open(_data(Path(os.environ["TASKHUB_HOME"])) / "postgres/postgresql.auto.conf", "a") as settings:
        settings.write("fsync = off\n")  # no test cuts the power


if __name__ == "__main__":
    _main(sys.argv[1])
