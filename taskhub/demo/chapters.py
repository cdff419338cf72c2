"""The chapters of the demonstration. A chapter calls the hub and says what happened; its docstring is its title.

A chapter raises `UnexpectedAnswer` if the hub does something else. A new ability of the hub is one more chapter.
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
from taskhub.demo.visitor import UnexpectedAnswer, Visitor, expect
from taskhub.jsontools.jsonc import parse_jsonc

Say = Callable[[str], None]
Chapter = Callable[[Visitor, Say], None]

EMAIL = "ada@example.com"
SEQUENCE = Path(__file__).resolve().parents[2] / "sequences" / "examples" / "sequence.jsonc"


def sign_up(visitor: Visitor, say: Say) -> None:
    """Somebody signs up and gets a token"""
    user = visitor.post("/user/create/", {"email": EMAIL, "password": PASSWORD}, expect=201)
    visitor.sign_in(visitor.post("/user/token/", {"email": EMAIL, "password": PASSWORD})["token"])
    expect(visitor.get("/user/manage/")["id"], user["id"], "The signed-in user")
    say(f"{EMAIL} is signed in")


def run_walker(visitor: Visitor, say: Say) -> None:
    """A walker runs while its caller waits"""
    names = [walker["name"] for walker in visitor.get("/js/walker_list")["results"]]
    say(f"walkers that can be run: {', '.join(names)}")
    answer = visitor.post("/js/walker_run", {"name": "echo", "ctx": {"value": "hello"}})
    expect(answer["report"], ["hello"], "The report")
    say(f"echo reported {answer['report'][0]!r}")


def run_in_background(visitor: Visitor, say: Say) -> None:
    """A walker runs in the background"""
    task = submit(visitor, "pause", {"seconds": 0.2})
    say(f"accepted as task {task}")
    ended = wait(visitor, task)
    expect(ended["state"], "SUCCESS", "The task's state")
    say(f"waited for it: {ended['state']}, it reported {ended['result']['report']}")


def follow_progress(visitor: Visitor, say: Say) -> None:
    """The progress of a run is followed"""
    task = submit(visitor, "pause", {"seconds": 3, "steps": 3})
    messages = [run["progress"]["message"] for run in visitor.events(f"/runs/{task}/events") if run["progress"]]
    expect(messages[-1:], ["awake"], "The last progress")
    say(f"progress: {', '.join(dict.fromkeys(messages))}")


def cancel_run(visitor: Visitor, say: Say) -> None:
    """A run is cancelled"""
    task = submit(visitor, "pause", {"seconds": 600})
    for run in visitor.events(f"/runs/{task}/events"):
        if run["state"] in {"STARTED", "PROGRESS"}:
            break
    visitor.post(f"/runs/{task}/cancel", {})
    state = wait(visitor, task)["state"]
    expect(state, "REVOKED", "The task's state")
    say(f"it would have slept ten minutes: {state}")


def run_failing_walker(visitor: Visitor, say: Say) -> None:
    """A walker that fails says why"""
    message = "This is expected."
    problem = visitor.post("/js/walker_run", {"name": "fail", "ctx": {"message": message}}, expect=422)
    expect(problem["detail"], message, "The problem")
    say(f"called and waited for: {problem['status']} {problem['type']}: {problem['detail']}")
    ended = wait(visitor, submit(visitor, "fail", {"message": message}))
    expect(ended["state"], "FAILURE", "The task's state")
    say(f"in the background: {ended['state']}, {ended['error']['type']}: {ended['error']['message']}")


def list_runs(visitor: Visitor, say: Say) -> None:
    """Everything that ran in the background is listed"""
    runs = visitor.get("/runs")["results"]
    expect([run["state"] for run in runs], ["FAILURE", "REVOKED", "SUCCESS", "SUCCESS"], "The states, newest first,")
    for run in runs:
        say(f"{run['name']:<6} {run['state']}")


def schedule_sequence(visitor: Visitor, say: Say) -> None:
    """The documented sequence is scheduled, fired by beat, and read step by step"""
    staff = Visitor(visitor.url)
    staff.sign_in(staff.post("/user/token/", {"email": ADMIN, "password": PASSWORD})["token"])
    body = documented_sequence(visitor.url, staff.get("/user/manage/")["id"])
    every_second = {"type": "interval", "conf": {"every": 1, "period": "seconds"}, "one_off": True}
    schedule = {"name": "documented", "schedule": every_second, "body": body}
    due = staff.post("/js/add_scheduled_sequence", schedule)["next_fire"]
    say(f"stored as a schedule, due at {due}")
    ended = wait_for_schedule(staff, "/sequences/runs?periodic_task=documented")
    expect(ended["state"], "SUCCESS", "The run's state")
    for step in staff.get(f"/sequences/runs/{ended['id']}")["steps"]:
        say(f"{step['path']:<42} {step['method']:<4} {step['status']} {step['duration_ms']:>4} ms")


def documented_sequence(url: str, master: str) -> Any:
    """The sequence of the documents, with the address and the users of this hub."""
    text = SEQUENCE.read_text().replace("http://localhost:8000", url).replace("dummy@dummy.com", ADMIN)
    text = text.replace("Secret123!", PASSWORD).replace("dummy+testing3@dummy.com", EMAIL)
    body = parse_jsonc(text)
    body["persistence"]["master"] = master
    return body


def wait_for_schedule(staff: Visitor, path: str) -> Any:
    """Waits until the first run of a list has ended, and returns it."""
    until = time.monotonic() + 60
    while not (runs := staff.get(path)["results"]) or runs[0]["finished_at"] is None:
        if time.monotonic() > until:
            raise UnexpectedAnswer("The schedule's run has not ended within a minute.")
        time.sleep(0.2)
    return runs[0]


def crawl(visitor: Visitor, say: Say) -> None:
    """An external crawler gets a task and uploads documents; then the task is deleted"""
    with bundled("crawlers.examples.crawler") as endpoint:
        say(f"a crawler runs at {endpoint}")
        parameters = [{"name": "count", "type": "integer", "min": 1}, {"name": "query", "type": "string"}]
        external = {"meta": {"name": "shop"}, "endpoint": endpoint, "parameters": parameters, "docIdField": "sku"}
        external = visitor.post("/externals", external, expect=201)["payload"]
        crawler = {"meta": {"name": "shoes"}, "params": {"count": 1000, "query": "shoe"}}
        created = visitor.post(f"/actions/externals/{external['fid']}/crawler", crawler, expect=201)["payload"]
        task = visitor.post(f"/actions/crawlers/{created['crawler']['fid']}/task", {}, expect=201)["payload"]
        counts = [run["progress"]["done"] for run in visitor.events(f"/runs/{task['run']}/events") if run["progress"]]
        say(f"documents received so far: {', '.join(f'{done:g}' for done in dict.fromkeys(counts))}")
    ended = visitor.get(f"/tasks/{task['fid']}")["payload"]
    expect((ended["status"]["code"], ended["counts"]["inserted"]), (200, 1000), "The task's status and count")
    docs = f"/streams/{created['stream']['fid']}/docs?limit=1"
    say(f"{ended['status']['message']}; the first document: {visitor.get(docs)['payload']['results'][0]}")
    visitor.delete(f"/actions/tasks/{task['fid']}")
    expect(visitor.get(docs)["payload"]["results"], [], "The stream without the task")
    say("the task is deleted, and the stream is as before")


@contextmanager
def bundled(module: str) -> Iterator[str]:
    """Starts an example program; yields its address."""
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


def extract(visitor: Visitor, say: Say) -> None:
    """Pages of a site become a file: a list of several pages, and details behind its links"""
    with bundled("extraction.examples.site") as site:
        say(f"a site runs at {site}")
        task = visitor.post("/v1/task/create", {**BOOKS, "request": {"url": site}}, expect=201)
        process = visitor.post(f"/v1/task/{task['id']}/run", {}, expect=202)
        until = time.monotonic() + 60
        while (process := visitor.get(f"/v1/process/{process['id']}/info"))["status"] == "running":
            expect(time.monotonic() < until, True, "That it ends within a minute")
            time.sleep(0.1)
    expect((process["status"], process["responseCount"]), ("finished", 27), "The process's status and responses")
    say(f"{process['responseCount']} pages, {process['cost']} credits; the file is {process['results']}")
    records = visitor.get(f"/v1/process/{process['id']}/export?format=json")
    expect(len(records), 24, "Records in it")
    say(f"the first of {len(records)} records: {json.dumps(records[0])}")


def receive_webhook(visitor: Visitor, say: Say) -> None:
    """The end of a run is sent to a webhook; a single page is fetched"""
    with receiver() as (url, events):
        task = visitor.post(
            "/js/walker_run", {"name": "echo", "ctx": {"value": "hello"}, "is_async": True, "webhook": url}, expect=202
        )
        event = events.get(timeout=60)
    expect((event["type"], event["data"]["id"]), ("run.finished", task["task_id"]), "The event and its run")
    say(f"the webhook received {event['type']}: {event['data']['name']} is {event['data']['state']}")
    deliveries = visitor.get(f"/webhooks/deliveries?run={task['task_id']}")["results"]
    expect(len(deliveries), 1, "The number of deliveries")
    with bundled("extraction.examples.site") as site:
        process = visitor.post("/v1/fetch", {"url": site, "output": "file"})
        expect((process["status"], process["cost"]), ("finished", 1), "The page's process and its cost")
        say(f"a page was fetched into {process['results']}")


@contextmanager
def receiver() -> Iterator[tuple[str, "Queue[Any]"]]:
    """Starts a receiver of webhooks; yields its address and the queue of received events."""
    events: Queue[Any] = Queue()

    class ReceiverHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), ReceiverHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", events
        finally:
            server.shutdown()


CHAPTERS: list[Chapter] = [
    *(sign_up, run_walker, run_in_background, follow_progress, cancel_run, run_failing_walker, list_runs),
    *(schedule_sequence, crawl, extract, receive_webhook),
]


def submit(visitor: Visitor, name: str, ctx: dict[str, Any]) -> str:
    """Submits a walker, and returns the task's id. Raises `UnexpectedAnswer` if the walker ran at once instead."""
    answer = visitor.post("/js/walker_run", {"name": name, "ctx": ctx, "is_async": True}, expect=202)
    return str(answer["task_id"])


def wait(visitor: Visitor, task: str) -> Any:
    return visitor.get(f"/js/walker_queue_wait?task_id={task}&timeout=30")
