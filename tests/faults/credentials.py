"""People with every kind of credentials, and what one of them has: for tests of who may call what."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from knox.models import AuthToken

from crawlers.models import CrawlerTask
from crawlers.services.capabilities import capability_of
from extraction.models import Process
from extraction.services.samples import start_suggestions
from extraction.services.signed_links import LOG, link_to
from sequences.services.secrets import save_secret
from sequences.services.sequence_runs import submit_sequence
from sequences.services.stored_sequences import save_sequence
from taskhub.accounts import services as accounts
from taskhub.accounts.models import ApiKey, BrowserSession, User
from taskhub.runs.models import Run
from taskhub.runs.notifications import services as notifications
from taskhub.runs.queue import submit
from taskhub.runs.scheduler.schedules import save_schedule
from taskhub.runs.webhooks.services import send_test
from tests import crawler_client
from tests.conftest import Person, make_person, undone_in_the_end
from walkers.services.aliases import register_alias
from walkers.services.graphs import create_graph
from walkers.walks.principal import active_context

SESSION_COOKIE = settings.SESSION_COOKIE_NAME
RULE: dict[str, Any] = {"name": "slow", "on": ["run.slow"], "slow_after": 60, "to": {"webhook": "http://127.0.0.1:9/h"}}
PAYLOAD: dict[str, Any] = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}


class Credentials(NamedTuple):
    """How a call is made in somebody's name."""

    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    session: str = ""


class World(NamedTuple):
    """People, and what the owner has. By route: its parts; by name: what is sent."""

    owner: Person
    stranger: Person
    colleague: Person
    things: dict[str, str]
    good: dict[str, dict[str, Credentials]]  # by whose they are, and how they are given
    bad: dict[str, Credentials]


@contextmanager
def populated_world() -> Iterator[World]:
    """Is undone in the end."""
    with undone_in_the_end():
        owner, stranger = make_person("owner@example.com"), make_person("stranger@example.com")
        other = make_person("other@example.com")
        colleague = make_person("colleague@example.com", role="admin")
        staff = {role: make_person(f"{role}@example.com", role=role) for role in ("viewer", "operator")}
        staff["roleless"] = make_person("roleless@example.com", is_staff=True)
        people = {"owner": owner, "stranger": stranger, "staff": colleague, **staff}
        yield World(
            owner,
            stranger,
            colleague,
            things={**_things(owner, colleague), "users/<uuid:id>": str(other.user.pk)},
            good={name: good(person.user) for name, person in people.items()},
            bad=bad(owner.user),
        )


def _things(owner: Person, colleague: Person) -> dict[str, str]:
    run, graph = waiting_run(owner.user), create_graph(owner=owner.user, name="shop")
    register_alias(owner=owner.user, name="shop", target=graph.pk)
    key, _ = accounts.create_key(user=owner.user)
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    periodic = PeriodicTask(name="hourly", task="walkers.tasks.ScheduledWalker", interval=hourly)
    schedule = save_schedule(periodic=periodic, owner=owner.user, written='{"name": "run"}')
    rule = notifications.create_rule(owner=owner.user, values=RULE)
    delivery = send_test(owner=owner.user, url="http://127.0.0.1:9/hook").pk
    sequence = submit_sequence(arguments={"requests": []}, owner=owner.user)
    stored, _ = save_sequence(user=colleague.user, name="greet", sequence={"requests": []})
    sign_in = BrowserSession.objects.get(session_key=session_of(owner.user)).sign_in_id
    things = {
        **_crawling(owner),
        **_extracting(owner),
        "run": run.pk,
        "<uuid:run_id>": run.pk,
        "followed/<uuid:run_id>": sequence.pk,
        "stored/<str:name>": stored.stored.name,
        "deliveries/<uuid:id>": delivery,
        "webhooks/<uuid:run_id>": delivery,
        "<uuid:id>": sequence.pk,
        "notifications/<int:id>": rule.pk,
        "<int:rule_id>": rule.pk,
        "messages/<uuid:run_id>": notifications.send_test(rule=rule)[0].pk,
        "graph": graph.pk,
        "<int:id>": schedule.pk,
        "<int:schedule_id>": schedule.pk,
        "<uuid:user_id>": owner.user.pk,
        "<int:file_id>": 1,
        "<str:prefix>": key.prefix,
        "sequences/<str:name>": "health",
        "sessions/<uuid:id>": sign_in,
        "sessions/<uuid:sign_in_id>": sign_in,
        "secrets/<str:name>": save_secret(user=owner.user, name="SHOP_KEY", value="abcdef", is_global=False).name,
    }
    return {name: str(thing) for name, thing in things.items()} | {"<str:walker>": "get_botset"}


def _crawling(owner: Person) -> dict[str, Any]:
    external = crawler_client.external(owner, "http://127.0.0.1:9/shop", parameters=[])
    made = crawler_client.crawler(owner, external, {})
    task = CrawlerTask.objects.get(fid=crawler_client.start(owner, made["crawler"])["fid"])
    assert owner.post(f"/actions/tasks/{task.fid}/upload", {"sku": "a1"}).status_code == 200
    return {
        "docs/<path:document_id>": "a1",
        "externals/<uuid:fid>": external["fid"],
        "streams/<uuid:fid>": made["stream"]["fid"],
        "crawlers/<uuid:fid>": made["crawler"]["fid"],
        "tasks/<uuid:fid>": task.fid,
        "<uuid:task_fid>": task.fid,
        "<str:capability>": capability_of(task),
    }


def _extracting(owner: Person) -> dict[str, Any]:
    task = owner.post("/v1/task/create", PAYLOAD).json()
    process = Process.objects.get(id=owner.post(f"/v1/task/{task['id']}/run").json()["id"])
    Process.objects.filter(pk=process.pk).update(results=f"{process.id}.json")
    *_, token, _ = link_to(process=process, content=LOG).split("/")
    return {
        "task/<ksuid:id>": task["id"],
        "process/<ksuid:id>": process.id,
        "look/<ksuid:id>": start_suggestions(owner=owner.user, body={"url": "http://127.0.0.1:9/"}).id,
        "results": f"{process.id}.json",
        "<str:token>": token,
        "<str:name>": "log",
    }


def waiting_run(user: User) -> Run:
    arguments = {"name": "echo", "snt": "taskhub", "nd": str(active_context(user=user).graph_id), "ctx": {}}
    return submit(kind="walker", owner=user, name="echo", arguments=arguments)


def session_of(user: User) -> str:
    """The cookie of a browser in which somebody has signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[SESSION_COOKIE].value


def good(user: User) -> dict[str, Credentials]:
    _, token = AuthToken.objects.create(user)
    _, key = accounts.create_key(user=user)
    return {
        "token": Credentials({"Authorization": f"token {token}"}),
        "bearer": Credentials({"Authorization": f"bEARER {token}"}),
        "key": Credentials({"X-API-Key": key}),
        "key in the query": Credentials(query={"api_key": key}),
        "session": Credentials(session=session_of(user)),
    }


def bad(user: User) -> dict[str, Credentials]:
    """Each was good once, or looks like something that is."""
    dead, now = make_person("gone@example.com", is_active=False), timezone.now()
    revoked, revoked_text = AuthToken.objects.create(user)
    revoked.delete()
    _, expired_text = AuthToken.objects.create(user, expiry=timedelta(seconds=-1))
    revoked_key, revoked_key_text = accounts.create_key(user=user)
    accounts.revoke_key(user=user, prefix=revoked_key.prefix)
    expired_key, expired_key_text = accounts.create_key(user=user, expires_in=60)
    ApiKey.objects.filter(pk=expired_key.pk).update(expires_at=now - timedelta(seconds=1))
    _, dead_key_text = accounts.create_key(user=dead.user)
    return {
        "no token": Credentials({"Authorization": "token"}),
        "nonsense": Credentials({"Authorization": "token nonsense"}),
        "a key as a token": Credentials({"Authorization": f"token {expired_key_text}"}),
        "expired token": Credentials({"Authorization": f"token {expired_text}"}),
        "revoked token": Credentials({"Authorization": f"token {revoked_text}"}),
        "token of the inactive": Credentials(dead.headers),
        "expired key": Credentials({"X-API-Key": expired_key_text}),
        "revoked key": Credentials({"X-API-Key": revoked_key_text}),
        "key of the inactive": Credentials({"X-API-Key": dead_key_text}),
        "expired key in the query": Credentials(query={"api_key": expired_key_text}),
        "revoked key in the query": Credentials(query={"api_key": revoked_key_text}),
        "session of the inactive": Credentials(session=session_of(dead.user)),
        "bad token beside a session": Credentials({"Authorization": "token nonsense"}, session=session_of(user)),
    }
