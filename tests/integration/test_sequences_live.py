"""The documents' sequences on a running hub: sent over HTTP, executed by a worker, read step by step."""

import json
import re
import socket
import threading
import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from taskhub.embedded import Home, Servers
from tests.document_sequences import Printed
from tests.hub import ADMIN, PASSWORD, Caller, Hub
from tests.integration.outbound_servers import Server, answer, serving

pytestmark = pytest.mark.slow
AT_ONCE = 32  # of one owner, in a worker of the default size
WAITING = 16  # requests of one sequence


def run(caller: Caller, text: str, status: int = 200) -> dict[str, Any]:
    answer = caller.call("POST", "/sequences/runs?wait=60", data=text.encode(), headers={"Content-Type": "text/plain"})
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_the_first_document_runs_as_printed(hub: Hub) -> None:
    printed = Printed(hub, "sequence_v1.jsonc")
    shown = run(hub.admin, printed.text)
    assert shown["state"] == "SUCCESS", shown["error"]
    printed.check_result(shown["result"])
    paths = [step["path"] for step in shown["steps"]]
    assert paths[:2] == ["requests[0]", "requests[1]"]
    assert paths[-1] == "requests[2]"
    inner = [re.sub(r"__def_loop__\[\d+\]", "__def_loop__[n]", path) for path in paths[2:-1]]
    assert inner == [f"requests[1].__def_loop__[n].requests[{number}]" for number in (0, 1)] * 2
    assert {step["status"] for step in shown["steps"]} == {200}
    assert not any(step["again"] for step in shown["steps"])


def test_the_second_document_stops_where_nobody_calls(hub: Hub) -> None:
    printed = Printed(hub, "sequence_v2.jsonc")
    shown = run(hub.admin, printed.text)
    assert shown["state"] == "FAILURE"
    assert shown["error"]["message"].startswith("requests[3]: ")
    assert "401" in shown["error"]["message"]
    printed.check_result(shown["result"])
    assert "master_allusers_by_walker" not in shown["result"]
    assert (shown["steps"][-1]["path"], shown["steps"][-1]["status"]) == ("requests[3]", 401)
    assert (shown["steps"][-1]["method"], shown["steps"][-1]["url"]) == ("JAC", "master_allusers")


def test_the_second_document_with_a_master(hub: Hub) -> None:
    printed = Printed(hub, "sequence_v2.jsonc")
    shown = run(hub.admin, printed.with_master(hub.admin.id))
    assert shown["state"] == "SUCCESS", shown["error"]
    printed.check_result(shown["result"])
    by_walker = shown["result"]["master_allusers_by_walker"]
    assert by_walker["total"] == len(by_walker["data"])
    assert printed.third.email in {user["user"] for user in by_walker["data"]}


def test_the_documents_elision_is_refused_at_its_place(hub: Hub) -> None:
    for name in ("sequence_v1.jsonc", "sequence_v2.jsonc"):
        printed = Printed(hub, name)
        problem = run(hub.admin, printed.whole, 400)
        line = next(n for n, line in enumerate(printed.whole.splitlines(), 1) if '"__def_loop": ...' in line)
        assert [(error["line"], "..." in error["detail"]) for error in problem["errors"]] == [(line, True)]


def test_steps_show_no_secret_and_the_result_is_whole(hub: Hub) -> None:
    secret = f"hidden-{uuid4().hex}"
    bearer = {"Authorization": "token {{#.login.token}}"}
    echo = {"name": "echo", "ctx": {"value": "{{#.login.token}} {{#.api_key}}"}}
    steps: list[dict[str, Any]] = [
        {"url": "/user/token/", "body": {"email": ADMIN, "password": PASSWORD}, "save_to": "login"},
        {"url": "/js/walker_list?snt={{#.api_key}}", "headers": bearer, "ignore_error": True},
        {
            "url": "/js/walker_run",
            "headers": bearer,
            "body": echo,
            "save_to": "echoed",
        },
    ]
    requests = [{**step, "method": "POST", "url": f"{hub.url}{step['url']}"} for step in steps]
    text = json.dumps({"persistence": {"api_key": secret}, "requests": requests})
    shown = run(hub.admin, text)
    assert shown["state"] == "SUCCESS", shown["error"]
    token = shown["result"]["login"]["token"]
    assert shown["result"]["echoed"]["report"] == [f"{token} {secret}"]
    steps = hub.admin.get(f"/sequences/runs/{shown['id']}/steps").json()["results"]
    assert [(step["number"], step["status"]) for step in steps] == [(1, 200), (2, 404), (3, 200)]
    told = str(steps) + str(shown["steps"])
    assert not [word for word in (secret, token, PASSWORD) if word in told]
    assert '"Authorization": "***"' in steps[1]["sent"]
    assert '"report": ["*** ***"]' in steps[2]["answer"]
    assert secret not in hub.log.read_text()
    assert token not in hub.log.read_text()


def test_what_it_starts_in_the_background_points_to_it(hub: Hub) -> None:
    text = f"""{{"requests": [{{"method": "JAC", "api": "walker_run", "master": "{hub.admin.id}", "save_to": "task",
        "body": {{"name": "echo", "ctx": {{"value": 1}}, "is_async": true}}}}]}}"""
    shown = run(hub.admin, text)
    child = hub.admin.get(f"/runs/{shown['result']['task']['task_id']}").json()
    assert (child["kind"], child["parent"]) == ("walker", shown["id"])


def test_sent_again_with_its_key_it_is_the_answer_that_was_waited_for(hub: Hub) -> None:
    key, body = {"Idempotency-Key": uuid4().hex}, {"requests": [], "persistence": {"a": 1}}
    first, second = (hub.admin.post("/sequences/runs?wait=60", body, headers=key) for _ in range(2))
    assert (first.status_code, first.json()["state"]) == (200, "SUCCESS")
    assert (second.status_code, second.json()) == (200, first.json())
    assert second.headers["Idempotency-Replayed"] == "true"


def test_a_name_to_save_under_may_be_long(hub: Hub) -> None:
    name = "n" * 20_000
    step = {"method": "POST", "url": f"{hub.url}/sequences/validate", "ignore_error": True, "save_to": name}
    answer = hub.admin.post("/sequences/runs?wait=60", {"requests": [step]}).json()
    assert answer["state"] == "SUCCESS", answer["error"]
    assert list(answer["result"]) == [name]


def test_only_staff_may_call(hub: Hub) -> None:
    stranger = hub.sign_up()
    assert run(stranger, "{}", 403)["type"] == "forbidden"
    assert run(hub.anonymous, "{}", 401)["type"] == "not-authenticated"


def test_a_sequence_that_starts_another_and_waits_for_it_ends(hub: Hub) -> None:
    bearer = {"Authorization": f"token {hub.admin.token}"}
    inner: dict[str, Any] = {"requests": [], "persistence": {"inner": True}}
    for _ in range(3):  # each waits for the next
        step = {"method": "POST", "url": f"{hub.url}/sequences/runs?wait=60", "headers": bearer, "body": inner}
        inner = {"requests": [{**step, "save_to": "answer"}]}
    shown = run(hub.admin, json.dumps(inner))
    assert shown["state"] == "SUCCESS", shown["error"]
    answers = [shown["result"]["answer"]]
    while "answer" in answers[-1]["result"]:
        answers.append(answers[-1]["result"]["answer"])
    assert [answer["state"] for answer in answers] == ["SUCCESS"] * 3
    assert answers[-1]["result"] == {"inner": True}


def test_many_sequences_wait_at_once(hub: Hub) -> None:
    """The server answers when all have asked: one that was left out would hold up all others."""
    together = threading.Barrier(AT_ONCE, timeout=60)

    def script(server: Server, connection: socket.socket) -> None:
        together.wait()
        connection.sendall(answer(b"{}"))

    with serving() as serve:
        body = {"requests": [{"method": "GET", "url": serve(script).url}]}
        runs = [hub.admin.post("/sequences/runs", body).json()["id"] for _ in range(AT_ONCE)]
        shown = [hub.admin.get(f"/js/walker_queue_wait?task_id={id}&timeout=60").json() for id in runs]
    assert [one["state"] for one in shown] == ["SUCCESS"] * AT_ONCE


def test_slow_requests_that_end_together_are_recorded_together(hub: Hub) -> None:
    together = threading.Barrier(WAITING, timeout=60)

    def script(server: Server, connection: socket.socket) -> None:
        together.wait()
        time.sleep(0.5)  # a slow server
        connection.sendall(answer(b"{}"))

    with serving() as serve:
        items = {"by": "#.list", "parallel": WAITING, "requests": [{"method": "GET", "url": serve(script).url}]}
        first = {"method": "JAC", "api": "master_self", "master": hub.admin.id, "__def_loop__": items}
        shown = run(hub.admin, json.dumps({"requests": [first], "persistence": {"list": [0] * WAITING}}))
    assert shown["state"] == "SUCCESS"
    postgres = Servers.of(Home(hub.home), hub.environment).postgres
    assert postgres is not None
    with psycopg.connect(postgres.url) as database:
        told = "SELECT count(*), count(DISTINCT xmin::text) FROM sequences_step WHERE run_id = %s"
        steps, commits = database.execute(told, [shown["id"]]).fetchone() or (0, 0)
    assert steps == 1 + WAITING
    assert commits < WAITING / 2
