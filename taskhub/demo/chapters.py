"""What the demonstration shows. A chapter calls the hub, and says what happened; its docstring is its title.

A chapter raises Surprise where something goes otherwise. What the hub learns to do later is one more chapter here.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from taskhub.demo.temporary_home import ADMIN, PASSWORD
from taskhub.demo.visitor import Surprise, Visitor, expect
from taskhub.jsontools.jsonc import read

Say = Callable[[str], None]
Chapter = Callable[[Visitor, Say], None]

EMAIL = "ada@example.com"
SEQUENCE = Path(__file__).resolve().parents[2] / "sequences" / "examples" / "sequence.jsonc"


def signing_in(visitor: Visitor, say: Say) -> None:
    """Somebody signs up and gets a token"""
    user = visitor.post("/user/create/", {"email": EMAIL, "password": PASSWORD}, expect=201)
    visitor.sign_in(visitor.post("/user/token/", {"email": EMAIL, "password": PASSWORD})["token"])
    expect(visitor.get("/user/manage/")["id"], user["id"], "The signed-in user")
    say(f"{EMAIL} is signed in")


def at_once(visitor: Visitor, say: Say) -> None:
    """A walker runs while its caller waits"""
    names = [walker["name"] for walker in visitor.get("/js/walker_list")["results"]]
    say(f"walkers that can be run: {', '.join(names)}")
    answer = visitor.post("/js/walker_run", {"name": "echo", "ctx": {"value": "hello"}})
    expect(answer["report"], ["hello"], "The report")
    say(f"echo reported {answer['report'][0]!r}")


def in_background(visitor: Visitor, say: Say) -> None:
    """A walker runs in the background"""
    task = submit(visitor, "pause", {"seconds": 0.2})
    say(f"accepted as task {task}")
    ended = wait(visitor, task)
    expect(ended["state"], "SUCCESS", "The task's state")
    say(f"waited for it: {ended['state']}, it reported {ended['result']['report']}")


def progress(visitor: Visitor, say: Say) -> None:
    """Its progress is followed as it runs"""
    task = submit(visitor, "pause", {"seconds": 3, "steps": 3})
    told = [run["progress"]["message"] for run in visitor.events(f"/runs/{task}/events") if run["progress"]]
    expect(told[-1:], ["awake"], "The last progress")
    say(f"told: {', '.join(dict.fromkeys(told))}")


def cancelled(visitor: Visitor, say: Say) -> None:
    """A walker that runs is cancelled"""
    task = submit(visitor, "pause", {"seconds": 600})
    for run in visitor.events(f"/runs/{task}/events"):
        if run["state"] in {"STARTED", "PROGRESS"}:
            break
    visitor.post(f"/runs/{task}/cancel", {})
    state = wait(visitor, task)["state"]
    expect(state, "REVOKED", "The task's state")
    say(f"it would have slept ten minutes: {state}")


def failing(visitor: Visitor, say: Say) -> None:
    """A walker that fails says why"""
    message = "This was to be expected."
    problem = visitor.post("/js/walker_run", {"name": "fail", "ctx": {"message": message}}, expect=422)
    expect(problem["detail"], message, "The problem")
    say(f"called and waited for: {problem['status']} {problem['type']}: {problem['detail']}")
    ended = wait(visitor, submit(visitor, "fail", {"message": message}))
    expect(ended["state"], "FAILURE", "The task's state")
    say(f"in the background: {ended['state']}, {ended['error']['type']}: {ended['error']['message']}")


def remembered(visitor: Visitor, say: Say) -> None:
    """Everything that ran in the background is in the ledger"""
    runs = visitor.get("/runs")["results"]
    expect([run["state"] for run in runs], ["FAILURE", "REVOKED", "SUCCESS", "SUCCESS"], "The states, newest first,")
    for run in runs:
        say(f"{run['name']:<6} {run['state']}")


def scheduled(visitor: Visitor, say: Say) -> None:
    """The documented sequence is scheduled, fired by beat, and read step by step"""
    staff = Visitor(visitor.url)
    staff.sign_in(staff.post("/user/token/", {"email": ADMIN, "password": PASSWORD})["token"])
    body = documented(visitor.url, staff.get("/user/manage/")["id"])
    every_second = {"type": "interval", "conf": {"every": 1, "period": "seconds"}, "one_off": True}
    stored = {"name": "documented", "schedule": every_second, "body": body}
    due = staff.post("/js/add_scheduled_sequence", stored)["next_fire"]
    say(f"stored as a schedule, due at {due}")
    ended = awaited(staff, "/sequences/runs?periodic_task=documented")
    expect(ended["state"], "SUCCESS", "The run's state")
    for step in staff.get(f"/sequences/runs/{ended['id']}")["steps"]:
        say(f"{step['path']:<42} {step['method']:<4} {step['status']} {step['duration_ms']:>4} ms")


def documented(url: str, master: str) -> Any:
    """The documents' sequence, with this hub's address and people in place of theirs."""
    text = SEQUENCE.read_text().replace("http://localhost:8000", url).replace("dummy@dummy.com", ADMIN)
    text = text.replace("Secret123!", PASSWORD).replace("dummy+testing3@dummy.com", EMAIL)
    body = read(text)
    body["persistence"]["master"] = master
    return body


def awaited(staff: Visitor, path: str) -> Any:
    """The first run of a list, once it has ended."""
    until = time.monotonic() + 60
    while not (runs := staff.get(path)["results"]) or runs[0]["finished_at"] is None:
        if time.monotonic() > until:
            raise Surprise("The schedule's run has not ended within a minute.")
        time.sleep(0.2)
    return runs[0]


def crawled(visitor: Visitor, say: Say) -> None:
    """An external crawler is given a task, sends its documents, and one task is undone"""
    with bundled("crawlers.examples.crawler") as endpoint:
        say(f"a crawler of its own runs at {endpoint}")
        parameters = [{"name": "count", "type": "integer", "min": 1}, {"name": "query", "type": "string"}]
        described = {"meta": {"name": "shop"}, "endpoint": endpoint, "parameters": parameters, "docIdField": "sku"}
        external = visitor.post("/externals", described, expect=201)["payload"]
        asked = {"meta": {"name": "shoes"}, "params": {"count": 1000, "query": "shoe"}}
        made = visitor.post(f"/actions/externals/{external['fid']}/crawler", asked, expect=201)["payload"]
        task = visitor.post(f"/actions/crawlers/{made['crawler']['fid']}/task", {}, expect=201)["payload"]
        told = [run["progress"]["done"] for run in visitor.events(f"/runs/{task['run']}/events") if run["progress"]]
        say(f"documents received, as it was followed: {', '.join(f'{done:g}' for done in dict.fromkeys(told))}")
    ended = visitor.get(f"/tasks/{task['fid']}")["payload"]
    expect((ended["status"]["code"], ended["counts"]["inserted"]), (200, 1000), "The task's status and count")
    docs = f"/streams/{made['stream']['fid']}/docs?limit=1"
    say(f"{ended['status']['message']}; the first document: {visitor.get(docs)['payload']['results'][0]}")
    visitor.delete(f"/actions/tasks/{task['fid']}")
    expect(visitor.get(docs)["payload"]["results"], [], "What the stream shows without the task")
    say("the task is deleted, and the stream is as before")


@contextmanager
def bundled(module: str) -> Iterator[str]:
    """The address of an example, a process of its own."""
    command = [sys.executable, "-m", module, "--port", "0"]
    with subprocess.Popen(command, cwd=SEQUENCE.parents[2], stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield line.rpartition(" ")[2].strip()
        finally:
            process.terminate()


BOOKS = {
    "name": "Books",
    "commonParent": ".book",
    "fields": [
        {"name": "Title", "selector": "h2 a", "details": {"fields": [{"name": "Isbn", "selector": ".isbn"}]}},
        {"name": "Price", "selector": ".price", "filters": [{"name": "regex", "param": "[0-9.]+"}]},
    ],
    "paginator": "a.next",
    "format": "CSV",
}


def extracted(visitor: Visitor, say: Say) -> None:
    """Pages of a site become a file: a list that goes on, and details behind each of its links"""
    with bundled("extraction.examples.site") as site:
        say(f"a site of its own runs at {site}")
        task = visitor.post("/v1/task/create", {**BOOKS, "request": {"url": site}}, expect=201)
        process = visitor.post(f"/v1/task/{task['id']}/run", {}, expect=202)
        until = time.monotonic() + 60
        while (process := visitor.get(f"/v1/process/{process['id']}/info"))["status"] == "running":
            expect(time.monotonic() < until, True, "Whether it ends within a minute")
            time.sleep(0.1)
    expect((process["status"], process["responseCount"]), ("finished", 27), "The process's status and answers")
    say(f"{process['responseCount']} pages, {process['cost']} credits; the file is {process['results']}")
    records = visitor.get(f"/v1/process/{process['id']}/export?format=json")
    expect(len(records), 24, "Records in it")
    say(f"the first of {len(records)} records: {json.dumps(records[0])}")


def told(visitor: Visitor, say: Say) -> None:
    """The end of a run is told to an address, signed; and the source of one page comes as the answer"""
    with receiver() as (url, letters):
        task = visitor.post(
            "/js/walker_run", {"name": "echo", "ctx": {"value": "hello"}, "is_async": True, "webhook": url}, expect=202
        )
        letter = letters.get(timeout=60)
    expect((letter["type"], letter["data"]["id"]), ("run.finished", task["task_id"]), "What was told, and of which run")
    say(f"the receiver was told {letter['type']}: {letter['data']['name']} is {letter['data']['state']}")
    deliveries = visitor.get(f"/webhooks/deliveries?run={task['task_id']}")["results"]
    expect(len(deliveries), 1, "Deliveries on record")
    with bundled("extraction.examples.site") as site:
        process = visitor.post("/v1/fetch", {"url": site, "output": "file"})
        expect((process["status"], process["cost"]), ("finished", 1), "The page's process and its cost")
        say(f"a page was fetched into {process['results']}")


@contextmanager
def receiver() -> Iterator[tuple[str, "Queue[Any]"]]:
    """An address on this machine, and what is posted to it."""
    letters: Queue[Any] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            letters.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", letters
        finally:
            server.shutdown()


CHAPTERS: list[Chapter] = [
    *(signing_in, at_once, in_background, progress, cancelled, failing, remembered, scheduled),
    crawled,
    extracted,
    told,
]


def submit(visitor: Visitor, name: str, ctx: dict[str, Any]) -> str:
    """The id of the task that was accepted. Raises Surprise when the walker ran at once instead."""
    answer = visitor.post("/js/walker_run", {"name": name, "ctx": ctx, "is_async": True}, expect=202)
    return str(answer["task_id"])


def wait(visitor: Visitor, task: str) -> Any:
    return visitor.get(f"/js/walker_queue_wait?task_id={task}&timeout=30")
