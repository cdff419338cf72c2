"""The steps of a run as a tree, in the order of the program: over HTTP, live, and in the admin."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sequences.models import SequenceStep
from sequences.services import step_trees
from sequences.services.sequence_runs import submit_sequence
from sequences.services.step_trees import read_step_tree
from taskhub.runs.models import Run
from tests.conftest import Person
from tests.hub import Hub
from tests.integration.outbound_servers import Server, answer, serving
from tests.problems import problem

# In the order in which they ended.
PATHS = (
    "requests[0]",
    "requests[1].__def_loop__[10].requests[0]",
    "requests[1].__def_loop__[2].requests[0]",
    "requests[1].__def_loop__[2].requests[0]",
    "requests[1]",
    "requests[2].parallel.branches[1][0]",
    "requests[2].parallel.branches[0][0].catch[0]",
    "requests[2].parallel.branches[0][0]",
    "requests[3].call.requests[0]",
    "requests[3]",
    "requests[2]",
    "finally[0]",
)


@pytest.fixture
def run(colleague: Person) -> Run:
    run = submit_sequence(arguments={"requests": []}, owner=colleague.user)
    for number, path in enumerate(PATHS, 1):
        SequenceStep.objects.create(
            run=run, number=number, path=path, method="GET", url="http://h/", duration_ms=number, attempt=1
        )
    return run


def outline(nodes: list[dict[str, Any]]) -> list[Any]:
    """Each node as its name, the numbers of its records, and its children."""
    return [(node["name"], [step["number"] for step in node["records"]], outline(node["children"])) for node in nodes]


TREE = [
    ("requests[0]", [1], []),
    (
        "requests[1]",
        [5],
        [("__def_loop__[2]", [], [("requests[0]", [3, 4], [])]), ("__def_loop__[10]", [], [("requests[0]", [2], [])])],
    ),
    (
        "requests[2]",
        [11],
        [
            ("parallel.branches[0]", [], [("[0]", [8], [("catch[0]", [7], [])])]),
            ("parallel.branches[1]", [], [("[0]", [6], [])]),
        ],
    ),
    ("requests[3]", [10], [("call.requests[0]", [9], [])]),
    ("finally[0]", [12], []),
]


@pytest.mark.django_db
def test_a_run_is_a_tree_in_the_order_of_its_program(colleague: Person, run: Run) -> None:
    shown = colleague.get(f"/sequences/runs/{run.pk}/tree").json()
    assert (outline(shown["results"]), shown["next"]) == (TREE, None)
    part = colleague.get(f"/sequences/runs/{run.pk}/tree?under=requests[1].__def_loop__[2]").json()["results"]
    assert outline(part) == [("requests[1].__def_loop__[2]", [], [("requests[0]", [3, 4], [])])]
    assert part[0]["children"][0]["path"] == "requests[1].__def_loop__[2].requests[0]"


@pytest.mark.django_db
@pytest.mark.parametrize("limit", [1, 3, 11, 12, 1000])
@pytest.mark.parametrize("under", ["", "requests[2]"])
def test_pages_together_are_the_whole(colleague: Person, run: Run, limit: int, under: str) -> None:
    shown: list[tuple[str, int]] = []
    address: str | None = f"/sequences/runs/{run.pk}/tree?limit={limit}&under={under}"
    while address:
        page = colleague.get(address).json()
        new = [(node["path"], step["number"]) for node in flat(page["results"]) for step in node["records"]]
        assert 1 <= len(new) <= limit
        shown += new
        address = page["next"] and re.sub("^https?://[^/]+", "", page["next"])
    whole = flat(colleague.get(f"/sequences/runs/{run.pk}/tree?under={under}").json()["results"])
    assert shown == [(node["path"], step["number"]) for node in whole for step in node["records"]]
    assert len(shown) == sum(path.startswith(under) for path in PATHS)


def flat(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [inner for node in nodes for inner in (node, *flat(node["children"]))]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("under=requests[9]", 404, None),
        ("under=requests[1", 404, None),
        ("under=%25", 404, None),
        ("after=99", 400, "/after"),
        ("after=0", 400, "/after"),
        ("limit=0", 400, "/limit"),
        ("limit=1001", 400, "/limit"),
        ("below=requests[1]", 400, "/below"),
    ],
)
def test_what_is_no_part_of_the_tree(colleague: Person, run: Run, query: str, status: int, pointer: str | None) -> None:
    problem(colleague.get(f"/sequences/runs/{run.pk}/tree?{query}"), status, *([pointer] if pointer else []))


@pytest.mark.django_db
def test_a_path_may_be_deep(colleague: Person, run: Run) -> None:
    path = ".call.".join(["requests[0].__def_loop__[0].requests[0]"] * 150)
    SequenceStep.objects.create(run=run, number=13, path=path, method="GET", url="http://h/", duration_ms=1)
    shown = colleague.get(f"/sequences/runs/{run.pk}/tree").json()["results"]
    assert path in [node["path"] for node in flat(shown)]
    assert max(map(levels, shown)) == step_trees.DEPTH_MAX + 1


def levels(node: Any) -> int:
    return 1 + max(map(levels, node["children"]), default=0)


@pytest.mark.django_db
def test_the_admin_shows_it_page_by_page(colleague: Person, run: Run, client: Any, monkeypatch: Any) -> None:
    colleague.user.is_superuser = True
    colleague.user.save()
    client.force_login(colleague.user)
    text = client.get(f"/admin/sequences/sequencestep/{run.pk}/tree/").content.decode()
    names = re.findall(r'title="([^"]+)">', text.partition("<tbody>")[2])
    nodes = read_step_tree(run=run, limit=100).walk()
    assert names == [node.path for node in nodes for _ in range(max(1, len(node.records)))]
    assert 'http-equiv="refresh"' in text  # it has not ended
    monkeypatch.setattr("sequences.admin.TREE_RECORDS", 3)
    assert "?after=4" in client.get(f"/admin/sequences/sequencestep/{run.pk}/tree/?after=1").content.decode()
    other = client.get(f"/admin/sequences/sequencestep/{'0' * 8}-0000-7000-8000-{'0' * 12}/tree/")
    assert other.status_code == 404
    assert f"{run.pk}/tree/" in client.get(f"/admin/runs/run/{run.pk}/change/").content.decode()


@pytest.mark.slow
def test_steps_are_followed_while_the_run_goes_on(hub: Hub) -> None:
    """The last answer comes when the steps before it have been seen: none of them waits for the next to end."""
    seen = threading.Event()

    def wait_until_seen(server: Server, connection: socket.socket) -> None:
        assert seen.wait(60)
        connection.sendall(answer(b"{}"))

    with serving() as serve:
        quick = {"method": "GET", "url": serve(answer(b"{}")).url}
        slow = {"method": "GET", "url": serve(wait_until_seen).url}
        sent = hub.admin.post("/sequences/runs", {"requests": [quick, {"parallel": {"branches": [[slow], [quick]]}}]})
        path = f"/sequences/runs/{sent.json()['id']}/steps"
        with hub.admin.get(f"{path}?follow=true", stream=True) as events:
            paths = []
            for name, data in read_events(events):
                if name == "end":
                    break
                paths.append(data["path"])
                if len(paths) == 2:
                    seen.set()
    branches = "requests[1].parallel.branches"
    assert paths == ["requests[0]", f"{branches}[1][0]", f"{branches}[0][0]", "requests[1]"]
    assert data == {"state": "SUCCESS"}
    again = {"Last-Event-ID": "4", "Accept": "text/event-stream"}
    assert hub.admin.get(path, headers=again).status_code == 204


def read_events(response: Any) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in response.iter_lines(decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
