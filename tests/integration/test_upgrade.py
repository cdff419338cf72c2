"""A hub of the version before the redesign upgrades: its rows, its permissions and its API are there after `migrate`.

`tests/upgrade_dump.py` made the dump. Models are found by their tables, whose names have not changed.
"""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from celery import current_app
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.db.models import Model
from django.db.models.functions import Now
from django.test import Client, override_settings
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from knox.models import AuthToken
from psycopg import sql

from taskhub.accounts.models import User
from taskhub.accounts.roles import Role
from taskhub.embedded import client_programs
from taskhub.runs.scheduler.schedule_arguments import arguments_of
from taskhub.security.encryption import EncryptedJSONField, EncryptedTextField
from taskhub.security.sealed_values import SealedJSONField
from tests import migrated_home
from tests.conftest import ROOT, Person
from tests.hub import PASSWORD
from tests.upgrade_dump import API_KEY, SECRET_KEY

DUMP = (ROOT / "tests" / "data" / "upgrade" / "before_redesign.sql").read_text()
WRITTEN = Counter(re.findall(r"^INSERT INTO public\.(\w+) ", DUMP, re.MULTILINE))
GRANTED = {
    *("crawlers_task", "crawlers_call", "crawlers_rejected", "sequences_step", "webhooks_secret", "webhooks_attempt"),
    *("extraction_task", "extraction_page", "extraction_note", "extraction_account", "extraction_entry"),
    *("runs_keptanswer", "runs_run", "walkers_graph"),
}
WITHOUT_PAGE = {"runs_keptanswer", "webhooks_secret", "crawlers_call", "extraction_note"}
PRODUCT = ("accounts", "runs", "webhooks", "walkers", "sequences", "crawlers", "extraction")


@pytest.fixture(scope="module")
def _upgraded(django_db_blocker: Any) -> Iterator[None]:
    """The default connection leads to a database of its own, restored from the dump and migrated."""
    name, given = f"upgrade_{uuid4().hex}", connection.settings_dict["NAME"]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server, django_db_blocker.unblock():
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with psycopg.connect(os.environ["DATABASE_URL"], dbname=name, autocommit=True) as empty:
            empty.execute(DUMP.encode())
        connection.close()
        connection.settings_dict["NAME"] = name
        ContentType.objects.clear_cache()
        try:
            with override_settings(SECRET_KEYS=[SECRET_KEY]):
                call_command("migrate", verbosity=0)
                yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = given
            ContentType.objects.clear_cache()
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


pytestmark = [pytest.mark.usefixtures("_upgraded"), pytest.mark.xdist_group("upgrade")]  # one database for all


@pytest.fixture
def ada() -> Person:
    return Person(headers={"X-API-Key": API_KEY})


@pytest.fixture
def staff() -> Person:
    _, token = AuthToken.objects.create(User.objects.get(email="admin@example.com"))
    return Person(headers={"Authorization": f"token {token}"})


def model_of(table: str) -> type[Model]:
    (model,) = [model for model in apps.get_models() if model._meta.db_table == table]
    return model


def rows(table: str) -> Any:
    return model_of(table)._default_manager.all()


def results(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    body = answer.json()
    return list(body.get("payload", body)["results"])


def test_every_row_is_there() -> None:
    tables = [model._meta.db_table for app in PRODUCT for model in apps.get_app_config(app).get_models()]
    assert {table for table in tables if WRITTEN[table]} > GRANTED - {"walkers_graph"}
    assert {table: rows(table).count() for table in tables} == {table: WRITTEN[table] for table in tables}


def test_a_new_database_is_the_same() -> None:
    """Migrations are squashed for it: whoever changes what a migration makes changes it in both."""
    name = f"new_{uuid4().hex}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            migrated_home.restore(address_of(name))
            assert schema_of(connection.settings_dict["NAME"]) == schema_of(name)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def schema_of(name: str) -> list[str]:
    """The lines of a dump, without casts and brackets, which PostgreSQL writes otherwise once it has read them."""
    command = [client_programs("pg_dump")[-1][1], "--schema-only", "--no-owner", "--restrict-key=0", address_of(name)]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CREATE TABLE public.runs_run" in dumped
    return [re.sub(r"::(character varying|text)(\[\])?|[()]", "", line).strip() for line in dumped.splitlines()]


def address_of(name: str) -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def test_permissions_follow_their_models() -> None:
    """Nothing of the old names is left, and nothing was granted or taken away."""
    models = [model for app in PRODUCT for model in apps.get_app_config(app).get_models()]
    special = {"ignore_robots", "run_sequence", "operate_all", "manage_all"}
    types = ContentType.objects.filter(app_label__in=PRODUCT)
    assert set(types.values_list("app_label", "model")) == {(m._meta.app_label, m._meta.model_name) for m in models}
    for model in models:
        permissions = Permission.objects.filter(content_type=ContentType.objects.get_for_model(model))
        default = {f"{action}_{model._meta.model_name}" for action in model._meta.default_permissions}
        assert set(permissions.values_list("codename", flat=True)) - special == default
        assert {f"Can view {model._meta.verbose_name}"} <= set(permissions.values_list("name", flat=True))


def test_grants_of_a_group_and_a_user_stay() -> None:
    names = {(model_of(table)._meta.app_label, model_of(table)._meta.model_name) for table in GRANTED}
    expected = {f"{app}.{action}_{model}" for app, model in names for action in ("view", "change")}
    carl, ada = User.objects.get(email="carl@example.com"), User.objects.get(email="ada@example.com")
    assert Group.objects.exclude(name__in=list(Role)).get().permissions.count() == len(expected) + 1
    assert carl.get_all_permissions() == expected | {"extraction.ignore_robots"}
    assert ada.get_all_permissions() == {f"extraction.view_{model_of('extraction_task')._meta.model_name}"}


@pytest.mark.parametrize("table", sorted(GRANTED - WITHOUT_PAGE))
def test_a_member_of_the_group_opens_the_admin(table: str) -> None:
    User.objects.filter(email="carl@example.com").update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(email="carl@example.com"))
    meta = model_of(table)._meta
    name = f"admin:{meta.app_label}_{meta.model_name}"
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    if row := rows(table).first():
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_credentials_stay(ada: Person, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    assert Person().post("/user/token/", {"email": "admin@example.com", "password": PASSWORD}).status_code == 200
    assert ada.get("/user/manage/").json()["name"] == "Ada Lind"
    assert [key["name"] for key in results(ada.get("/user/apikey"))] == ["laptop"]


def test_runs_and_their_states_stay(ada: Person, staff: Person) -> None:
    runs = results(ada.get("/runs", {"limit": 100}))
    assert len(results(staff.get("/runs", {"limit": 100}))) == WRITTEN["runs_run"]
    states = {(run["kind"], run["state"]) for run in runs}
    walkers = {("walker", state) for state in ("SUCCESS", "FAILURE", "REVOKED", "PENDING")}
    assert walkers | {("crawler", "PROGRESS"), ("extraction", "SUCCESS"), ("webhook", "RETRY")} <= states
    assert any(run["retry_of"] for run in runs)


def test_a_call_that_is_sent_again_gets_its_first_answer(ada: Person) -> None:
    rows("runs_keptanswer").update(created_at=Now())
    sent = {"name": "echo", "ctx": {"value": "kept"}, "is_async": True}
    answer = ada.post("/js/walker_run", sent, headers={"Idempotency-Key": "order-17"})
    assert answer.status_code == 202
    assert ada.get(f"/runs/{answer.json()['task_id']}").json()["state"] == "SUCCESS"
    assert rows("runs_run").count() == WRITTEN["runs_run"]


def test_walks_go_on(ada: Person) -> None:
    graph = ada.get("/js/graph_active_get").json()
    assert graph["name"] == "shop"
    assert ada.get("/js/object_get", {"obj": "shop"}).json()["context"] == {"city": "Aarhus"}
    assert ada.post("/js/walker_run", {"name": "run", "nd": "shop"}).json()["report"][0]["node"] == graph["jid"]


def test_schedules_stay(ada: Person, staff: Person) -> None:
    (nightly,) = [row for row in results(ada.get("/js/get_scheduled_queues")) if row["name"] == "nightly"]
    assert nightly["schedule"]["type"] == "cron"
    assert nightly["fault"] == ""
    assert nightly["next_fire"]
    assert len(results(staff.get("/js/get_scheduled_queues"))) == WRITTEN["runs_schedule"]


def test_a_sequence_goes_on_from_its_checkpoint(staff: Person) -> None:
    """Its next step calls a server that is no longer there."""
    (run,) = rows("runs_run").filter(kind="sequence", state="PROGRESS")
    assert len(results(staff.get(f"/sequences/runs/{run.pk}/steps"))) == 1
    rows("runs_run").filter(pk=run.pk).update(state="RETRY", ready=True, lease_until=None)
    current_app.loader.import_default_modules()
    current_app.tasks["sequences.tasks.ScheduledSequence"].apply(kwargs={"run_id": str(run.pk)}).get()
    ended = staff.get(f"/sequences/runs/{run.pk}").json()
    assert ended["state"] == "FAILURE"
    assert ended["error"]["message"].startswith("requests[1]: ")
    assert ended["result"]["n"] == 1
    assert ended["result"]["status"]["payload"] == {"status": 102, "callback": "/tasks/1"}
    assert [step["path"] for step in results(staff.get(f"/sequences/runs/{run.pk}/steps"))] == [
        "requests[0]",
        "requests[1]",
    ]


def test_crawlers_streams_and_documents_stay(ada: Person) -> None:
    (stream,) = results(ada.get("/streams"))
    documents = results(ada.get(f"/streams/{stream['fid']}/docs"))
    assert {document["sku"]: document["price"] for document in documents} == {"a1": 0, "a2": 1, "a3": 1, "a4": 2}
    assert rows("crawlers_external").get().headers == {"X-Shop": "made up"}
    assert rows("crawlers_crawler").get().secrets["credential"] == {"username": "ada", "password": "made up"}


def test_a_crawler_task_takes_uploads_still(ada: Person) -> None:
    going, _, first = results(ada.get("/tasks"))
    assert (going["status"]["code"], first["status"]["code"]) == (102, 200)
    (rejected,) = results(ada.get(f"/tasks/{going['fid']}/rejected"))
    assert rejected["body"] == '{"price": 1}'
    upload = ada.post(f"/actions/tasks/{going['fid']}/upload", '{"sku": "a5"}', content_type="application/x-ndjson")
    assert upload.json()["inserted"] == 1
    assert ada.delete(f"/actions/tasks/{first['fid']}").status_code == 200


def test_extractions_stay(ada: Person) -> None:
    books = next(task for task in results_of_list(ada.get("/v1/tasks")) if task["name"] == "Books")
    assert books["payload"]["request"]["headers"] == {"X-Shop": "made up"}
    lost, pending, finished = results_of_list(ada.get(f"/v1/task/{books['id']}/results"))
    assert [process["status"] for process in (lost, pending, finished)] == ["failed", "pending", "finished"]
    assert pending["missingCredits"] == 3
    export = ada.get(f"/v1/process/{finished['id']}/export", {"format": "json"})
    assert [record["Title"] for record in json.loads(export.getvalue())] == ["Book 0", "Book 1", "Book 2"]
    assert [page["state"] for page in results(ada.get(f"/v1/process/{lost['id']}/pages"))] == ["failed"]
    assert len(ada.get("/v1/credits").json()["entries"]) == WRITTEN["extraction_entry"]
    assert len(rows("extraction_task").get(name="Sent to S3").delivery) == 1


def results_of_list(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    return list(answer.json())


def test_webhooks_stay(ada: Person) -> None:
    secret = ada.get("/webhooks/secret").json()
    assert secret["current"]["secret"].startswith("whsec_")
    deliveries = results(ada.get("/webhooks/deliveries"))
    (failing,) = [row for row in deliveries if row["url"].endswith("/failing-hook")]
    attempts = ada.get(f"/webhooks/deliveries/{failing['id']}").json()["attempts"]
    assert {attempt["status"] for attempt in attempts} == {500}


def encrypted_values() -> dict[str, Any]:
    """What is encrypted in whole or in part, by table, row and column, as the hub reads it."""
    kinds = (EncryptedJSONField, EncryptedTextField, SealedJSONField)
    found = {}
    for model in (model for app in PRODUCT for model in apps.get_app_config(app).get_models()):
        for field in (field for field in model._meta.concrete_fields if isinstance(field, kinds)):
            for row in model._default_manager.all():
                found[f"{model._meta.db_table} {row.pk} {field.name}"] = getattr(row, field.attname)
    return found


def clear_texts() -> dict[str, str]:
    """Columns of before that held secrets in clear, as the database has them."""
    columns = {"runs_run": "webhook", "runs_schedule": "written", "extraction_task": "webhook"}
    with connection.cursor() as cursor:
        found = {}
        for table, column in columns.items():
            cursor.execute(f"SELECT string_agg({column}, '') FROM {table}")
            found[table] = cursor.fetchone()[0]
        return found


def test_what_is_stored_in_clear_is_read_and_encrypted_with_the_newest_key(settings: Any) -> None:
    before, arguments = encrypted_values(), {row.pk: arguments_of(row) for row in PeriodicTask.objects.all()}
    assert all("gAAAA" not in text and text for text in clear_texts().values())
    settings.SECRET_KEYS = ["newest", SECRET_KEY]
    call_command("encrypt", verbosity=0)
    settings.SECRET_KEYS = ["newest"]  # the older one is removed
    assert encrypted_values() == before
    assert {row.pk: arguments_of(row) for row in PeriodicTask.objects.all()} == arguments
    assert all("http" not in text and "request" not in text for text in clear_texts().values())
    settings.SECRET_KEYS = [SECRET_KEY, "newest"]  # for the other tests
    call_command("encrypt", verbosity=0)
