"""The commands of README.md and docs/ work: a shell runs them in their order against a running hub."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.core.management import get_commands

from tests.conftest import Person
from tests.extraction_sites import bundled_site
from tests.hub import ROOT, Hub
from tests.integration.walkers_shop import installed

APPS = ("taskhub", "walkers", "sequences", "crawlers", "extraction")
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PRINTED_ADDRESS = "http://127.0.0.1:8000"
UNDER_WAY = {"PENDING", "STARTED", "PROGRESS"}


@dataclass
class Example:
    """A block of commands and the block that shows what they print, if one follows."""

    commands: str
    language: str = ""
    printed: str = ""


def examples(page: str) -> list[Example]:
    blocks = BLOCK.findall(page)
    followed = zip(blocks, [*blocks[1:], ("", "")], strict=True)
    return [
        Example(text, *(following if following[0] in {"json", "text"} else ()))
        for (language, text), following in followed
        if language == "sh"
    ]


def run(parts: list[Example], folder: Path, environ: dict[str, str]) -> list[str]:
    """Runs all parts in one shell that stops at the first failure; returns what each part prints."""
    script = "".join(f"{part.commands}\nprintf '\\n%s\\n' END-OF-PART\n" for part in parts)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout.split("\nEND-OF-PART\n")[:-1]


def check(example: Example, output: str) -> None:
    if example.language == "json":
        same(json.loads(output), json.loads(example.printed), example.commands)
    elif example.language == "text":
        in_order(output, example.printed.splitlines())
    else:
        assert output.strip() == "", f"{example.commands} prints what the page does not show: {output}"


def same(answer: Any, printed: Any, where: str) -> None:
    """Checks an answer. An ellipsis stands for the end of any text; state and revision of a run may differ."""
    if isinstance(printed, dict) and printed.get("state") in UNDER_WAY:
        assert answer["state"] in UNDER_WAY, where
        assert answer.keys() <= {"id", "state", "progress", "started_at"}, where
    elif isinstance(printed, dict):
        assert answer.keys() == printed.keys(), (where, answer)
        for key in printed.keys() - {"revision"}:
            same(answer[key], printed[key], where)
    elif isinstance(printed, list):
        assert len(answer) == len(printed), (where, answer)
        for item, expected in zip(answer, printed, strict=True):
            same(item, expected, where)
    elif isinstance(printed, str) and printed == "...":
        assert answer is not None, where
    elif isinstance(printed, str) and printed.endswith("..."):
        assert isinstance(answer, str), where
        assert answer.startswith(printed.removesuffix("...")), (where, answer)
    else:
        assert answer == printed, where


def in_order(output: str, lines: list[str]) -> None:
    """Checks that each of `lines` is printed, in this order. An ellipsis stands for the end of any line."""
    rest = iter(output.splitlines())
    for line in lines:
        start = line.removesuffix("...")
        assert any(text.startswith(start) if start != line else text == line for text in rest), (line, output)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder like that of a clone in which `make run` was called. Its path is short, because it holds sockets."""
    with TemporaryDirectory(prefix="clone-") as name:
        clone = Path(name)
        clone.chmod(0o755)
        for part in ("manage.py", "Makefile"):
            (clone / part).symlink_to(ROOT / part)
        (clone / ".venv").symlink_to(sys.prefix)
        yield clone


def at(hub: Hub, page: str) -> str:
    """The page with the address of this hub."""
    return page.replace(PRINTED_ADDRESS, hub.url)


def test_the_tour_and_the_pages_on_http_and_notifications_do_what_they_show(hub: Hub, folder: Path) -> None:
    pages = (README, DOCS["http.md"], DOCS["notifications.md"])
    parts = [part for page in pages for part in examples(at(hub, page))]
    assert len(parts) >= 17
    outputs = run(parts, folder, dict(hub.environment))
    for part, output in zip(parts, outputs, strict=True):
        check(part, output)


def test_the_tour_in_python_does_what_it_shows(hub: Hub) -> None:
    tour = at(hub, README).partition("## Writing a walker")[0]
    program = "\n".join(text for language, text in BLOCK.findall(tour) if language == "python")
    given = f"TOKEN = {hub.sign_up().token!r}\n"
    environment = hub.environment | {"PYTHONPATH": str(ROOT / "client" / "src")}
    done = subprocess.run(
        [sys.executable, "-c", given + program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("SUCCESS {'done': 2")


def test_the_page_on_extraction_does_what_it_shows(hub: Hub, folder: Path) -> None:
    with bundled_site() as site:
        page = at(hub, DOCS["extraction.md"]).replace("http://127.0.0.1:9001", site.rstrip("/"))
        parts = examples(page)
        outputs = run(parts, folder, dict(hub.environment))
    assert len(parts) == 14
    for part, output in zip(parts, outputs, strict=True):
        check(part, output)


def test_operating_does_what_it_shows(hub: Hub, folder: Path) -> None:
    (folder / "var").symlink_to(hub.home)
    parts = [Example(f"HUB={hub.url}"), *examples(DOCS["operating.md"])]
    is_superuser = (
        "from taskhub.accounts.models import User; print(User.objects.get(email='grace@example.com').is_superuser)"
    )
    parts.append(Example(f'.venv/bin/python manage.py shell -v 0 --no-imports -c "{is_superuser}"', "text", "True"))
    outputs = run(parts, folder, dict(hub.environment))
    for part, output in zip(parts, outputs, strict=True):
        check(part, output)
    assert os.path.exists(folder / "restored" / "secret_key")


@pytest.mark.django_db
def test_the_walker_of_the_readme_works(owner: Person) -> None:
    blocks = BLOCK.findall(README)
    *_, source = [text for language, text in blocks if language == "python"]
    ((command, printed),) = [(text, blocks[n + 1][1]) for n, (name, text) in enumerate(blocks) if name == "bash"]
    path, _, body = command.partition(' -H "Authorization: token $TOKEN" -d ')
    with installed(source=source):
        answer = owner.post(path.removeprefix("curl $HUB"), json.loads(body.strip().strip("'")))
    same(answer.json(), json.loads(printed), command)


def test_targets_of_make_that_are_named_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [README, (ROOT / "CONTRIBUTING.md").read_text(), *DOCS.values()]
    named = {name for page in pages for name in re.findall(r"(?:`|^ *)make (\w+)", page, re.MULTILINE)}
    assert {"run", "test", "demo"} <= named <= targets


def test_commands_of_manage_that_are_named_exist() -> None:
    pages = [README, *DOCS.values(), *((ROOT / name).read_text() for name in ("CONTRIBUTING.md", "docker-compose.yml"))]
    named = {name for page in pages for name in re.findall(r"manage\.py ([a-z]+)", page)}
    assert {"up", "migrate", "createsuperuser"} <= named <= set(get_commands())


def test_links_lead_somewhere() -> None:
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "client/README.md")
    pages = {ROOT / name: (ROOT / name).read_text() for name in names}
    pages |= {ROOT / "docs" / name: page for name, page in DOCS.items()}
    for path, page in pages.items():
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page):
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), f"{path.name} links to {link}"
            if not anchor:
                continue
            anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in headings(target)}
            assert anchor in anchors, f"{path.name} links to {link}"


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)


def test_the_folders_that_are_named_exist() -> None:
    text = README.partition("## Where things are")[2].split("```")[1]
    parents: dict[int, Path] = {0: ROOT}
    folders = []
    for indent, name in re.findall(r"^( *)(\w+)/ ", text, re.MULTILINE):
        folder = parents[len(indent)] / name
        parents[len(indent) + 2] = folder
        folders.append(folder)
    assert len(folders) > 15
    assert [folder for folder in folders if not folder.is_dir()] == []


def test_what_the_page_on_the_architecture_names_exists() -> None:
    page = DOCS["architecture.md"]
    files = set(re.findall(r"[\w/.-]+\.(?:py|toml|md|example)\b", page))
    folders = set(re.findall(r"`([\w/]+/)`", page))
    assert len(files) > 50
    anywhere = {path.name for app in APPS for path in (ROOT / app).rglob("*.py")}
    assert {name for name in files if not exists(name) and ("/" in name or name not in anywhere)} == set()
    assert {name for name in folders if not (ROOT / name).is_dir()} == set()
    functions = set(re.findall(r"\b([a-z_]+)\(\)", page)) - {"now"}
    text = "\n".join(path.read_text() for app in APPS for path in (ROOT / app).rglob("*.py"))
    assert len(functions) > 5
    assert {name for name in functions if not re.search(rf"\bdef {name}\(", text)} == set()


def exists(name: str) -> bool:
    return (ROOT / name).exists() or (ROOT / "docs" / name).exists()
