"""What computes without an end: it is ended and replaced, others go on meanwhile, and the log says what it was."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from taskhub.start.programs import WEB_PROCESSES
from tests.extraction_sites import Reply, create, ended, html, info, payload, run, serving
from tests.faults.disposable import Disposable, answers, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


def is_served(broken: Disposable, path: str = "/readyz") -> bool:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(broken.people.url + path, timeout=2).status_code == 200


def test_a_web_process_that_keeps_the_interpreter_to_itself_is_replaced(broken: Disposable, tmp_path: Path) -> None:
    """A walker is called at once, and computes in C without an end and without looking at anything else."""
    owner, flag = broken.people.sign_up(), tmp_path / "spins"
    before = {process.pid for process in broken.children("web")}
    call = {"name": "stuck", "ctx": {"tag": str(flag), "flag": str(flag), "how": "sum"}}
    with ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(owner.post, "/js/walker_run", call)
        until(flag.exists)
        until(lambda: answers(lambda: is_served(broken)))  # by another process
        with pytest.raises(requests.ConnectionError):
            spinning.result(60)
    until(lambda: len({process.pid for process in broken.children("web")} - before) == 1)
    broken.await_health()
    assert len(broken.children("web")) == WEB_PROCESSES
    died = re.compile(rf"Web process (\d+) died; its threads worked on .*POST /js/walker_run by {owner.id}")
    [pid] = until(lambda: died.findall(broken.text))
    assert int(pid) in before
    assert broken.marks([str(flag)]) == {str(flag): 0}


def test_a_worker_that_spins_at_a_page_which_was_cancelled_is_replaced(broken: Disposable, tmp_path: Path) -> None:
    owner, other, flag = broken.people.sign_up(), broken.people.sign_up(), tmp_path / "spins"
    with serving() as site:
        site.pages["/spin"] = html(f"<!-- spin {flag} -->")
        site.pages["/"] = html("<h2><a href=/a>a</a></h2>")
        before = {process.pid for process in broken.children("worker:extraction")}
        poison = run(owner, create(owner, payload(f"{site.url}/spin")))
        until(flag.exists)
        neighbour = run(other, create(other, payload(f"{site.url}/")))
        assert owner.post(f"/v1/process/{poison['id']}/cancel").json()["status"] == "canceled"
        assert ended(other, neighbour)["status"] == "finished"
        assert site.hits["/spin"] == 1
    assert before.isdisjoint(process.pid for process in broken.children("worker:extraction"))
    until(lambda: re.search(r"Process \d+ does not let go of slices that it no longer has", broken.text))
    assert info(owner, poison)["status"] == "canceled"


def test_a_page_and_a_selector_that_are_made_to_be_slow_fail_alone(broken: Disposable) -> None:
    owner, other = broken.people.sign_up(), broken.people.sign_up()
    with serving() as site:
        site.pages["/nested"] = html("<div>" * 100 + "<p>x</p>" + "</div>" * 100)
        site.pages["/letters"] = Reply(f"<p>{'ab' * 900_000}</p>", headers={"Content-Type": "text/html"})
        site.pages["/"] = html("<h2><a href=/a>a</a></h2>")
        deep = [{"name": "t", "selector": "b div div div div div div div div p"}]
        pattern = [{"name": "t", "selector": "p", "filters": [{"name": "regex", "param": "[ab]*a[ab]{900}c"}]}]
        before = {process.pid for process in broken.children("worker:extraction")}
        slow = [
            run(owner, create(owner, payload(f"{site.url}/nested", fields=deep))),
            run(owner, create(owner, payload(f"{site.url}/letters", fields=pattern))),
        ]
        assert ended(other, run(other, create(other, payload(f"{site.url}/"))))["status"] == "finished"
        for process in slow:
            assert ended(owner, process)["status"] == "failed"
            log = owner.session.get(info(owner, process)["logFile"], timeout=30).text
            assert "takes too long to read" in log, log
    assert {process.pid for process in broken.children("worker:extraction")} == before
