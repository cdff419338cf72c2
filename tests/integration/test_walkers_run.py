"""Walkers that run in the call that asks for them, through HTTP."""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, OperationalError, connection
from django.test import Client
from django.test.client import MULTIPART_CONTENT

from taskhub.db.connections import give_back_connection
from taskhub.errors import Unavailable
from taskhub.runs.models import Run
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.http import registry
from walkers.models import Graph, Node
from walkers.walks.principal import Principal

pytestmark = pytest.mark.django_db
RUN = "/js/walker_run"
FORM = "application/x-www-form-urlencoded"


def run(person: Person, name: str, ctx: Any = None, **more: Any) -> Any:
    return person.post(RUN, {"name": name, "ctx": ctx or {}, **more})


@pytest.fixture
def root(owner: Person) -> str:
    jid: str = owner.get("/js/graph_active_get").json()["jid"]
    return jid


# The answer


def test_a_walk_answers_with_its_report(owner: Person, root: str) -> None:
    answer = run(owner, "echo", {"value": {"a": [1, None, "ä"]}})
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "report": [{"a": [1, None, "ä"]}], "final_node": root, "yielded": False}
    assert answer["Content-Type"] == "application/json"
    assert not Run.objects.exists()


def test_the_documents_calls_work_as_printed(owner: Person, colleague: Person, root: str) -> None:
    user = next(
        one
        for one in colleague.post("/js_admin/master_allusers", {"limit": 0, "offset": 0}).json()["data"]
        if one["user"] == "owner@example.com"
    )
    found = colleague.post("/js/object_get", {"obj": user["jid"], "depth": 0, "detailed": True}).json()
    assert found.items() >= {"jid": user["jid"], "active_gph_id": root, "email": "owner@example.com"}.items()
    body = {"name": "get_botset", "ctx": {}, "nd": user["active_gph_id"], "snt": "active:sentinel"}
    assert colleague.post(RUN, body).json() == {"success": True, "report": [], "final_node": root, "yielded": False}
    body = {"name": "run", "ctx": {}, "nd": "active:graph", "snt": "active:sentinel"}
    assert owner.post(RUN, body).json()["report"] == [{"node": root, "ctx": {}}]


@pytest.mark.parametrize("content_type", ["application/json", FORM, "application/json; charset=utf-8"])
def test_a_json_body_is_read_under_either_content_type(owner: Person, content_type: str) -> None:
    body = json.dumps({"name": "echo", "ctx": {"value": 1}})
    assert owner.post(RUN, body, content_type=content_type).json()["report"] == [1]


def test_a_query_a_form_and_multipart_mean_the_same(owner: Person) -> None:
    fields = {"name": "echo", "ctx": '{"value": [1, "x"]}', "snt": "global", "nd": "active:graph"}
    answers = [
        owner.get(RUN, fields),
        owner.post(RUN, urlencode(fields), content_type=FORM),
        owner.post(RUN, fields, content_type=MULTIPART_CONTENT),
        owner.post(f"{RUN}?{urlencode(fields)}"),
        owner.post(f"{RUN}?name=echo", {"ctx": {"value": [1, "x"]}}),
    ]
    assert [(answer.status_code, answer.json()["report"]) for answer in answers] == [(200, [[1, "x"]])] * 5


def test_wapi_is_the_same_with_the_walker_in_the_path(owner: Person) -> None:
    assert owner.post("/js/wapi/echo", {"ctx": {"value": 1}}).json()["report"] == [1]
    assert owner.get("/js/wapi/echo", {"ctx": '{"value": 1}'}).json()["report"] == [1]
    assert owner.get("/js/wapi/echo/", {"ctx": '{"value": 1}'}).json()["report"] == [1]
    assert owner.get("/js/wapi/nothing").status_code == 404
    assert owner.post("/js/wapi/echo", {"name": "echo"}).json()["errors"][0]["pointer"] == "/name"


def test_in_process_the_call_is_the_same(owner: Person, root: str) -> None:
    expected = {"success": True, "report": [1], "final_node": root, "yielded": False}
    arguments = {"ctx": {"value": 1}}
    assert registry.call("wapi/echo", arguments, Principal(owner.user)).body == expected
    assert registry.call("walker_run", {"name": "echo", **arguments}, Principal(owner.user)).body == expected


def test_a_call_costs_one_query_besides_authentication(
    owner: Person, root: str, django_assert_num_queries: Any
) -> None:
    client = Client(headers=owner.headers)
    client.get(RUN, {"name": "echo"})
    with django_assert_num_queries(4) as seen:  # two of them are a savepoint of the test's own transaction
        assert client.get(RUN, {"name": "echo"}).status_code == 200
    assert [query["sql"].split()[0] for query in seen.captured_queries] == [
        "EXECUTE",
        "EXECUTE",
        "SAVEPOINT",
        "RELEASE",
    ]


# Refusals


def places(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["success"] is False
    return [error["pointer"] for error in answer.json()["errors"]]


def test_unknown_and_wrong_keys_are_named(owner: Person) -> None:
    assert places(run(owner, "echo", {"valeu": 1})) == ["/ctx/valeu"]
    assert places(run(owner, "pause", {"seconds": "long", "steps": 0})) == ["/ctx/seconds", "/ctx/steps"]
    assert places(owner.post(RUN, {"nmae": "echo"})) == ["/name", "/nmae"]
    assert places(owner.post(RUN, {"name": "echo", "ctx": "{}"})) == ["/ctx"]
    assert places(owner.get(RUN, {"name": "echo", "ctx": "{"})) == ["/ctx"]
    assert places(owner.get(RUN, {"name": "echo", "ctx": "[]"})) == ["/ctx"]
    assert places(owner.get(f"{RUN}?name=echo&name=echo")) == ["/name"]
    assert places(owner.post(RUN, "[]")) == [""]
    assert places(owner.post(RUN, '"text"')) == [""]


@pytest.mark.parametrize("body", ["{", '{"name": "echo", "name": "x"}', '{"ctx": NaN}', b"\xff", "[" * 100_000])
def test_broken_json_is_refused(owner: Person, body: Any) -> None:
    assert owner.post(RUN, body).status_code == 400


GARBAGE = ["nothing", "urn:uuid:x", "", "a" * 5000, "'; --", str(UUID(int=7)), UUID(int=7).urn, "active:", "active:x"]


@pytest.mark.parametrize("reference", GARBAGE)
def test_garbage_is_not_found(owner: Person, reference: str) -> None:
    for field in ("nd", "snt", "name"):
        assert owner.post(RUN, {"name": "echo", field: reference}).status_code == 404, field
        assert owner.get(RUN, {"name": "echo", field: reference}).status_code == 404, field


@pytest.mark.parametrize("reference", ["\x00", "a\nb"])
def test_control_characters_are_refused(owner: Person, reference: str) -> None:
    for field in ("nd", "snt", "name"):
        assert owner.get(RUN, {"name": "echo", field: reference}).status_code == 400
        assert owner.post(RUN, {"name": "echo", field: reference}).status_code == 400


@pytest.mark.parametrize("value", [1, True, ["x"], {"a": 1}])
def test_a_reference_is_text(owner: Person, value: Any) -> None:
    assert places(owner.post(RUN, {"name": "echo", "nd": value})) == ["/nd"]


def test_another_users_node_is_not_found_and_staff_see_all(stranger: Person, colleague: Person, root: str) -> None:
    assert run(stranger, "echo", nd=root).status_code == 404
    assert run(colleague, "run", nd=root).json()["report"] == [{"node": root, "ctx": {}}]


def test_nobody_runs_nothing(anonymous: Person) -> None:
    for path in (RUN, "/js/wapi/echo"):
        assert anonymous.post(path, {"name": "echo"}).status_code == 401
        assert anonymous.get(path, {"name": "echo"}).status_code == 401


def test_other_methods_are_refused(owner: Person) -> None:
    for method in ("PUT", "PATCH", "DELETE", "HEAD"):
        assert owner.call(method, RUN).status_code == 405, method


def test_an_unknown_call_is_not_found(owner: Person) -> None:
    for path in ("/js/nothing", "/js_admin/walker_run", "/js/master_allusers", "/js/", "/js/walker_run/x"):
        assert owner.post(path).status_code == 404, path


def test_a_browsers_session_runs_nothing_by_a_link(owner: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)
    assert client.get(RUN, {"name": "echo"}).status_code == 403
    assert client.get("/js/walker_list").status_code == 200
    assert client.post(RUN, {"name": "echo"}, "application/json").status_code == 403


# What a walker does


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


class Grow(Walker):
    """Spawns a node and then, perhaps, fails."""

    fails: bool = False

    def visit(self, here: Place) -> None:
        here.spawn("leaf")
        here.context["grown"] = True
        self.report("grew")
        if self.fails:
            raise ValueError("It broke.")


class GrowSlowly(Grow):
    atomic = False


def test_a_walker_that_raises_is_a_422_with_the_report_so_far(owner: Person, root: str) -> None:
    with installed(Grow):
        answer = run(owner, "grow", {"fails": True})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "walker-failed",
        "title": "The walker failed",
        "status": 422,
        "detail": "It broke.",
        "errors": [],
        "success": False,
        "report": ["grew"],
        "final_node": root,
        "error": {"type": "ValueError", "message": "It broke.", "where": answer.json()["error"]["where"]},
    }


def test_the_bundled_fail_fails(owner: Person) -> None:
    answer = run(owner, "fail", {"message": "No."})
    assert (answer.status_code, answer.json()["detail"]) == (422, "No.")


def test_a_failing_walker_leaves_the_graph_as_it_was(owner: Person, root: str) -> None:
    with installed(Grow):
        run(owner, "grow", {"fails": True})
        assert [node.context for node in Node.objects.all()] == [{}]
        run(owner, "grow")
        assert sorted(node.kind for node in Node.objects.all()) == ["leaf", "root"]


def test_a_walker_that_is_not_atomic_keeps_what_it_did(owner: Person, root: str) -> None:
    with installed(GrowSlowly):
        run(owner, "grow_slowly", {"fails": True})
    assert {node.kind: node.context for node in Node.objects.all()} == {"leaf": {}, "root": {"grown": True}}


class Odd(Walker):
    """Does what a walker should not do."""

    how: str

    def visit(self, here: Place) -> None:
        self.report(1)
        match self.how:
            case "nan":
                self.report({"a": [float("nan")]})
            case "set":
                self.report({1})
            case "exit":
                sys.exit("bye")
            case "recurse":
                self.visit(here)
            case "status":
                self.status = 204
            case "swallow":
                try:
                    self.disengage()
                except Exception:
                    self.report("swallowed")
            case "step":
                self.take(here)
            case "flood":
                self.take([here] * 20_000)
            case "other":
                raise IntegrityError("deferred")
            case "context":
                here.context["a"] = object()


@pytest.mark.parametrize(
    ("how", "type_", "word"),
    [
        ("nan", "TypeError", "report[1].a[0]: nan is not JSON"),
        ("set", "TypeError", "report[1]: a set has no order"),
        ("exit", "SystemExit", "bye"),
        ("recurse", "RecursionError", "recursion"),
        ("status", "ValueError", "204"),
        ("step", "TooManySteps", "10000"),
        ("flood", "TooManySteps", "10000"),
        ("other", "IntegrityError", "meanwhile"),
        ("context", "NotJson", ".a: a value of type object"),
    ],
)
def test_whatever_a_walker_does_is_its_own_failure(owner: Person, how: str, type_: str, word: str) -> None:
    with installed(Odd):
        answer = run(owner, "odd", {"how": how})
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == type_
    assert word in answer.json()["detail"]
    assert answer.json()["report"][0] == 1


def test_disengaging_is_not_caught_by_a_wide_except(owner: Person) -> None:
    with installed(Odd):
        assert run(owner, "odd", {"how": "swallow"}).json()["report"] == [1]


def test_a_report_may_not_be_larger_than_a_result(owner: Person, settings: Any) -> None:
    settings.RUN_RESULT_MAX_BYTES = 1000
    assert run(owner, "echo", {"value": "x" * 900}).status_code == 200
    answer = run(owner, "echo", {"value": "x" * 1001})
    assert answer.status_code == 422
    assert "larger" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_a_503(owner: Person) -> None:
    class Away(Walker):
        def visit(self, here: Place) -> None:
            raise OperationalError("gone")

    with installed(Away):
        assert run(owner, "away").status_code == 503


def test_a_walker_may_ask_to_be_tried_again(owner: Person) -> None:
    class Later(Walker):
        def visit(self, here: Place) -> None:
            raise Unavailable("Not now.", retry_after=7)

    with installed(Later):
        answer = run(owner, "later")
    assert (answer.status_code, answer["Retry-After"]) == (503, "7")


def test_the_time_limit_ends_a_walk_between_steps(owner: Person) -> None:
    class Endless(Walker):
        time_limit = 0.01

        def visit(self, here: Place) -> None:
            self.take(here)
            time.sleep(0.001)

    with installed(Endless):
        answer = run(owner, "endless")
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "TimeoutError")


def test_a_walker_sets_the_status(owner: Person) -> None:
    class Teapot(Walker):
        code: int

        def visit(self, here: Place) -> None:
            self.report(self.status)
            self.status = self.code
            self.report(self.status)

    with installed(Teapot):
        created, teapot = run(owner, "teapot", {"code": 201}), run(owner, "teapot", {"code": 418})
    assert (created.status_code, created.json()["success"], created.json()["report"]) == (201, True, [None, 201])
    assert (teapot.status_code, teapot.json()["success"], teapot.json()["status"]) == (418, False, 418)


class Curious(Walker):
    """Reports what it may know."""

    def visit(self, here: Place) -> None:
        assert self.request is not None
        headers = {name.lower(): text for name, text in self.request.headers.items()}
        self.report([self.request.method, self.request.path, dict(self.request.query), headers.get("x-shop")])
        self.report(sorted({"authorization", "cookie", "x-api-key", "x-my-token"} & headers.keys()))
        self.report([self.caller.email, self.start is here])


def test_a_walker_reads_the_request_without_its_secrets(owner: Person) -> None:
    headers = {"X-Shop": "tea", "Cookie": "sessionid=1", "X-My-Token": "secret"}
    with installed(Curious):
        answer = owner.post(f"{RUN}?nd=active:graph", {"name": "curious"}, headers=headers)
    assert answer.json()["report"] == [
        ["POST", RUN, {"nd": "active:graph"}, "tea"],
        [],
        ["owner@example.com", True],
    ]


class Weigh(Walker):
    """Reports its files."""

    note: str = ""

    def visit(self, here: Place) -> None:
        for field, files in sorted(self.files.lists()):
            for file in files:
                self.report([field, file.name, file.content_type, file.size, file.read().decode()])
        self.report(self.note)


def test_a_walker_reads_uploaded_files(owner: Person) -> None:
    fields = {
        "ctx": '{"note": "two"}',
        "photo": [
            SimpleUploadedFile("../a.txt", b"one", "text/plain"),
            SimpleUploadedFile("b.png", b"two", "image/png"),
        ],
        "ctx_file": SimpleUploadedFile("c.bin", b""),
    }
    with installed(Weigh):
        answer = owner.post("/js/wapi/weigh", fields, content_type=MULTIPART_CONTENT)
    assert answer.json()["report"] == [
        ["ctx_file", "c.bin", "text/plain", 0, ""],
        ["photo", "a.txt", "text/plain", 3, "one"],
        ["photo", "b.png", "image/png", 3, "two"],
        "two",
    ]


def part(content: bytes, content_type: str = "application/json", name: str = "test.json") -> Any:
    """As `curl -F 'ctx=@test.json;type=application/json'` sends it."""
    return SimpleUploadedFile(name, content, content_type)


@pytest.mark.parametrize(
    ("ctx", "note"),
    [
        (part(b'{"note": "two"}'), "two"),
        (part(b'{"note": "two"}', "application/octet-stream"), "two"),
        (part(b'{"note": "two"}', "text/plain", "ctx"), "two"),
        (part(b'{"note": "two"}', "application/ld+json"), "two"),
        (part(b'{"note": "two"}', "APPLICATION/JSON; charset=UTF-8"), "two"),
        (part('{"note": "zwölf"}'.encode("latin-1"), "application/json; charset=iso-8859-1"), "zwölf"),
        (part('{"note": "zwölf"}'.encode("utf-16"), "application/json; charset=utf-16"), "zwölf"),
        (part('\ufeff{"note": "zwölf"}'.encode()), "zwölf"),
        (part('{"note": "zwölf"}'.encode("utf-16")), "zwölf"),
        (part(b""), ""),
        (part(b" \r\n"), ""),
        ("", ""),
        (" ", ""),
        ('\ufeff{"note": "two"}', "two"),
    ],
)
def test_a_part_that_the_call_knows_is_a_field_whatever_carries_it(owner: Person, ctx: Any, note: str) -> None:
    fields = {"ctx": ctx, "nd": part(b'"active:graph"'), "is_async": part(b"false"), "photo": part(b"{}")}
    with installed(Weigh):
        answer = owner.post("/js/wapi/weigh", fields, content_type=MULTIPART_CONTENT)
    assert answer.status_code == 200, answer.json()
    assert answer.json()["report"] == [["photo", "test.json", "application/json", 2, "{}"], note]


def test_an_empty_ctx_is_an_empty_object_in_forms_and_queries(owner: Person) -> None:
    assert owner.post(RUN, "name=echo&ctx=", content_type=FORM).json()["report"] == [None]
    assert owner.get(RUN, {"name": "echo", "ctx": ""}).json()["report"] == [None]


@pytest.mark.parametrize(
    ("fields", "place", "word"),
    [
        ({"ctx": part(b'{"note": ')}, "/ctx", "line 1, column 10"),
        ({"ctx": part(b'{"note": "a", "note": "b"}')}, "/ctx", "twice"),
        ({"ctx": part(b'{"note": {"a": "\\u0000"}}')}, "/ctx/note/a", "U+0000"),
        ({"ctx": part(b"\xff\xfe\x00")}, "/ctx", "byte order mark"),
        ({"ctx": part(b"\x89PNG\xff", "image/png", "a.png")}, "/ctx", "not utf-8"),
        ({"ctx": part(b"{}", "application/json; charset=klingon")}, "/ctx", "klingon"),
        ({"ctx": part(b"[]")}, "/ctx", "object"),
        ({"ctx": part(b'{"note": 1}')}, "/ctx/note", "string"),
        ({"ctx": part(b'{"nite": 1}', "text/plain")}, "/ctx/nite", "no such name"),
        ({"ctx": [part(b"{}"), part(b"{}")]}, "/ctx", "twice"),
        ({"ctx": [part(b"{}"), "{}"]}, "/ctx", "twice"),
        ({"ctx": ["{}", "{}"]}, "/ctx", "twice"),
        ({"is_async": part(b'"perhaps"')}, "/is_async", "boolean"),
        ({"is_async": part(b"perhaps", "text/plain")}, "/is_async", "true or false"),
        ({"nd": part(b"{}")}, "/nd", "string"),
    ],
)
def test_a_part_that_cannot_be_read_is_named_by_its_place(
    owner: Person, fields: dict[str, Any], place: str, word: str
) -> None:
    with installed(Weigh):
        answer = owner.post("/js/wapi/weigh", fields, content_type=MULTIPART_CONTENT)
    assert places(answer) == [place]
    assert word in answer.json()["errors"][0]["detail"]


def test_a_field_may_be_no_larger_as_a_part_than_in_a_body(owner: Person, settings: Any) -> None:
    settings.BODY_MAX_BYTES = 1000
    answer = owner.post("/js/wapi/echo", {"ctx": part(b" " * 1001)}, content_type=MULTIPART_CONTENT)
    assert answer.status_code == 413
    assert "ctx" in answer.json()["detail"]


def test_a_body_that_is_too_large_is_refused(owner: Person, settings: Any) -> None:
    settings.BODY_MAX_BYTES = 1000
    assert run(owner, "echo", {"value": "x" * 1001}).status_code == 413
    assert owner.post(RUN, "a", content_type="text/plain").status_code == 415


# Listing


def test_walkers_are_listed_with_the_schema_of_their_ctx(owner: Person) -> None:
    with installed(Weigh):
        answer = owner.get("/js/walker_list")
        mine = owner.get("/js/walker_list", {"snt": "shop"}).json()["results"]
    shown = {walker["name"]: walker for walker in answer.json()["results"]}
    assert set(shown) == {"echo", "fail", "get_botset", "pause", "run", "weigh"}
    assert shown["pause"]["schema"]["properties"]["seconds"]["maximum"] == 3600
    assert shown["run"]["schema"]["additionalProperties"] is True
    assert (answer.json()["next"], answer.json()["previous"]) == (None, None)
    assert mine == [shown["weigh"]]
    assert mine[0] == {
        "name": "weigh",
        "sentinel": "shop",
        "description": "Reports its files.",
        "atomic": True,
        "time_limit": 3600,
        "schema": {
            "title": "Weigh",
            "type": "object",
            "properties": {"note": {"title": "Note", "type": "string", "default": ""}},
            "additionalProperties": False,
        },
    }


def test_one_walker_is_shown(owner: Person) -> None:
    assert owner.post("/js/walker_get", {"name": "echo"}).json()["description"] == "Reports its value."
    assert owner.get("/js/walker_get", {"name": "nothing"}).status_code == 404
    assert owner.get("/js/walker_get", {"name": "echo", "snt": "nothing"}).status_code == 404


# Sentinels


def test_a_new_walker_is_found_at_once_and_snt_tells_where_to_look(owner: Person) -> None:
    class Echo(Walker):
        def visit(self, here: Place) -> None:
            self.report("mine")

    with installed(Echo):
        shop = next(one for one in owner.get("/js/sentinel_list").json()["results"] if one["name"] == "shop")
        owner.post("/js/alias_register", {"name": "my shop", "value": shop["jid"]})
        for snt in (None, "shop", "global", "active:sentinel", shop["jid"], shop["jid"][9:], "my shop"):
            assert run(owner, "echo", snt=snt).json()["report"] == ["mine"], snt
        assert run(owner, "echo", snt="taskhub").json()["report"] == [None]
        assert run(owner, "pause", snt="shop").status_code == 404


def test_the_active_sentinel_is_meant_when_none_is_named(owner: Person, stranger: Person) -> None:
    assert owner.get("/js/sentinel_active_get").json()["name"] == "global"
    with installed(Weigh):
        answer = owner.post("/js/sentinel_active_set", {"snt": "shop"})
        assert answer.json().items() >= {"name": "shop", "active": True, "walkers": ["weigh"]}.items()
        assert owner.get("/js/sentinel_active_get").json() == answer.json()
        assert run(owner, "echo").status_code == 404
        assert run(owner, "weigh").status_code == 200
        assert run(stranger, "echo").status_code == 200
        assert owner.get("/js/object_get", {"obj": "active:sentinel"}).json()["name"] == "shop"
    assert "not installed any more" in run(owner, "echo").json()["detail"]
    assert owner.post("/js/sentinel_active_set", {"snt": "global"}).status_code == 200
    assert run(owner, "echo").status_code == 200


# Graphs that change under a walk


def test_a_walk_needs_no_graph_of_the_caller_before(stranger: Person) -> None:
    assert not Graph.objects.exists()
    answer = run(stranger, "run")
    assert answer.json()["report"][0]["node"] == Graph.objects.get().pk.urn


def test_nothing_stays_open_after_a_walk(owner: Person) -> None:
    run(owner, "fail")
    assert not connection.needs_rollback


# Sent twice


def test_the_same_call_again_gets_the_first_answer(owner: Person, root: str) -> None:
    headers = {"Idempotency-Key": "k1"}
    with installed(Grow):
        first = owner.post("/js/wapi/grow", {}, headers=headers)
        again = owner.post("/js/wapi/grow", {}, headers=headers)
        other = owner.post("/js/wapi/grow", {"ctx": {"fails": True}}, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert other.status_code == 422
    assert other.json()["type"] == "idempotency-key-reused"
    assert Node.objects.filter(kind="leaf").count() == 1


def test_a_failure_is_kept_too_and_its_effect_is_not(owner: Person, root: str) -> None:
    headers = {"Idempotency-Key": "k2"}
    with installed(Grow):
        first = owner.post("/js/wapi/grow", {"ctx": {"fails": True}}, headers=headers)
        again = owner.post("/js/wapi/grow", {"ctx": {"fails": True}}, headers=headers)
    assert (again.status_code, again.json()) == (422, first.json())
    assert Node.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", [True, False])
def test_what_a_walker_stored_that_is_not_atomic_stays_with_a_key_too(owner: Person, fails: bool) -> None:
    during: list[Any] = []

    class GrowOnce(GrowSlowly):
        def visit(self, here: Place) -> None:
            give_back_connection()  # as whatever waits does
            meanwhile = threading.Thread(target=call_again)
            meanwhile.start()
            meanwhile.join()
            super().visit(here)

    def call_again() -> None:
        during.append(call())
        connection.close()

    def call(**ctx: Any) -> Any:
        body = {"ctx": {"fails": fails, **ctx}}
        return owner.post("/js/wapi/grow_once", body, headers={"Idempotency-Key": "k4"})

    with installed(GrowOnce):
        first, again, other = call(), call(), call(fails=not fails)
    assert (first.status_code, again.json()) == (422 if fails else 200, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert [answer.status_code for answer in during] == [409]
    assert other.json()["type"] == "idempotency-key-reused"
    assert {node.kind: node.context for node in Node.objects.all()} == {"leaf": {}, "root": {"grown": True}}


@pytest.mark.django_db(transaction=True)
def test_a_walk_by_steps_that_is_to_be_tried_again_leaves_its_key_free(owner: Person) -> None:
    class Later(GrowSlowly):
        def visit(self, here: Place) -> None:
            here.spawn("leaf")
            raise Unavailable("Not now.")

    with installed(Later):
        answers = [owner.post("/js/wapi/later", {}, headers={"Idempotency-Key": "k5"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert Node.objects.filter(kind="leaf").count() == 2


def test_other_files_make_another_call(owner: Person) -> None:
    def send(content: bytes) -> Any:
        body = {"f": SimpleUploadedFile("a", content)}
        return owner.post("/js/wapi/weigh", body, content_type=MULTIPART_CONTENT, headers={"Idempotency-Key": "k3"})

    with installed(Weigh):
        assert send(b"one").json() == send(b"one").json()
        assert send(b"two").json()["type"] == "idempotency-key-reused"
