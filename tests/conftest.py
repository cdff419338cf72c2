"""Real parts for every test: the private PostgreSQL and Redis that `manage.py up` uses, one database each process."""

import atexit
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django
import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connections, transaction
from django.test import TransactionTestCase
from django.test.client import ClientHandler
from filelock import FileLock
from whitenoise.middleware import WhiteNoiseMiddleware

gc.disable()  # until the tests are collected: nothing of what is made for that is garbage, see `pytest_collection`
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.session import begin_session  # noqa: E402

if TYPE_CHECKING:
    from taskhub.accounts.models import User


def _start_services() -> None:
    from taskhub.embedded import ensure_services
    from tests.migrated_home import let_redis_hurry

    stack = ExitStack()
    atexit.register(stack.close)
    # The last threads may speak of servers that are gone, after pytest has closed what they speak to.
    atexit.register(setattr, logging, "raiseExceptions", False)
    home = tempfile.mkdtemp(prefix="servers-")
    os.environ.update(stack.enter_context(ensure_services(Path(home))), TASKHUB_HOME=home)
    _hurry(os.environ["DATABASE_URL"])
    let_redis_hurry(os.environ["REDIS_URL"])


def _hurry(address: str) -> None:
    """This database need not survive a power cut; emptying its tables after each test is faster so."""
    with psycopg.connect(address, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


pytest_plugins = ["tests.hub", "tests.groups", "tests.reports"]  # the fixture `hub`, when it ends, what is told

if "PYTEST_XDIST_WORKER" not in os.environ:
    # In the process that the developer started; xdist's processes inherit the folder and the servers' addresses.
    begin_session()
    if "DATABASE_URL" not in os.environ:
        _start_services()
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Each process has its own database in Redis, too (PostgreSQL's are told apart by pytest-django).
    url = os.environ["REDIS_URL"].partition("?db=")[0]
    os.environ["REDIS_URL"] = f"{url}?db={int(worker.removeprefix('gw')) + 1}"
os.environ.setdefault("TASKHUB_PRIVATE", "true")
os.environ.setdefault("TASKHUB_ALLOWED_HOSTS", "*")  # Django's test client calls it testserver
os.environ["DJANGO_SETTINGS_MODULE"] = "taskhub.settings"
django.setup()
from tests.deferred_responses import wait_in_the_calling_thread  # noqa: E402  (it imports what needs the settings)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """pytest-django would load the settings that this names before each process has put its own address above."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is there in the end stays, and would be looked through by each full collection of garbage."""
    with _after_the_first():
        result = yield
    gc.freeze()
    gc.enable()
    return result


@contextmanager
def _after_the_first() -> Iterator[None]:
    """Of the test processes the first one compiles the tests and what they import, and the others read that."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    done = Path(os.environ["TMPDIR"], "compiled")
    with FileLock(f"{done}.lock"):
        if is_first := not done.exists():
            yield
            done.touch()
    if not is_first:
        yield


# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("taskhub", deadline=None)
hypothesis.settings.load_profile("taskhub")
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one is slow on purpose


def _list_static_files_once() -> None:
    """Each test client has middleware of its own, and WhiteNoise's looks at every static file when it is made."""
    files: dict[str, Any] = {}
    add_files = WhiteNoiseMiddleware.add_files_from_finders

    def add_known_files(middleware: WhiteNoiseMiddleware) -> None:
        if not files:
            add_files(middleware)
            files.update(middleware.files)
        middleware.files = files

    WhiteNoiseMiddleware.add_files_from_finders = add_known_files


def _load_middleware_once() -> None:
    """Each test client has a handler of its own, whose middleware is the same while no test changes the settings."""
    load, given, loaded = ClientHandler.load_middleware, vars(settings)["_wrapped"], dict[str, Any]()
    parts = ("_view_middleware", "_template_response_middleware", "_exception_middleware", "_middleware_chain")

    def load_known_middleware(handler: Any, is_async: bool = False) -> None:
        as_given = vars(settings)["_wrapped"] is given
        if loaded and as_given:
            vars(handler).update(loaded)
            return
        load(handler, is_async)
        if as_given:
            loaded.update((part, getattr(handler, part)) for part in parts)

    ClientHandler.load_middleware = load_known_middleware  # type: ignore[assignment,method-assign]


@cache
def _tables_to_empty() -> list[str]:
    """Which they are is asked once: no test makes tables in the database of its process."""
    connection = connections["default"]
    names = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    kept = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}  # and those of the roles
    return [connection.ops.quote_name(name) for name in names - kept]


def _empty_only_what_holds_rows(case: TransactionTestCase) -> None:
    """After a test that commits. Django would also empty content types and permissions, and make them anew."""
    with connections["default"].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in _tables_to_empty()))
        if full := [table for (table,) in cursor.fetchall()]:
            deletions = "; ".join(f"DELETE FROM {table}" for table in full)
            cursor.execute(f"BEGIN; SET CONSTRAINTS ALL DEFERRED; {deletions}; COMMIT")


_list_static_files_once()
_load_middleware_once()
wait_in_the_calling_thread()
TransactionTestCase._fixture_teardown = _empty_only_what_holds_rows  # type: ignore[attr-defined,method-assign,unused-ignore]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """To migrate takes ten seconds, so it is done once for all test processes and hubs."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    from tests import migrated_home

    address, done = os.environ["DATABASE_URL"], tmp_path_factory.getbasetemp().parent / "migrated"
    with FileLock(f"{done}.lock"):
        if not done.exists():
            with psycopg.connect(address, autocommit=True) as server:
                server.execute("CREATE DATABASE migrated")
            migrated_home.restore(urlsplit(address)._replace(path="/migrated").geturl())
            done.touch()
    test = connections["default"].settings_dict["TEST"]
    test.update(TEMPLATE="migrated", MIGRATE=False)  # there is nothing to migrate, which takes Django a second to see


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Threads that outlive their test, such as the writer of logs, may still be connected when the database goes."""
    yield
    with django_db_blocker.unblock():
        name = connections["default"].settings_dict["NAME"]
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(others, [name])


@dataclass
class Person:
    """Somebody who calls the hub, in process, through Django's test client."""

    user: "User" = None  # type: ignore[assignment]  # the anonymous person has none, and no test asks for it
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, data: Any = None, **options: Any) -> Any:
        from django.test import Client

        headers = {**self.headers, **options.pop("headers", {})}
        if data is not None and method.upper() != "GET":
            options.setdefault("content_type", "application/json")
        call = getattr(Client(raise_request_exception=False), method.lower())
        arguments = (path,) if data is None else (path, data)
        return call(*arguments, headers=headers, **options)

    def get(self, path: str, data: Any = None, **options: Any) -> Any:
        return self.call("GET", path, data, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> Any:
        return self.call("POST", path, {} if data is None else data, **options)

    def patch(self, path: str, data: Any = None, **options: Any) -> Any:
        return self.call("PATCH", path, data, **options)

    def delete(self, path: str, data: Any = None, **options: Any) -> Any:
        return self.call("DELETE", path, data, **options)


def make_person(email: str, *, role: str = "", **fields: Any) -> Person:
    """Somebody with a token; of staff where it has a role.

    The rows are written as they are in the end. To sign up and to be given a role takes twenty statements, with what
    the audit log says of it; tests of both do that themselves, and ten thousand others only need somebody.
    """
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import Group
    from knox.models import AuthToken

    from taskhub.accounts.models import User

    user = User(email=email, password=make_password("correct horse battery"), **{"is_staff": bool(role), **fields})
    user.save_base(force_insert=True)
    if role:
        members = User.groups.through.objects
        members.bulk_create([members.model(user=user, group=Group.objects.get(name=role))])
    _, token = AuthToken.objects.create(user)
    return Person(user, token, {"Authorization": f"token {token}"})


@pytest.fixture
def owner(db: None) -> Person:
    return make_person("owner@example.com", name="Olga Owner")


@pytest.fixture
def colleague(db: None) -> Person:
    return make_person("colleague@example.com", name="Carl Colleague", role="admin")


@pytest.fixture
def stranger(db: None) -> Person:
    return make_person("stranger@example.com", name="Sam Stranger")


@pytest.fixture
def anonymous(db: None) -> Person:
    return Person()


@contextmanager
def undone_in_the_end() -> Iterator[None]:
    """For fixtures of a module: what is made in the database inside, and by its tests, is gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
