"""The repository keeps its own rules: imports, migrations, admin pages, settings, names, commands."""

import ast
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from taskhub.start.programs import THREAD_QUEUES, commands
from tests.conftest import ROOT, Person, make_person
from walkers.services.graphs import create_graph, spawn

SOURCES = [
    path
    for folder in ("taskhub", "walkers", "sequences", "crawlers", "extraction", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
]
PRODUCT = [path.relative_to(ROOT) for path in SOURCES if "tests" not in path.relative_to(ROOT).parts]

# The rooms that every app may have, and names that Django, pytest or Python dictate.
ROOMS = {"admin", "api", "apps", "domain", "errors", "examples", "kind_names", "models", "run_kinds"}
ROOMS |= {"serializers", "services", "tasks", "urls", "views"}
DICTATED_MODULES = {"__init__", "management", "commands", "walkers"}
DICTATED_CLASSES = {"Meta", "Command"}
# Gerunds that are the field's own nouns; `authoring` holds what authors of walkers write with.
NOUNS_IN_ING = {"throttling", "logging", "masking", "authoring"}


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_no_file_has_a_name_that_says_nothing() -> None:
    nothing = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    dictated = "db/postgresql/base"  # Django looks for a backend under this name
    assert not [path for path in SOURCES if path.stem in nothing and not path.match(f"{dictated}.py")]


def app_of(path: Path) -> str:
    """The app of a module; of `taskhub` accounts and runs are apps, and all the rest is one."""
    top, inner = path.parts[0], path.parts[1] if len(path.parts) > 2 else ""
    return f"{top}.{inner}" if top == "taskhub" and inner in {"accounts", "runs"} else top


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def in_several(places: dict[str, set[str]], allowed: set[str]) -> set[str]:
    return {name for name, where in places.items() if len(where) > 1 and name not in allowed}


def test_a_class_name_stands_in_one_module() -> None:
    modules = defaultdict(set)
    for path in PRODUCT:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                modules[node.name].add(str(path))
    assert in_several(modules, DICTATED_CLASSES) == set()


def test_a_module_stem_stands_in_one_app() -> None:
    apps = defaultdict(set)
    for path in PRODUCT:
        for name in [path.stem, *path.parts[1:-1]]:
            apps[name].add(app_of(path))
    assert in_several(apps, ROOMS | DICTATED_MODULES) == set()


def test_modules_are_named_by_nouns() -> None:
    stems = {name for path in PRODUCT for name in [path.stem, *path.parts[:-1]]}
    assert not {name for name in stems - NOUNS_IN_ING if any(word.endswith("ing") for word in words(name))}


def words(name: str) -> list[str]:
    """The words of an identifier: `LeaseKeeper` and `lease_keeper` are lease and keeper."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def names_in(node: ast.AST) -> Iterator[str]:
    """The name that a node of a syntax tree gives to something, if it does."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


@cache
def product_names() -> frozenset[str]:
    """Each name of a module, class, function, argument, local, field or attribute of the product."""
    modules = {name for path in PRODUCT for name in path.with_suffix("").parts}
    return frozenset(modules | {name for path in PRODUCT for node in ast.walk(tree(path)) for name in names_in(node)})


def glossary(column: int) -> set[str]:
    """The names in a column of the glossary's tables: term, meaning, in the code, not."""
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|(.*?)\|$", (ROOT / "docs" / "glossary.md").read_text(), re.M)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row[column])}


def contain(names: Iterable[str], phrase: str) -> bool:
    """Whether the phrase's words follow each other in one of the names."""
    sought = f" {' '.join(words(phrase))} "
    return any(sought in f" {' '.join(words(name))} " for name in names)


def test_the_glossarys_names_are_in_the_code() -> None:
    named = glossary(2)
    assert len(named) > 60
    assert named - product_names() == set()


def test_no_name_has_a_word_that_the_glossary_rules_out() -> None:
    ruled_out = glossary(3)
    assert len(ruled_out) > 10
    assert {word for word in ruled_out if contain(product_names(), word)} == set()


@cache
def known_names() -> frozenset[str]:
    """Each name that the product defines, imports or uses, its migrations included."""
    names = set(product_names())
    for path in [*PRODUCT, *(path.relative_to(ROOT) for path in ROOT.glob("*/**/migrations/*.py"))]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.alias):
                names |= set(node.name.split("."))
            elif isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return frozenset(names)


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_classes_that_docstrings_name_exist() -> None:
    named = {
        (str(path), name)
        for path in PRODUCT
        for docstring in docstrings(path)
        for name in re.findall(r"`((?:[A-Z][a-z0-9]+){2,})", docstring) + re.findall(r"Raises `(\w+)`", docstring)
    }
    assert len(named) > 100
    assert {(path, name) for path, name in named if name not in known_names()} == set()


def test_each_queue_has_a_worker_of_its_own() -> None:
    programs = commands("127.0.0.1", 8000, 2)
    served = [command[command.index("-Q") + 1] for name, command in programs.items() if name.startswith("worker:")]
    assert sorted(",".join(served).split(",")) == sorted(settings.QUEUES)
    assert settings.THREAD_SLOTS.keys() == set(THREAD_QUEUES)


def test_every_variable_that_is_read_is_explained() -> None:
    read = set(re.findall(r'env_\w+\(\s*"(\w+)"', (ROOT / "taskhub" / "settings.py").read_text()))
    explained = set(re.findall(r"^#? ?(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert read
    assert read - explained - {"TASKHUB_PRIVATE"} == set()


def test_the_readmes_commands_are_the_makefiles() -> None:
    named = set(re.findall(r"\bmake (run|test|lint|demo|bench|compile)\b", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"run", "test"} <= named <= targets


def test_a_test_process_has_a_redis_database_of_its_own() -> None:
    assert os.environ["REDIS_URL"] == settings.REDIS_URL, "The settings were loaded before the process had its own."


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
