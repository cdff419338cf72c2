"""The log of a whole hub: what users write stands in it, and forges nothing."""

import re
import time

from tests.hub import Hub

FORGED = "fell\n2026-11-30 00:00:00,000 ERROR taskhub forged\rweb | forged\x1b[2J\x9b31m\u2028\u2029\x85\x07"


def log_with(hub: Hub, *lines: str) -> str:
    """The log once it has these: what a process says goes through the supervisor."""
    until = time.monotonic() + 60
    while not all(line in (text := hub.log.read_bytes().decode()) for line in lines):
        assert time.monotonic() < until, text
        time.sleep(0.05)
    return text


def test_a_line_names_its_run_and_its_request(hub: Hub) -> None:
    owner = hub.sign_up()
    sent = {"name": "fail", "ctx": {"message": "It fails aloud."}, "is_async": True}
    answer = owner.post("/js/walker_run", sent, headers={"X-Request-ID": "call-4711"})
    run_id = answer.json()["task_id"]
    assert answer.headers["X-Request-ID"] == "call-4711"
    owner.get("/js/walker_queue_wait", {"task_id": run_id, "timeout": 50})
    owner.post("/js/walker_run", {**sent, "is_async": False}, headers={"X-Request-ID": "call-4712"})
    ended = f"[run={run_id} request=call-4711] The walker fail ended as FAILURE: RuntimeError: It fails aloud."
    text = log_with(hub, ended, "[request=call-4712] The walker fail failed")
    assert f"[{run_id}] succeeded" not in text


def test_no_walker_forges_a_line_or_drives_the_terminal(hub: Hub) -> None:
    owner = hub.sign_up()
    answer = owner.post("/js/walker_run", {"name": "fail", "ctx": {"message": FORGED}, "is_async": True})
    run_id = answer.json()["task_id"]
    owner.get("/js/walker_queue_wait", {"task_id": run_id, "timeout": 50})
    owner.get("/nothing/%0Aforged%1B[2J%C2%85")
    sent = {"name": "fail", "ctx": {"message": FORGED}}
    owner.post("/js/walker_run", sent, headers={"X-Request-ID": "call-4713"})
    text = log_with(hub, f"[run={run_id}", "[request=call-4713] The walker fail failed")
    assert "forged" in text
    assert not re.search("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029]", text)
    for line in text.split("\n"):
        assert not re.match(r"(\S+ \| )?(2026-11-30 00|web \| forged|forged)", line), line
