"""The house is as it is drawn: who knows whom, migrations, admin pages, settings, names, commands."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from taskhub.programs import commands
from tests.conftest import ROOT, Person, make_person
from walkers.services.graphs import create_graph, spawn

SOURCES = [
    path
    for folder in ("taskhub", "walkers", "sequences", "crawlers", "extraction", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
]


def test_nobody_knows_whom_it_should_not() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_no_file_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    assert not [path for path in SOURCES if path.stem in nothing]


def test_each_queue_has_a_worker_of_its_own() -> None:
    programs = commands("127.0.0.1", 8000, 2, settings.QUEUES)
    served = [command[command.index("-Q") + 1] for name, command in programs.items() if name.startswith("worker:")]
    assert served == settings.QUEUES


def test_every_variable_that_is_read_is_explained() -> None:
    read = set(re.findall(r'env_\w+\(\s*"(\w+)"', (ROOT / "taskhub" / "settings.py").read_text()))
    explained = set(re.findall(r"^#? ?(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert read
    assert read - explained - {"TASKHUB_PRIVATE"} == set()


def test_the_readmes_commands_are_the_makefiles() -> None:
    named = set(re.findall(r"\bmake (run|test|lint|demo|bench|compile)\b", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"run", "test"} <= named <= targets


@pytest.fixture
def operator(owner: Person) -> Client:
    """Staff, in a hub in which each table holds something."""
    graph = create_graph(owner=owner.user, name="shop")
    spawn(source=graph.nodes.get(pk=graph.pk), kind="shelf", context={}, edge="holds", edge_context={})
    owner.post("/js/alias_register", {"name": "shop", "value": str(graph.pk)})
    owner.post("/user/apikey")
    owner.post("/js/walker_run", {"name": "echo", "is_async": True})
    client = Client()
    client.force_login(make_person("operator@example.com", is_staff=True, is_superuser=True).user)
    return client


PAGES = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", PAGES, ids=lambda model: model._meta.label)
def test_every_admin_page_opens(operator: Client, model: Any) -> None:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert operator.get(reverse(f"{name}_changelist")).status_code == 200
    assert operator.get(reverse(f"{name}_add")).status_code in {200, 403}
    if first := model._default_manager.first():
        closed = model is AuthToken  # its address is the digest
        assert operator.get(reverse(f"{name}_change", args=[first.pk])).status_code == (403 if closed else 200)
