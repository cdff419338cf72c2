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
from taskhub.demo.visitors import TIMEOUT, UnexpectedAnswer, expect, sign_in
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub_client import Hub, Run, RunCancelled, RunFailed
from taskhub_client.walkers import RunOptions

Say = Callable[[str], None]
Chapter = Callable[[Hub, Say], None]

EMAIL = "ada@example.com"
SEQUENCE = Path(__file__).resolve().parents[2] / "sequences" / "examples" / "sequence.jsonc"


def run_walker(hub: Hub, say: Say) -> None:
    """A walker runs while its caller waits"""
    say(f"walkers that can be run: {', '.join(walker['name'] for walker in hub.walkers.list())}")
    report = hub.walkers.run("echo", value="hello")
    expect(report, ["hello"], "The report")
    say(f"echo reported {report[0]!r}")


def run_in_background(hub: Hub, say: Say) -> None:
    """A walker runs in the background"""
    run = hub.walkers.submit("pause", seconds=0.2)
    say(f"accepted as run {run.id}")
    run.wait(TIMEOUT)
    say(f"waited for it: {run.state}, it reported {run.report}")


def follow_progress(hub: Hub, say: Say) -> None:
    """The progress of a run is followed"""
    run = hub.walkers.submit("pause", seconds=3, steps=3)
    messages = [moment.progress["message"] for moment in run.events() if moment.progress]
    expect(messages[-1:], ["awake"], "The last progress")
    say(f"progress: {', '.join(dict.fromkeys(messages))}")


def cancel_run(hub: Hub, say: Say) -> None:
    """A run is cancelled"""
    run = hub.walkers.submit("pause", seconds=600)
    for moment in run.events():
        if moment.state in {"STARTED", "PROGRESS"}:
            break
    run.cancel()
    try:
        run.wait(TIMEOUT)
    except RunCancelled:
        say(f"it would have slept ten minutes: {run.state}")
    else:
        raise UnexpectedAnswer("The run went on.")


def run_failing_walker(hub: Hub, say: Say) -> None:
    """A walker that fails says why"""
    message = "This is expected."
    for how, fail in (
        ("called and waited for", lambda: hub.walkers.run("fail", message=message)),
        ("in the background", lambda: hub.walkers.submit("fail", message=message).wait(TIMEOUT)),
    ):
        try:
            fail()
        except RunFailed as failure:
            expect(failure.error and failure.error.message, message, "The error")
            say(f"{how}: {failure}")
        else:
            raise UnexpectedAnswer("The walker did not fail.")


def list_runs(hub: Hub, say: Say) -> None:
    """Everything that ran in the background is listed"""
    runs = list(hub.runs.list())
    expect([run.state for run in runs], ["FAILURE", "REVOKED", "SUCCESS", "SUCCESS"], "The states, newest first,")
    for run in runs:
        say(f"{run.name:<6} {run.state}")


def schedule_sequence(hub: Hub, say: Say) -> None:
    """The documented sequence is scheduled, fired by beat, and read step by step"""
    with sign_in(hub.url, ADMIN, PASSWORD) as staff:
        body = documented_sequence(hub.url, staff.me()["id"])
        every_second = {"type": "interval", "conf": {"every": 1, "period": "seconds"}, "one_off": True}
        schedule = {"name": "documented", "schedule": every_second, "body": body}
        due = staff.call("POST", "/js/add_scheduled_sequence", json=schedule)["next_fire"]
        say(f"stored as a schedule, due at {due}")
        run = fired_run(staff, "documented")
        run.wait(TIMEOUT)
        for step in staff.sequences.steps(run.id):
            say(f"{step['path']:<42} {step['method']:<4} {step['status']} {step['duration_ms']:>4} ms")


def documented_sequence(url: str, master: str) -> Any:
    """The sequence of the documents, with the address and the users of this hub."""
    text = SEQUENCE.read_text().replace("http://localhost:8000", url).replace("dummy@dummy.com", ADMIN)
    text = text.replace("Secret123!", PASSWORD).replace("dummy+testing3@dummy.com", EMAIL)
    body = parse_jsonc(text)
    body["persistence"]["master"] = master
    return body


def fired_run(hub: Hub, schedule: str) -> Run:
    """Waits until a schedule has fired, and returns the run. Raises `UnexpectedAnswer` after a minute."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        if found := next(iter(hub.runs.list(schedule=schedule, limit=1)), None):
            return hub.runs.get(found.id)
        time.sleep(0.2)
    raise UnexpectedAnswer("The schedule has not fired within a minute.")


def crawl(hub: Hub, say: Say) -> None:
    """An external crawler gets a task and uploads documents; then the task is deleted"""
    with bundled("crawlers.examples.crawler") as endpoint:
        say(f"a crawler runs at {endpoint}")
        parameters = [{"name": "count", "type": "integer", "min": 1}, {"name": "query", "type": "string"}]
        external = hub.crawlers.register("shop", endpoint, parameters=parameters, docIdField="sku")
        crawler = hub.crawlers.create(external["fid"], "shoes", params={"count": 1000, "query": "shoe"})
        task = hub.crawlers.start(crawler["fid"])
        counts = [moment.progress["done"] for moment in hub.runs.get(task["run"]).events() if moment.progress]
        say(f"documents received so far: {', '.join(f'{done:g}' for done in dict.fromkeys(counts))}")
    ended = hub.crawlers.task(task["fid"])
    expect((ended["status"]["code"], ended["counts"]["inserted"]), (200, 1000), "The task's status and count")
    documents = list(hub.streams.docs(crawler["stream"]))
    expect(len(documents), 1000, "The number of documents")
    say(f"{ended['status']['message']}; the first document: {documents[0]}")
    hub.crawlers.delete_task(task["fid"])
    expect(list(hub.streams.docs(crawler["stream"])), [], "The stream without the task")
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


def extract(hub: Hub, say: Say) -> None:
    """Pages of a site become a file: a list of several pages, and details behind its links"""
    with bundled("extraction.examples.site") as site:
        say(f"a site runs at {site}")
        process = hub.extraction.extract({**BOOKS, "request": {"url": site}})
        info = process.wait(TIMEOUT)
    expect(info["responseCount"], 27, "The number of responses")
    say(f"{info['responseCount']} pages, {info['cost']} credits; the file is {info['results']}")
    records = list(process.records())
    expect(len(records), 24, "The number of records")
    say(f"the first of {len(records)} records: {json.dumps(records[0])}")


def receive_webhook(hub: Hub, say: Say) -> None:
    """The end of a run is sent to a webhook; a single page is fetched"""
    with receiver() as (url, messages):
        run = hub.walkers.submit("echo", value="hello", options=RunOptions(webhook=url))
        event = hub.webhooks.verify(*messages.get(timeout=TIMEOUT))
    expect((event["type"], event["data"]["id"]), ("run.finished", run.id), "The event and its run")
    say(f"the webhook received {event['type']}, signed: {event['data']['name']} is {event['data']['state']}")
    deliveries = hub.call("GET", "/webhooks/deliveries", query={"run": run.id})["results"]
    expect(len(deliveries), 1, "The number of deliveries")
    with bundled("extraction.examples.site") as site:
        process = hub.call("POST", "/v1/fetch", json={"url": site, "output": "file"})
        expect((process["status"], process["cost"]), ("finished", 1), "The page's process and its cost")
        say(f"a page was fetched into {process['results']}")


@contextmanager
def receiver() -> Iterator[tuple[str, "Queue[tuple[bytes, dict[str, str]]]"]]:
    """Starts a receiver of webhooks; yields its address and the queue of received bodies with their headers."""
    messages: Queue[tuple[bytes, dict[str, str]]] = Queue()

    class ReceiverHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.put((self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), ReceiverHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", messages
        finally:
            server.shutdown()


CHAPTERS: list[Chapter] = [
    *(run_walker, run_in_background, follow_progress, cancel_run, run_failing_walker, list_runs),
    *(schedule_sequence, crawl, extract, receive_webhook),
]
