"""The order of keys is that of the text: in the database, through a run, and from a schedule to what is sent."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from sequences.services.sequence_execution import perform_sequence
from taskhub.jsontools.key_order import ORDER, keep_order, parse_ordered
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.worker_process import work
from taskhub.runs.scheduler.fires import fire_due
from taskhub.security.reencryption import reencrypt_all
from tests.conftest import Person
from tests.integration.outbound_servers import Server, serving

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = st.sampled_from([ORDER, "$$order", "order", "z", "a", "bb", "é", "€", "😀", "", "$sealed"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=3
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
@example({ORDER: ["a"], "a": 1})
@example({"bb": {ORDER: 1}, "$$order": 2, "a": 3})
def test_what_jsonb_gives_back_is_in_its_order(db: None, value: Any) -> None:
    with connection.cursor() as cursor:
        parameters: Any = [Jsonb(keep_order(value))]
        cursor.execute("SELECT (%s)::jsonb::text", parameters)
        (stored,) = cursor.fetchone()
    assert json.dumps(parse_ordered(stored)) == json.dumps(value)


@given(VALUES)
def test_what_jsonb_orders_so_is_stored_as_it_is(value: Any) -> None:
    in_order = json.loads(json.dumps(value), object_hook=lambda found: dict(sorted(found.items(), key=_place)))
    assert ORDER not in json.dumps(keep_order(in_order)) or ORDER in json.dumps(value)


def _place(member: tuple[str, Any]) -> tuple[int, bytes]:
    return len(member[0].encode()), member[0].encode()


BODY = '{"zebra": 1, "a": {"yy": [{"n": 1, "m": 2}], "x": {"zz": 1, "b": 2}}, "mmm": "{{#.one.first}}"}'
SEQUENCE = f"""{{
    "requests": [
        {{"url": "URL", "method": "POST", "save_to": "zz_answer", "body": {BODY}}},
        {{"method": "POST", "url": "URL", "body": "{{{{#.map}}}}", "save_to": "b",
         "__def_loop__": {{"by": "$.*", "requests": [
            {{"method": "POST", "url": "URL", "body": {{"item": "{{{{$}}}}"}}, "save_to": "item_{{{{!}}}}"}}]}}}}
    ],
    "persistence": {{"one": {{"zzz": 0, "first": "one"}}, "map": {{"third": 3, "b": 2, "aa": 1}}}}
}}"""
SENT = [BODY.replace("{{#.one.first}}", "one"), '{"third": 3, "b": 2, "aa": 1}']
SENT += [json.dumps({"item": number}) for number in (3, 2, 1)]


@pytest.fixture
def server() -> Iterator[Server]:
    def echo(server: Server, connection: Any) -> None:
        body = server.bodies[-1]
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with serving() as start:
        yield start(echo)


def performed(server: Server) -> Run:
    server.bodies.clear()
    assert work("sequence", perform_sequence, node="sequences@here") == 1
    run = Run.objects.latest("id")
    assert run.state == "SUCCESS", run.error
    assert [json.loads(body, object_pairs_hook=list) for body in server.bodies] == [
        json.loads(text, object_pairs_hook=list) for text in SENT
    ]
    return run


def spelled(value: Any) -> str:
    return json.dumps(value)


def test_from_the_text_to_what_is_sent(colleague: Person, server: Server) -> None:
    text = SEQUENCE.replace("URL", server.url)
    arguments = json.loads(text)
    run_id = colleague.post("/sequences/runs", text).json()["id"]
    run = performed(server)
    assert (str(run.pk), spelled(run.arguments)) == (run_id, spelled(arguments))
    shown = colleague.get(f"/sequences/runs/{run_id}").json()["result"]
    assert list(shown) == ["one", "map", "zz_answer", "b", "item_0", "item_1", "item_2"]
    assert spelled(shown["zz_answer"]) == spelled(json.loads(SENT[0]))
    assert spelled(colleague.get(f"/runs/{run_id}").json()["result"]) == spelled(shown)
    # again, with the arguments of the old run
    assert colleague.post(f"/runs/{run_id}/retry").status_code == 202
    again = performed(server)
    assert spelled(again.arguments) == spelled(arguments)
    assert spelled(again.result) == spelled(shown)


def test_from_a_schedule_to_what_is_sent(colleague: Person, server: Server) -> None:
    text = SEQUENCE.replace("URL", server.url)
    schedule = '{"type": "interval", "conf": {"period": "hours", "every": 1}}'
    added = colleague.post("/js/add_scheduled_sequence", f'{{"name": "often", "schedule": {schedule}, "body": {text}}}')
    assert added.status_code == 200, added.content
    assert spelled(added.json()["body"]) == spelled(json.loads(text))
    assert spelled(colleague.get("/js/get_scheduled_queues").json()["results"][0]["body"]) == spelled(json.loads(text))
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert fire_due() == 1
    assert spelled(performed(server).arguments) == spelled(json.loads(text))


def test_the_first_answer_is_the_same_in_its_order(colleague: Person) -> None:
    body = {"requests": [], "persistence": {"zz": 1, "a": {"yy": 1, "b": 2}}}
    first, second = (colleague.post("/sequences/runs", body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == second.content


def test_secrets_are_sealed_and_keys_keep_their_order(colleague: Person) -> None:
    arguments = {"zz": {"password": "correct horse", "b": 1, "a": [{"token": "t0ken-of-mine", "c": {}}]}, "a": "$order"}
    run = Run.objects.create(kind="sequence", name="often", owner=colleague.user, arguments=arguments)
    for _ in range(2):
        assert spelled(Run.objects.get(pk=run.pk).arguments) == spelled(arguments)
        with connection.cursor() as cursor:
            cursor.execute("SELECT arguments::text FROM runs_run")
            (stored,) = cursor.fetchone()
        assert "correct horse" not in stored
        assert "t0ken-of-mine" not in stored
        assert reencrypt_all()
