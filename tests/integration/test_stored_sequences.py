"""Secrets, and sequences stored in versions: over HTTP, by their owners; carried out by a worker."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from taskhub.embedded import Home, Servers
from tests.hub import Caller, Hub
from tests.integration.sequence_servers import bundled_api

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with bundled_api() as address:
        yield address


def run(caller: Caller, body: dict[str, Any], path: str = "/sequences/runs") -> dict[str, Any]:
    answer = caller.post(f"{path}?wait=60", body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


# Secrets


def test_a_secret_is_nowhere_but_on_the_wire(hub: Hub, shop: str) -> None:
    value = f"canary {uuid4().hex}/+ü\"\\'~\n"
    assert hub.admin.call("PUT", "/secrets/CANARY", json={"value": value}).json()["name"] == "CANARY"
    secret = "{{secret.CANARY}}"

    def echo(body: Any, **more: Any) -> dict[str, Any]:
        return {"method": "POST", "url": f"{shop}/echo", "body": body, **more}

    signed_in = {"basic": {"username": "u", "password": "{{secret.CANARY | trim}}"}}
    equal = {"filter": [{"by": "$", "condition": {"eq": secret}}]}
    requests = [
        echo({"it": secret}, save_to="echoed", save_req_to="sent"),
        {"method": "GET", "url": f"{shop}/sent?key={secret}", "auth": signed_in, "save_to": "query"},
        echo(["{{secret.CANARY | base64}}", "{{secret.CANARY | length}}"], save_to="encoded"),
        echo("{{#.echoed.it}}", expect=equal, save_to="equal"),
        {"parallel": {"branches": [[echo(secret)]]}, "save_to": "branch"},
        {"method": "POST", "url": f"{shop}/sent", "query": {"q": secret}, "form": {"f": secret}, "save_to": "form"},
        {"method": "POST", "url": f"{shop}/sent", "body": {"j": [secret]}, "save_to": "json"},
        {"method": "POST", "url": f"{shop}/sent", "text": "{{#.sent.body | json}}", "save_to": "text"},
        echo(["{{#.sent.body | json | base64}}", "{{#.sent.body.it | lower}}"], save_to="made"),
        {"method": "GET", "url": secret},
    ]
    body = {"requests": requests}
    shown = run(hub.admin, body)
    assert (shown["state"], shown["error"]["message"].split(":")[0]) == ("FAILURE", "requests[9]")
    assert shown["result"]["echoed"] == {"it": "***"}
    assert shown["result"]["encoded"] == ["***", len(value)]
    assert shown["result"]["made"] == ["***", "***"]
    assert shown["result"]["equal"] == "***"
    told = json.dumps(
        [shown, hub.admin.get(f"/sequences/runs/{shown['id']}/steps").json(), hub.admin.get("/secrets").json()]
    )
    told += hub.admin.get(f"/runs/{shown['id']}").text + hub.log.read_text()
    canary = value.split()[1][:32]
    assert canary not in told
    assert canary not in json.dumps(hub.admin.get("/sequences/runs").json())


def test_a_secret_is_sealed_in_the_runs_to_which_it_is_passed(hub: Hub) -> None:
    value = f"canary{uuid4().hex}"
    hub.admin.call("PUT", "/secrets/PASSED", json={"value": value})
    master = hub.admin.get("/js/master_self").json()["jid"]
    steps = [
        {"method": "JAC", "api": "walker_run", "master": master, "save_to": f"call_{index}",
         "body": {"name": "echo", "ctx": {"value": "{{secret.PASSED}}"}, "is_async": True}}
        for index in range(2)
    ]  # fmt: skip
    shown = run(hub.admin, {"requests": [*steps, {"parallel": {"branches": [[steps[0]]]}}]})
    assert shown["state"] == "SUCCESS", shown
    children = [shown["result"][f"call_{index}"]["task_id"] for index in range(2)]
    for child in children:
        ended = hub.admin.get(f"/js/walker_queue_wait?task_id={child}&timeout=60").json()
        assert ended["result"]["report"] == [value]
        assert value not in json.dumps(hub.admin.get(f"/runs/{child}").json()["arguments"])
    postgres = Servers.of(Home(hub.home), hub.environment).postgres
    assert postgres is not None
    with psycopg.connect(postgres.url) as database:
        query = "SELECT id::text, r::text FROM runs_run r WHERE %(run)s IN (parent_id, id)"
        stored: dict[str, str] = dict(database.execute(query, {"run": shown["id"]}).fetchall())
    assert {*children, shown["id"]} < stored.keys()  # and the one of the branch
    assert not any(value in row for row in stored.values())
    assert value not in hub.log.read_text()


def test_secrets_are_their_owners_and_global_ones_those_of_staff(hub: Hub, shop: str) -> None:
    user, name = hub.sign_up(), f"KEY_{uuid4().hex[:8]}"
    assert user.call("PUT", f"/secrets/{name}", json={"value": "mine", "global": True}).status_code == 403
    assert hub.admin.call("PUT", f"/secrets/{name}", json={"value": "of all", "global": True}).json()["global"] is True
    assert [secret["global"] for secret in user.get("/secrets").json()["results"] if secret["name"] == name] == [True]
    step = {"method": "POST", "url": f"{shop}/echo", "body": f"{{{{secret.{name} | length}}}}", "save_to": "it"}
    assert run(hub.admin, {"requests": [step]})["result"] == {"it": 6}
    assert hub.admin.call("PUT", f"/secrets/{name}", json={"value": "own"}).json()["global"] is False
    assert run(hub.admin, {"requests": [step]})["result"] == {"it": 3}
    assert user.call("DELETE", f"/secrets/{name}").status_code == 404
    assert user.call("DELETE", f"/secrets/{name}?global=true").status_code == 403
    for query in ("", "?global=true"):
        assert hub.admin.call("DELETE", f"/secrets/{name}{query}").status_code == 204
    shown = run(hub.admin, {"requests": [step]})
    assert shown["error"]["message"] == f"requests[0]: There is no secret {name}."


@pytest.mark.parametrize(
    ("name", "body"),
    [("1A", {"value": "x"}), ("A-B", {"value": "x"}), ("A", {}), ("A", {"value": ""}), ("A", {"value": 5}),
     ("A", {"value": "x", "more": 1}), ("A", {"value": "x" * 65_537})],
)  # fmt: skip
def test_what_is_no_secret_is_refused(hub: Hub, name: str, body: dict[str, Any]) -> None:
    assert hub.admin.call("PUT", f"/secrets/{name}", json=body).status_code == 400


# Stored sequences


def stored(shop: str, **more: Any) -> dict[str, Any]:
    greet = {"method": "POST", "url": f"{shop}/echo", "body": "Hello {{#.inputs.name}}", "save_to": "greeting"}
    inputs = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    return {"sequence": {"requests": [greet]}, "inputs": inputs, "outputs": {"said": "#.greeting"}, **more}


def test_a_sequence_is_stored_in_versions_and_run_by_its_name(hub: Hub, shop: str) -> None:
    path = f"/sequences/greet-{uuid4().hex[:8]}"
    first = hub.admin.call("PUT", path, json=stored(shop))
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert hub.admin.call("PUT", path, json=stored(shop)).status_code == 200
    second = hub.admin.call("PUT", path, json=stored(shop, outputs=None, description="all of it"))
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert hub.admin.get(path).json()["outputs"] is None
    assert hub.admin.get(f"{path}?version=1").json()["outputs"] == {"said": "#.greeting"}
    assert [version["version"] for version in hub.admin.get(f"{path}/versions").json()["results"]] == [2, 1]
    assert path.removeprefix("/sequences/") in {one["name"] for one in hub.admin.get("/sequences").json()["results"]}
    inputs = {"inputs": {"name": "Ada"}}
    assert run(hub.admin, {**inputs, "version": 1}, f"{path}/runs")["result"] == {"said": "Hello Ada"}
    assert run(hub.admin, inputs, f"{path}/runs")["result"] == {**inputs, "greeting": "Hello Ada"}
    for bad in ({}, {"inputs": {"name": 5}}):
        problem = hub.admin.post(f"{path}/runs", bad)
        assert (problem.status_code, problem.json()["errors"][0]["path"]) == (400, "inputs")
    assert hub.admin.post(f"{path}/runs", {**inputs, "version": 9}).status_code == 404
    assert hub.admin.call("DELETE", path).status_code == 204
    assert [hub.admin.get(path).status_code, hub.admin.post(f"{path}/runs", inputs).status_code] == [404, 404]


def test_inputs_that_take_long_to_check_are_refused(hub: Hub, shop: str) -> None:
    path = f"/sequences/slow-{uuid4().hex[:8]}"
    prices = {"properties": {"prices": {"items": {"enum": [number + 0.5 for number in range(1000)]}}}}
    assert hub.admin.call("PUT", path, json=stored(shop, inputs=prices, outputs=None)).status_code == 201
    problem = hub.admin.post(f"{path}/runs", {"inputs": {"prices": [999.5] * 100_000}}).json()
    assert [error["path"] for error in problem["errors"]] == ["inputs"]
    assert "too large" in problem["errors"][0]["detail"]
    assert hub.admin.post(f"{path}/runs", {"inputs": {"name": "Ada", "prices": [999.5]}}).status_code == 202


def test_faults_of_a_stored_sequence_have_their_places(hub: Hub) -> None:
    body = {"sequence": {"requests": [{"method": "GET"}]}, "inputs": {"type": 5}, "outputs": {"a": "{{", "b": "what"}}
    problem = hub.admin.call("PUT", "/sequences/broken", json=body).json()
    assert [error["path"] for error in problem["errors"]] == [
        "sequence.requests[0].url",
        "outputs.a",
        "outputs.b",
        "inputs",
    ]
    for name in ("runs", "validate", "dry-run", "import", "schema.json", "-a", "a b"):
        assert hub.admin.call("PUT", f"/sequences/{name}", json={"sequence": {"requests": []}}).status_code in (
            400,
            405,
        )
    assert hub.admin.call("PUT", "/sequences/a", json={"sequence": {"requests": []}, "more": 1}).status_code == 400
    assert hub.admin.call("PUT", "/sequences/a", json={}).status_code == 400


def calling(*names: str, **more: Any) -> dict[str, Any]:
    """A sequence that calls others, one after the other."""
    return {"requests": [{"call": {"sequence": name}, **more} for name in names]}


@pytest.fixture(scope="module")
def inner(hub: Hub, shop: str) -> str:
    """The name of a stored sequence."""
    name = f"inner-{uuid4().hex[:8]}"
    assert hub.admin.call("PUT", f"/sequences/{name}", json=stored(shop)).status_code == 201
    return name


def test_what_is_called_is_looked_up_wherever_a_sequence_is_checked(hub: Hub, inner: str) -> None:
    steps = calling(inner, "nobody")["requests"]
    again = {"call": {"sequence": inner, "version": 9}}
    unknown = {"method": "jac", "url": "walker_runn"}
    loop = {"by": "#.list", "requests": [again, unknown]}
    sequence = {
        "requests": [*steps, {"parallel": {"branches": [[again]]}, "catch": steps[1:], "__def_loop__": loop}],
        "finally": [
            *steps[1:],
            {"call": {"sequence": "{{#.name}}"}},
            {"method": "JAC", "api": "wapi/echo"},
            {"method": "JAC", "api": "{{#.name}}"},
            {"method": "JAC", "api": "no_such_call"},
        ],
    }
    places = {
        "requests[1].call.sequence",
        "requests[2].parallel.branches[0][0].call.version",
        "requests[2].__def_loop__.requests[0].call.version",
        "requests[2].catch[0].call.sequence",
        "requests[2].__def_loop__.requests[1].url",
        "finally[0].call.sequence",
        "finally[4].api",
    }
    schedule = {"name": "night", "kind": "sequence", "arguments": sequence, "when": {"crontab": "0 3 * * *"}}
    older = {
        "name": "night",
        "schedule": {"type": "interval", "conf": {"every": 1, "period": "days"}},
        "body": sequence,
    }
    for method, path, body, prefix in (
        ("POST", "/sequences/validate", sequence, ""),
        ("POST", "/sequences/runs", sequence, ""),
        ("PUT", f"/sequences/outer-{inner}", {"sequence": sequence}, "sequence."),
        ("POST", "/schedules", schedule, ""),
        ("POST", "/js/add_scheduled_sequence", older, ""),
    ):
        problem = hub.admin.call(method, path, json=body)
        assert problem.status_code == 400, (path, problem.text)
        found = {error["path"]: error["detail"] for error in problem.json()["errors"]}
        assert found.keys() == {f"{prefix}{place}" for place in places}, path
        assert found[f"{prefix}requests[1].call.sequence"] == "There is no stored sequence nobody."
        assert found[f"{prefix}finally[4].api"].startswith("There is no call 'no_such_call'")
    assert hub.admin.get(f"/sequences/outer-{inner}").status_code == 404


@pytest.mark.parametrize(
    ("arguments", "place"),
    [({"sequence": "nobody"}, "sequence"), ({"sequence": "INNER", "version": 9}, "version"),
     ({"sequence": "INNER", "inputs": {"name": 5}}, "inputs")],
)  # fmt: skip
def test_arguments_that_name_a_stored_sequence_are_checked_with_it(
    hub: Hub, inner: str, arguments: dict[str, Any], place: str
) -> None:
    arguments = {**arguments, "sequence": arguments["sequence"].replace("INNER", inner)}
    schedule = {"name": "night", "kind": "sequence", "arguments": arguments, "when": {"crontab": "0 3 * * *"}}
    for path, body in (("/sequences/validate", arguments), ("/schedules", schedule)):
        problem = hub.admin.post(path, body)
        assert (problem.status_code, [error["path"] for error in problem.json()["errors"]]) == (400, [place]), path


def test_calls_that_are_sure_to_go_too_deep_are_refused(hub: Hub) -> None:
    chain = [f"deep-{uuid4().hex[:8]}-{number}" for number in range(12)]
    for number, name in enumerate(chain[:11]):  # each calls the one before, so the last calls ten
        body = {"sequence": calling(*chain[number - 1 : number] if number else ())}
        assert hub.admin.call("PUT", f"/sequences/{name}", json=body).status_code == 201
    refused = hub.admin.post("/sequences/validate", calling(chain[10])).json()["errors"]
    named = ", ".join(reversed(chain[:11]))
    assert refused == [
        {"path": "requests[0].call.sequence", "detail": f"Sequences call each other more than 10 deep: {named}."}
    ]
    assert hub.admin.post("/sequences/validate", calling(chain[9])).json() == {"valid": True}
    assert run(hub.admin, calling(chain[9]))["state"] == "SUCCESS"
    itself = f"/sequences/{chain[11]}"
    refused = hub.admin.call("PUT", itself, json={"sequence": calling(chain[11])}).json()["errors"]
    assert [error["path"] for error in refused] == ["sequence.requests[0].call.sequence"]
    ends = [{"by": "#.inputs.name", "condition": {"ne": None}}]
    guards: list[dict[str, Any]] = [{"when": ends}, {"ignore_error": True}, {"catch": []}]  # these may well end
    for guard in guards:
        body = {"sequence": calling(chain[11], **guard)}
        assert hub.admin.call("PUT", itself, json=body).status_code in (200, 201), guard
    left = [{"parallel": {"branches": [[]]}, "break": []}, *calling(chain[11])["requests"]]
    assert hub.admin.call("PUT", itself, json={"sequence": {"requests": left}}).status_code == 201


def test_one_sequence_calls_another(hub: Hub, shop: str) -> None:
    name = f"inner-{uuid4().hex[:8]}"
    hub.admin.call("PUT", f"/sequences/{name}", json=stored(shop))
    call = {"call": {"sequence": name, "inputs": {"name": "{{@}}"}}, "save_to": "called_{{!}}"}
    loop = {"by": "#.names", "parallel": 2, "requests": [call]}
    step = {"method": "GET", "url": f"{shop}/users", "__def_loop__": loop}
    shown = run(hub.admin, {"persistence": {"names": ["Ada", "Bob"]}, "requests": [step]})
    assert shown["state"] == "SUCCESS", shown["error"]
    assert [shown["result"][f"called_{number}"] for number in range(2)] == [
        {"said": "Hello Ada"},
        {"said": "Hello Bob"},
    ]
    assert "requests[0].__def_loop__[1].requests[0].call.requests[0]" in {step["path"] for step in shown["steps"]}
    bad = run(
        hub.admin, {"requests": [{"call": {"sequence": name, "inputs": {}}, "ignore_error": True, "save_to": "it"}]}
    )
    assert "name" in bad["result"]["it"]["worker_error"]
    stranger = hub.sign_up()
    assert stranger.get(f"/sequences/{name}").status_code == 403


# Resumption


def test_a_failed_run_goes_on_in_another(hub: Hub, shop: str) -> None:
    """From the step that failed, with what was saved, what is sent to replace it, and what nobody is shown."""
    value = f"kept {uuid4().hex}"
    hub.admin.call("PUT", "/secrets/KEPT", json={"value": value})
    requests = [
        {"method": "POST", "url": f"{shop}/echo", "body": {"n": 1}, "save_to": "first",
         "assign": {"secret": "{{secret.KEPT}}", "coded": "{{secret.KEPT | base64}}"}},
        {"method": "POST", "url": f"{shop}/{{{{#.page}}}}", "body": ["{{$.n}}", "{{#.page}}"], "save_to": "second"},
        {"method": "GET", "url": f"{shop}/users", "save_to": "third"},
    ]  # fmt: skip
    failed = run(hub.admin, {"persistence": {"page": "missing"}, "requests": requests})
    assert failed["error"]["message"].startswith("requests[1]: ")
    place = f"/sequences/runs/{failed['id']}/resume"
    again = run(hub.admin, {}, place)
    assert [step["path"] for step in again["steps"]] == ["requests[1]"]
    last = run(hub.admin, {"persistence": {"page": "echo"}}, place)
    assert last["state"] == "SUCCESS", last["error"]
    assert [step["path"] for step in last["steps"]] == ["requests[1]", "requests[2]"]
    assert last["result"]["second"] == [1, "echo"]
    assert last["result"].items() >= {"page": "echo", "first": {"n": 1}, "secret": "***", "coded": "***"}.items()
    assert hub.admin.get(f"/runs/{last['id']}").json()["retry_of"] == failed["id"]
    assert hub.admin.post(f"/sequences/runs/{last['id']}/resume", {}).status_code == 409
