"""A canary in every secret field never shows in a log, an answer, an admin page or a message in Redis, nor is it stored
in clear."""

import html
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, urljoin

import psycopg
import pyotp
import pytest
import redis
import requests
from psycopg import sql

from taskhub.embedded import Home, Servers
from tests.faults.disposable import Disposable, until
from tests.hub import ADMIN, PASSWORD, Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

LAST = "the canary flew"


class Flight:
    """One user whose every secret holds a word of its own, and everything that was answered."""

    def __init__(self, hub: Disposable) -> None:
        self.word = f"Zq7{secrets.token_hex(12)}"
        self.answers: list[requests.Response] = []
        self.shown: list[requests.Response] = []  # those that may show: what hands a secret out, the owner's result
        self.email = f"{secrets.token_hex(6)}@hub.example"
        self.anonymous = Caller(hub.people.url)
        self.runs: list[str] = []
        self.rules: list[int] = []

    def say(self, caller: Caller, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        answer = caller.call(method, path, json, **options)
        self.answers.append(answer)
        return answer

    def sign_up(self) -> None:
        login = {"email": self.email, "password": self.word}
        self.say(self.anonymous, "POST", "/user/create/", login)
        self.say(self.anonymous, "POST", "/user/create/", login)  # taken
        for wrong in ({"password": [self.word]}, {"email": "x", "password": self.word}, {"token": self.word}):
            assert self.say(self.anonymous, "POST", "/user/create/", wrong).status_code == 400
        self.say(self.anonymous, "POST", "/user/token/", {"email": ADMIN, "password": self.word})
        self.say(self.anonymous, "POST", "/user/token/", data=f'{{"password": "{self.word}", ')
        signed = self.anonymous.post("/user/token/", login)
        self.token = signed.json()["token"]
        self.owner = Caller(self.anonymous.url, self.email, token=self.token)
        made = self.owner.post("/user/apikey", {"name": "canary"})
        self.key, self.prefix = made.json()["key"], made.json()["prefix"]

    def turn_on_second_factor(self) -> None:
        """The hub makes this secret itself, and shows it on one page only; so it does the recovery codes."""
        with requests.Session() as browser:
            browser.trust_env = False
            page = f"{self.anonymous.url}/console/you/second-factor"

            def send(address: str, **form: str) -> str:
                browser.get(address, timeout=60)
                form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
                return browser.post(address, data=form, headers={"Referer": address}, timeout=60).text

            send(f"{self.anonymous.url}/sign-in", username=self.email, password=self.word)
            shown = re.search(r"data-copied>([A-Z2-7 ]+)<", send(page, action="begin", current_password=self.word))
            assert shown is not None
            self.totp_secret = shown[1].replace(" ", "")
            codes = send(page, action="confirm", otp=pyotp.TOTP(self.totp_secret).now())
            self.recovery_codes = re.findall(r"(?<![-\w])[a-z2-7]{4}(?:-[a-z2-7]{4}){3}(?![-\w])", codes)
            assert len(self.recovery_codes) == 10
            self.answers.append(browser.get(page, timeout=60))

    def present(self) -> None:
        """Every credential, well and badly placed."""
        for path in ("/user/manage/", "/nothing", "/runs", "/user/apikey"):
            self.say(self.owner, "GET", path)
            self.say(self.anonymous, "GET", f"{path}?api_key={self.key}")
            self.say(self.anonymous, "GET", path, headers={"X-API-Key": self.key})
            for scheme in ("token", "Bearer", "Basic", "nonsense"):
                self.say(self.anonymous, "GET", path, headers={"Authorization": f"{scheme} {self.word}"})
        self.say(self.anonymous, "GET", f"/js/walker_list?api_key={self.key}&password={self.word}")
        self.say(self.owner, "PATCH", "/user/manage/", {"password": self.word, "current_password": self.word + "x"})

    def run(self, hub: Disposable) -> None:
        """Walkers that are given secrets, and quote them where they fail."""
        inside = {"password": self.word, "token": self.word, "deep": [{"api_key": self.word}]}
        hook = f"http://127.0.0.1:9/hook?token={self.word}"
        for name, to in (
            ("hook", {"webhook": hook}),
            ("mail", {"email": [self.email]}),
        ):  # a private home logs the mail
            rule = self.owner.post("/notifications", {"name": name, "on": ["run.failed"], "to": to})
            assert rule.status_code == 201, rule.text
            self.rules.append(rule.json()["id"])
        for name, ctx in (("failing", {"password": self.word}), ("run", inside), ("echo", {"value": inside})):
            self.shown.append(self.owner.post("/js/walker_run", {"name": name, "ctx": ctx}))
            queued = self.say(
                self.owner,
                "POST",
                "/js/walker_run",
                {"name": name, "ctx": ctx, "is_async": True},
                headers={"Idempotency-Key": name},
            )
            self.runs.append(queued.json()["task_id"])
        self.say(self.owner, "POST", "/js/walker_run", {"name": "fail", "ctx": {"password": self.word}})
        later = {"name": "run", "ctx": inside, "run_at": "2100-01-01T00:00:00Z"}
        self.runs.append(self.say(self.owner, "POST", "/js/walker_run", later).json()["task_id"])
        hub.await_ended(self.runs[:3])
        for rule_id in self.rules:
            for path in (f"/notifications/{rule_id}", f"/notifications/{rule_id}/messages"):
                assert self.say(hub.people.admin, "GET", path).status_code == 200
        for run in self.runs:
            self.say(self.owner, "POST", f"/runs/{run}/retry")
        self.say(self.owner, "GET", "/js/walker_queue_check")
        self.shown += [self.owner.get("/js/walker_queue_check", {"task_id": run}) for run in self.runs]

    def extract(self, hub: Disposable) -> None:
        """A payload whose headers, cookies and proxy are secret, at a site that refuses the connection."""
        request: dict[str, Any] = {
            "url": f"http://127.0.0.1:9/?token={self.word}",
            "headers": {"Authorization": f"Bearer {self.word}", "X-Auth-Token": self.word},
            "cookies": {"session": self.word},
            "proxy": [f"http://user:{self.word}@127.0.0.1:9"],
            "json": {"password": self.word},
        }
        payload: dict[str, Any] = {"name": "canary", "request": request, "fields": [{"name": "a", "selector": "a"}]}
        payload["login"] = {"url": f"http://127.0.0.1:9/in?token={self.word}", "form": {"password": self.word}}
        for wrong in ({**payload, "fields": []}, {**payload, "request": {**request, "headers": {"A b": self.word}}}):
            assert self.say(self.owner, "POST", "/v1/task/create", wrong).status_code == 400
        made = self.owner.post("/v1/task/create", payload)
        assert self.word in made.text
        task = f"/v1/task/{made.json()['id']}"
        process = self.say(self.owner, "POST", f"{task}/run", {}, headers={"Idempotency-Key": "x"}).json()
        until(lambda: self.owner.get(f"/v1/process/{process['id']}/info").json()["status"] == "failed")
        for path in (f"{task}/results", f"/v1/process/{process['id']}/info", "/v1/credits", "/runs?kind=extraction"):
            self.say(self.owner, "GET", path)
        log = self.owner.get(f"/v1/process/{process['id']}/info").json()["logFile"]
        self.answers.append(self.owner.session.get(log, timeout=30))
        self.links = {log.split("/")[5]}

    def reach(self, hub: Disposable) -> None:
        """Secrets of webhooks and deliveries, whose servers refuse the connection; and of single pages."""
        secret = self.owner.get("/webhooks/secret").json()["current"]["secret"]
        rotated = self.owner.post("/webhooks/secret/rotate").json()["current"]["secret"]
        self.signing = {secret.removeprefix("whsec_"), rotated.removeprefix("whsec_")}
        hook = f"http://127.0.0.1:9/hook?token={self.word}"
        self.owner.post("/webhooks/test", {"url": hook})
        self.say(self.owner, "POST", "/js/walker_run", {"name": "echo", "is_async": True, "webhook": hook})
        s3 = {"bucket": "results", "endpoint": "http://127.0.0.1:9", "accessKeyId": "a", "secretAccessKey": self.word}
        ssh = {"host": "127.0.0.1", "port": 9, "user": "ann", "password": self.word, "hostKey": f"SHA256:{'a' * 43}"}
        places: list[dict[str, Any]] = [{"type": "s3", **s3}, {"type": "sftp", **ssh}]
        payload = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
        task = self.say(self.owner, "POST", "/v1/task/create", {"payload": payload, "delivery": places[:1]}).json()
        self.say(self.owner, "POST", f"/v1/task/{task['id']}/update", {"delivery": places, "name": "places"})
        self.owner.post(f"/v1/task/{task['id']}/update", {"webhook": hook})
        self.say(self.owner, "GET", f"/v1/task/{task['id']}/delivery")
        self.say(self.owner, "POST", f"/v1/task/{task['id']}/update", {"delivery": {**places[0], "bucket": ""}})
        tests = self.say(self.owner, "POST", f"/v1/task/{task['id']}/delivery/test").json()
        until(lambda: all(self.owner.get(f"/runs/{test['run']}").json()["error"] for test in tests))
        page = {"url": "http://127.0.0.1:9/", "headers": {"Authorization": f"Bearer {self.word}"}}
        self.say(self.owner, "POST", "/v1/fetch?wait=0", page | {"proxy": f"http://u:{self.word}@127.0.0.1:9"})
        for path in ("/runs?kind=delivery", "/runs?kind=webhook"):
            self.say(self.owner, "GET", path)

    def crawl(self, hub: Disposable) -> None:
        """An external, a crawler and a task, whose server refuses the connection; and a status that quotes secrets."""
        endpoint = f"http://127.0.0.1:9/shop?api_key={self.word}"
        headers = {"Authorization": f"Bearer {self.word}", "X-Auth-Token": self.word}
        parameters = [{"name": "secret", "type": "password"}]
        body = {"meta": {"name": "canary"}, "endpoint": endpoint, "credential": "basic", "parameters": parameters}
        external = self.owner.post("/externals", body | {"headers": headers}).json()["payload"]["fid"]
        self.say(self.owner, "PATCH", f"/externals/{external}", {"endpoint": "http://localhost:9/"})
        sent = {"params": {"secret": self.word}, "credential": {"username": "u", "password": self.word}}
        made = self.say(self.owner, "POST", f"/actions/externals/{external}/crawler", {**sent, "credential": self.word})
        assert made.status_code == 400
        made = self.owner.post(f"/actions/externals/{external}/crawler", sent)
        crawler = made.json()["payload"]["crawler"]["fid"]
        self.say(self.owner, "GET", f"/crawlers/{crawler}")
        start = self.say(self.owner, "POST", f"/actions/crawlers/{crawler}/task", headers={"Idempotency-Key": "crawl"})
        task = start.json()["payload"]
        until(lambda: self.owner.get(f"/tasks/{task['fid']}").json()["payload"]["calls"])
        for said in (102, 500):
            report = {"code": said, "message": f"I got {self.word}", "detail": {"password": self.word}}
            self.say(self.owner, "POST", f"/actions/tasks/{task['fid']}/status", report)
        self.say(self.owner, "GET", f"/tasks/{task['fid']}")
        self.say(self.owner, "GET", f"/runs/{task['run']}")

    def sequence(self, hub: Disposable) -> None:
        """A sequence that holds secrets, sends them, and stops; and schedules of it and of a walker."""
        with psycopg.connect(database_of(hub), autocommit=True) as connection:
            connection.execute("UPDATE accounts_user SET is_staff = true WHERE email = %s", [self.email])
        step = {"method": "POST", "url": f"http://127.0.0.1:9/?token={self.word}", "ignore_error": True}
        sent = {"header": {"Authorization": f"Bearer {self.word}"}, "body": {"password": self.word}}
        program: dict[str, Any] = {
            "persistence": {"login": {"token": self.word}},
            "requests": [{**step, **sent, "save_req_to": "request"}, {**step, "ignore_error": False}],
        }
        run = self.owner.post("/sequences/runs?wait=30", program).json()
        assert run["state"] == "FAILURE"
        assert self.word in json.dumps(run["result"])
        self.say(self.owner, "GET", f"/sequences/runs/{run['id']}/steps")
        self.say(self.owner, "GET", "/runs?name=sequence&limit=5")
        when = {"type": "interval", "conf": {"every": 1, "period": "days"}}
        for name, body in (("sequence", program), ("walker", {"name": "run", "ctx": {"password": self.word}})):
            schedule = {"name": f"{self.email} {name}", "schedule": when, "body": body}
            assert self.owner.post(f"/js/add_scheduled_{name}", schedule).status_code == 200
            self.say(self.owner, "POST", f"/js/add_scheduled_{name}", schedule)  # the name is taken

    def remember(self, hub: Disposable) -> None:
        """Secrets in a graph, and in an answer that is kept for an Idempotency-Key."""
        graph = self.owner.post("/js/graph_create", {"name": "canary"}).json()["jid"]
        self.owner.post("/js/object_set", {"obj": graph, "ctx": {"password": self.word, "deep": {"token": self.word}}})
        body = {"name": "echo", "ctx": {"value": {"any": f"{self.word}"}}}
        assert self.word in self.owner.post("/js/walker_run", body, headers={"Idempotency-Key": "kept"}).text

    @property
    def canaries(self) -> set[str]:
        key = self.key.removeprefix(f"{self.prefix}_")
        factor = {self.totp_secret, *self.recovery_codes, *(code.replace("-", "") for code in self.recovery_codes)}
        return self.signing | factor | {self.word, quote(self.word), self.token, self.token.removeprefix("tht_"), key}

    def assert_hidden(self, text: str, where: str) -> None:
        for canary in self.canaries:
            assert canary not in text, f"{where}: ...{text[max(0, text.index(canary) - 300) :][:400]}..."


@contextmanager
def overheard(hub: Disposable) -> Iterator[list[str]]:
    """Everything that Redis is told meanwhile."""
    server = Servers.of(Home(hub.home), hub.environment).redis
    assert server is not None
    said: list[str] = []
    with redis.Redis.from_url(server.url) as connection, connection.monitor() as monitor:
        listener = Thread(target=lambda: said.extend(_until_last(monitor)))
        listener.start()
        yield said
        connection.echo(LAST)
        listener.join()
        said.extend(str(connection.dump(key)) for key in connection.scan_iter())


def _until_last(monitor: Any) -> Iterator[str]:
    for command in monitor.listen():
        yield command["command"]
        if LAST in command["command"]:
            return


def database_of(hub: Disposable) -> str:
    server = Servers.of(Home(hub.home), hub.environment).postgres
    assert server is not None
    return str(server.url)


def stored(hub: Disposable) -> Iterator[tuple[str, str]]:
    """All that is in the tables, and in the files of the home but for PostgreSQL's and Redis's own."""
    with psycopg.connect(database_of(hub)) as connection:
        tables = connection.execute("SELECT relname FROM pg_stat_user_tables ORDER BY 1").fetchall()
        assert len(tables) > 40
        for (table,) in tables:
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with connection.cursor().copy(statement) as copy:
                yield f"the table {table}", b"".join(map(bytes, copy)).decode("utf-8", "replace")
    for folder, _, names in os.walk(hub.home):  # unlike rglob it goes on where one has just been removed
        for name in names if not {"postgres", "redis"} & set(Path(folder).relative_to(hub.home).parts) else ():
            file = Path(folder, name)
            with suppress(FileNotFoundError):
                if file.is_file():
                    yield f"the file {name}", file.read_bytes().decode("utf-8", "replace")


def admin_pages(hub: Disposable) -> Iterator[requests.Response]:
    """What a superuser sees: every list, and of each the newest things."""
    with requests.Session() as browser:
        browser.trust_env = False
        login = f"{hub.people.url}/sign-in"
        browser.get(login, timeout=60)
        form = {"username": ADMIN, "password": PASSWORD, "next": "/admin/"}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        index = browser.post(login, data=form, headers={"Referer": login}, timeout=60)
        assert "/admin/runs/run/" in index.text
        lists = sorted(_links(index, r"/admin/\w+/\w+/"))
        assert len(lists) > 10
        for address in lists:
            page = browser.get(address, timeout=60)
            yield page
            for row in _links(page, rf"{re.escape(address.removeprefix(hub.people.url))}[^/]+/change/")[:8]:
                yield browser.get(row, timeout=60)
                yield browser.get(row.replace("/change/", "/history/"), timeout=60)


def _links(page: requests.Response, pattern: str) -> list[str]:
    found = re.findall(rf'href="({pattern})(?:\?[^"]*)?"', page.text)
    return [urljoin(page.url, html.unescape(link)) for link in dict.fromkeys(found)]


def test_no_secret_shows_where_it_should_not(broken: Disposable) -> None:
    flight = Flight(broken)
    begin = len(broken.text)
    with overheard(broken) as said:
        flight.sign_up()
        flight.present()
        flight.run(broken)
        flight.extract(broken)
        flight.reach(broken)
        flight.crawl(broken)
        flight.sequence(broken)
        flight.remember(broken)
        flight.turn_on_second_factor()
    assert any("mset" in line.lower() or "lpush" in line.lower() for line in said)
    assert all(flight.word in answer.text for answer in flight.shown[:3])  # its owner does see it
    for answer in flight.answers:
        flight.assert_hidden(answer.text + str(answer.headers), f"the answer of {answer.request.method} {answer.url}")
    for line in said:
        flight.assert_hidden(line, "a message in Redis")
    pages = list(admin_pages(broken))
    assert any(flight.runs[0] in page.text for page in pages)
    for page in pages:
        assert page.status_code == 200, page.url
        flight.assert_hidden(html.unescape(page.text), page.url)
    until(lambda: "failing" in broken.text[begin:])
    written = broken.text[begin:]
    flight.assert_hidden(written, "the log")
    assert not any(link in written for link in flight.links)
    found = dict(stored(broken))
    assert flight.email in found["the table accounts_user"]
    assert flight.runs[0] in found["the table runs_run"]
    for where, text in found.items():
        flight.assert_hidden(text, where)
